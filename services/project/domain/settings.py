"""How a service is built and run in one environment: typed settings, each unset until somebody sets it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import PurePosixPath
from typing import Any, Final

from libs.kernel.errors import Invalid
from libs.kernel.units import GIB, KIB, MIB, Bytes, Millicores, show_bytes

MAX_COMMAND_BYTES: Final = 8 * KIB
MAX_PATH: Final = 1024
MAX_REPLICAS: Final = 100
MAX_HEALTH_TIMEOUT: Final = 3600
MAX_DRAIN_SECONDS: Final = 3600
MAX_RESTARTS: Final = 1000
NO_CPU: Final = Millicores(0)
NO_BYTES: Final = Bytes(0)
MAX_MILLICORES: Final = 1_000_000
MIN_MEMORY: Final = 16 * MIB
MAX_MEMORY: Final = 16 * 1024 * GIB
RESTART_POLICIES: Final = ("on_failure", "always", "never")
KINDS: Final = ("web", "worker")
BUILDERS: Final = ("slug", "docker", "buildah")
# Line breaks and tabs may stand in a command; nothing else that cannot be seen may.
_CONTROL_IN_COMMAND: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Resources:
    """What an instance asks for and may use at most; zero means the platform's default."""

    cpu_request: Millicores = NO_CPU
    memory_request: Bytes = NO_BYTES
    cpu_limit: Millicores = NO_CPU
    memory_limit: Bytes = NO_BYTES


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a service in one environment; None: detected, or the platform's default."""

    start_command: str | None = None
    build_command: str | None = None
    root_directory: str | None = None
    replicas: int | None = None
    health_path: str | None = None
    # Seconds.
    health_timeout: int | None = None
    restart_policy: str | None = None
    restart_max_retries: int | None = None
    drain_seconds: int | None = None
    resources: Resources | None = None
    kind: str | None = None
    test_command: str | None = None
    builder: str | None = None

    @property
    def is_worker(self) -> bool:
        """Whether it has neither PORT nor route."""
        return self.kind == "worker"


NAMES: Final = tuple(field.name for field in fields(Settings))


def changed(current: Settings, given: Settings, clear: Sequence[str] = ()) -> Settings:
    """Returns `current` with the set fields of `given` over it and those named in `clear` unset.

    Blank text means unset too. Invalid names the field that is wrong.
    """
    unknown = sorted(set(clear) - set(NAMES))
    if unknown:
        raise Invalid(f"“{unknown[0]}” is no setting.", field="clear", hint=f"There are {', '.join(NAMES)}.")
    new = {name: value for name in NAMES if (value := getattr(given, name)) is not None}
    both = sorted(set(clear) & set(new))
    if both:
        raise Invalid(f"{both[0]} is set and cleared in the same call.", field=both[0], hint="Do one of them.")
    values: dict[str, Any] = dict.fromkeys(clear)
    values.update({name: _CHECKS[name](name, value) for name, value in new.items()})
    return replace(current, **values)


def _command(name: str, text: str) -> str | None:
    command = text.strip()
    if len(command.encode()) > MAX_COMMAND_BYTES:
        raise Invalid(f"{name} is longer than {show_bytes(MAX_COMMAND_BYTES)}.", field=name, hint="Put it in a script.")
    if _CONTROL_IN_COMMAND.search(command):
        raise Invalid(f"{name} holds a control character.", field=name)
    return command or None


def _root_directory(name: str, text: str) -> str | None:
    path = PurePosixPath(text.strip())
    if path.is_absolute():
        raise Invalid(f"{name} starts at the top of what you upload, so it has no leading “/”.", field=name)
    if ".." in path.parts:
        raise Invalid(f"{name} may not leave what you upload with “..”.", field=name)
    if len(text) > MAX_PATH or "\\" in text or _CONTROL_IN_COMMAND.search(text):
        raise Invalid(
            f"{name} is at most {MAX_PATH} characters, without “\\” and control characters.",
            field=name,
        )
    return None if path == PurePosixPath() else str(path)


def _health_path(name: str, text: str) -> str | None:
    if not text:
        return None
    if not text.startswith("/") or len(text) > MAX_PATH or _CONTROL.search(text):
        raise Invalid(
            f"{name} starts with “/” and has at most {MAX_PATH} characters, without spaces and control characters.",
            field=name,
            hint="Write it as in /healthz.",
        )
    return text


def _between(low: int, high: int, unit: str = "") -> Callable[[str, int], int]:
    def check(name: str, value: int) -> int:
        if not low <= value <= high:
            raise Invalid(f"{name} is {value}; it may be {low} to {high}{unit}.", field=name)
        return value

    return check


def _one_of(allowed: Sequence[str]) -> Callable[[str, str], str | None]:
    def check(name: str, value: str) -> str | None:
        if value and value not in allowed:
            raise Invalid(f"“{value[:40]}” is no {name}.", field=name, hint=f"It may be {', '.join(allowed)}.")
        return value or None

    return check


def _resources(name: str, given: Resources) -> Resources | None:
    for part in ("cpu_request", "cpu_limit"):
        if not 0 <= getattr(given, part) <= MAX_MILLICORES:
            raise Invalid(
                f"{name}.{part} is {getattr(given, part)} millicores; it may be 0 to {MAX_MILLICORES}.",
                field=f"{name}.{part}",
            )
    for part in ("memory_request", "memory_limit"):
        amount = getattr(given, part)
        if amount and not MIN_MEMORY <= amount <= MAX_MEMORY:
            raise Invalid(
                f"{name}.{part} is {amount} bytes; it may be {show_bytes(MIN_MEMORY)} to {show_bytes(MAX_MEMORY)}.",
                field=f"{name}.{part}",
            )
    for resource in ("cpu", "memory"):
        limit, request = getattr(given, f"{resource}_limit"), getattr(given, f"{resource}_request")
        if limit and limit < request:
            raise Invalid(
                f"{name}.{resource}_limit is below {resource}_request: an instance would never get what it asks for.",
                field=f"{name}.{resource}_limit",
            )
    return None if given == Resources() else given


_CHECKS: Final[dict[str, Callable[..., object]]] = {
    "start_command": _command,
    "build_command": _command,
    "root_directory": _root_directory,
    "replicas": _between(0, MAX_REPLICAS),
    "health_path": _health_path,
    "health_timeout": _between(1, MAX_HEALTH_TIMEOUT, " seconds"),
    "restart_policy": _one_of(RESTART_POLICIES),
    "restart_max_retries": _between(0, MAX_RESTARTS),
    "drain_seconds": _between(0, MAX_DRAIN_SECONDS, " seconds"),
    "resources": _resources,
    "kind": _one_of(KINDS),
    "test_command": _command,
    "builder": _one_of(BUILDERS),
}
