"""The language inside a variable's value: text, references, functions, and one escape.

`${{NAME}}` is a variable of the same scope, `${{shared.NAME}}` one of the environment's shared variables,
`${{service.NAME}}` one of another service; `${{secret(32)}}` is a function, evaluated once, when the value is set.
`$${{` is the three characters `${{` themselves. Everything else is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from libs.kernel.errors import Invalid
from services.project.domain.names import shown

OPEN: Final = "${{"
CLOSE: Final = "}}"
ESCAPED_OPEN: Final = "$${{"

_STOP: Final = re.compile(r"\$?\$\{\{")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_SCOPE: Final = re.compile(r"[(){}\"'.\x00-\x1f]")
_ARGUMENT: Final = re.compile(r"""\s*(?:(?P<number>-?\d{1,18})|"(?P<double>[^"]*)"|'(?P<single>[^']*)')\s*""")


@dataclass(frozen=True, slots=True)
class Text:
    """Text that stands for itself, escapes already resolved."""

    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The place of another variable's value. `scope` is as written; "" means the scope it is written in."""

    scope: str
    name: str
    # Where the scope stands in the value.
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A function that is evaluated when the value is set."""

    function: str
    arguments: tuple[int | str, ...]
    # Where the whole of it, with its braces, stands in the value.
    start: int = 0
    end: int = 0


Part = Text | Reference | Call


def parse(value: str) -> tuple[Part, ...]:
    """Returns the parts of a value in order; Invalid when something opens that is neither reference nor function."""
    parts: list[Part] = []
    text: list[str] = []
    at = 0
    while (stop := _STOP.search(value, at)) is not None:
        text.append(value[at : stop.start()])
        if stop[0] == ESCAPED_OPEN:
            text.append(OPEN)
            at = stop.end()
            continue
        end = value.find(CLOSE, stop.end())
        if end < 0:
            raise Invalid(
                f"It opens “{OPEN}” at character {stop.start() + 1} and never closes it with “{CLOSE}”.",
                hint="Write “$${{” where the characters “${{” themselves are meant.",
            )
        if joined := "".join(text):
            parts.append(Text(joined))
        text = []
        parts.append(_opened(value, stop.end(), end))
        at = end + len(CLOSE)
    text.append(value[at:])
    if joined := "".join(text):
        parts.append(Text(joined))
    return tuple(parts)


def escape(text: str) -> str:
    """Returns a value that renders to exactly `text`."""
    return text.replace(OPEN, ESCAPED_OPEN)


def references(value: str) -> tuple[Reference, ...]:
    """Returns the references of a value, in order."""
    return tuple(part for part in parse(value) if isinstance(part, Reference))


def with_scopes(value: str, put: Callable[[Reference], str]) -> str:
    """Returns the value with the scope of each reference that has one replaced; all else as it was written."""
    out: list[str] = []
    at = 0
    for reference in references(value):
        if reference.scope:
            out += [value[at : reference.start], put(reference)]
            at = reference.end
    return "".join([*out, value[at:]])


def with_calls(value: str, evaluate: Callable[[Call], str]) -> str:
    """Returns the value with each function replaced by what it gave; all else as it was written."""
    out: list[str] = []
    at = 0
    for part in parse(value):
        if isinstance(part, Call):
            out += [value[at : part.start], evaluate(part)]
            at = part.end
    return "".join([*out, value[at:]])


def _opened(value: str, start: int, end: int) -> Reference | Call:
    inner = value[start:end].strip()
    if inner.endswith(")"):
        function, _, arguments = inner[:-1].partition("(")
        if _NAME.fullmatch(function.rstrip()):
            return Call(function.rstrip(), _arguments(inner, arguments), start - len(OPEN), end + len(CLOSE))
    else:
        scope, dot, name = inner.rpartition(".")
        scope, name = scope.rstrip(), name.lstrip()
        if _NAME.fullmatch(name) and bool(scope) == bool(dot) and not _NO_SCOPE.search(scope):
            at = value.index(scope, start)
            return Reference(scope, name, at, at + len(scope))
    raise Invalid(
        f"“{OPEN}{shown(inner)}{CLOSE}” is neither a reference nor a function.",
        hint="Write ${{NAME}}, ${{shared.NAME}}, ${{service.NAME}} or ${{secret(32)}}; for “${{” itself, “$${{”.",
    )


def _arguments(inner: str, text: str) -> tuple[int | str, ...]:
    given: list[int | str] = []
    at = 0
    while text.strip():
        match = _ARGUMENT.match(text, at)
        if match is None or (match.end() < len(text) and text[match.end()] != ","):
            raise Invalid(
                f"“{OPEN}{shown(inner)}{CLOSE}” has an argument that is neither a whole number nor text in quotes."
            )
        quoted = match["double"] if match["double"] is not None else match["single"]
        given.append(int(match["number"]) if match["number"] is not None else quoted)
        if match.end() == len(text):
            break
        at = match.end() + 1
    return tuple(given)
