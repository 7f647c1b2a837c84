"""Variables of one scope: a service in an environment, or what an environment shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from libs.kernel.units import KIB, MIB, show_bytes
from services.project.domain.names import shown
from services.project.domain.template import OPEN

# The scope of an environment's shared variables; every other scope is the id of a service.
SHARED: Final = ""
MAX_VALUE_BYTES: Final = 64 * KIB
MAX_VARIABLES: Final = 1000
MAX_NAME: Final = 256
# All names and values of a scope: an operating system starts no process with much more.
MAX_SCOPE_BYTES: Final = 1 * MIB
MAX_REFERENCES: Final = 10_000
PROVIDED_PREFIX: Final = "LIGHTRAIL_"
PORT: Final = "PORT"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Variable:
    """A value as it was written. Sealed: it reaches builds and deployments and is never shown again."""

    text: Secret[str]
    sealed: bool = False


Content = Mapping[str, Variable]


@dataclass(frozen=True, slots=True)
class Change:
    """What a call made of a scope: its new content, and the names that differ from before."""

    content: dict[str, Variable]
    written: frozenset[str]
    removed: frozenset[str]

    @property
    def nothing(self) -> bool:
        """Whether everything is as it was."""
        return not self.written and not self.removed


def set_values(current: Content, values: Mapping[str, str], *, replace: bool = False, sealed: bool = False) -> Change:
    """Returns the scope with `values`, checked one by one before, in it; and nothing else when it is to be replaced.

    What is sealed stays sealed. Invalid names the variable or the limit at fault.
    """
    for name in values:
        check_name(name)
    content = {} if replace else dict(current)
    for name, value in values.items():
        before = current.get(name)
        content[name] = Variable(Secret(value), sealed=sealed or (before is not None and before.sealed))
    _check_size(content)
    return Change(
        content=content,
        written=frozenset(name for name in values if current.get(name) != content[name]),
        removed=frozenset(current.keys() - content.keys()),
    )


def without(current: Content, name: str) -> Change:
    """Returns the scope without one variable; nothing changes when it has no such one."""
    content = {other: variable for other, variable in current.items() if other != name}
    return Change(content=content, written=frozenset(), removed=frozenset(current.keys() - content.keys()))


def check_name(name: str) -> None:
    """Passes when a user may set a variable of this name; Invalid says why not."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise Invalid(
            f"“{shown(name)}” cannot name a variable: use letters, digits and “_”, no digit first, "
            f"{MAX_NAME} characters at most.",
            field=shown(name),
        )
    if name.upper().startswith(PROVIDED_PREFIX):
        raise Invalid(f"{name} cannot be set: names with {PROVIDED_PREFIX} are given by the platform.", field=name)
    if name == PORT:
        raise Invalid(
            f"{PORT} cannot be set: the platform gives every instance a port of its own.",
            field=name,
            hint="Let the app listen on the port it finds there.",
        )


def check_value(name: str, value: str) -> None:
    """Passes when a value is one that a process can be given; Invalid says why not."""
    size = len(value.encode())
    if size > MAX_VALUE_BYTES:
        raise Invalid(
            f"The value of {name} has {show_bytes(size)}; a value has at most {show_bytes(MAX_VALUE_BYTES)}.",
            field=name,
        )
    if "\0" in value:
        raise Invalid(f"The value of {name} holds a zero byte, which no environment can carry.", field=name)


def _check_size(content: Content) -> None:
    if len(content) > MAX_VARIABLES:
        raise Invalid(
            f"These would be {len(content)} variables; a service, like an environment, has at most {MAX_VARIABLES}.",
            field="values",
        )
    size = sum(len(name) + len(variable.text.reveal().encode()) for name, variable in content.items())
    if size > MAX_SCOPE_BYTES:
        raise Invalid(
            f"These variables would have {show_bytes(size)} together; "
            f"no more than {show_bytes(MAX_SCOPE_BYTES)} can be given to a process.",
            field="values",
            hint="Put large content into a file of the app.",
        )
    # Escapes count too: the number is a limit to the work of rendering, not to what anybody needs.
    if sum(variable.text.reveal().count(OPEN) for variable in content.values()) > MAX_REFERENCES:
        raise Invalid(f"These variables have more than {MAX_REFERENCES} references together.", field="values")
