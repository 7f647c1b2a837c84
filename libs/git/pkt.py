"""Lines of git's protocol: four hex digits of length, then so many bytes less four."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from libs.kernel.errors import Invalid

FLUSH: Final = b"0000"
LARGEST: Final = 65516
# Of one message on a side band: its number takes a byte.
LARGEST_BAND: Final = LARGEST - 1
PACK, PROGRESS, FATAL = 1, 2, 3
ZERO: Final = "0" * 40
_HEADER: Final = 4
_MOST_COMMANDS: Final = 1000
_LENGTH: Final = re.compile(rb"[0-9a-fA-F]{4}")
_SHALLOW: Final = re.compile(rb"^shallow (?P<commit>[0-9a-f]{40})$")
_COMMAND: Final = re.compile(rb"^(?P<old>[0-9a-f]{40}) (?P<new>[0-9a-f]{40}) (?P<ref>[^\0\n]+)$")


@dataclass(frozen=True, slots=True)
class Command:
    """One wish of a push: that a ref leads elsewhere. Forty zeros stand for nothing."""

    old: str
    new: str
    ref: str


@dataclass(frozen=True, slots=True)
class Commands:
    """What a push asks for, what its client can do, and how many bytes that took.

    `shallow`: commits whose parents a shallow clone does not have.
    """

    wishes: tuple[Command, ...]
    capabilities: frozenset[str]
    size: int
    shallow: tuple[str, ...] = ()


def line(content: bytes | str) -> bytes:
    """One line."""
    data = content.encode() if isinstance(content, str) else content
    if len(data) > LARGEST:
        raise ValueError("A line of git's protocol has at most 65516 bytes.")
    return f"{len(data) + _HEADER:04x}".encode() + data


def band(number: int, data: bytes) -> bytes:
    """The data on a side band, in as many lines as it takes."""
    pieces = [data[at : at + LARGEST_BAND] for at in range(0, len(data), LARGEST_BAND)] or [b""]
    return b"".join(line(bytes([number]) + piece) for piece in pieces)


def lines(data: bytes) -> Iterator[tuple[bytes | None, int]]:
    """Each line, None for a flush, with where it ends. Invalid when the data is cut short or no such lines."""
    at = 0
    while at < len(data):
        if not _LENGTH.match(data, at):
            raise Invalid("This is not what git sends.")
        length = int(data[at : at + _HEADER], 16)
        if length == 0:
            at += _HEADER
            yield None, at
            continue
        if length < _HEADER or at + length > len(data):
            raise Invalid("What git sent is cut short.")
        yield data[at + _HEADER : at + length], at + length
        at += length


def commands(data: bytes) -> Commands:
    """Reads what a push begins with, up to its first flush. Invalid when it is something else."""
    wishes: dict[str, Command] = {}
    shallow: list[str] = []
    capabilities: frozenset[str] = frozenset()
    for content, end in lines(data):
        if content is None:
            return Commands(tuple(wishes.values()), capabilities, end, tuple(shallow))
        text, _, able = content.partition(b"\0")
        if root := _SHALLOW.match(text.rstrip(b"\n")):
            shallow.append(root["commit"].decode())
            if len(shallow) > _MOST_COMMANDS:
                raise Invalid("This clone is shallow in too many places.", hint="git fetch --unshallow, then push.")
            continue
        if not wishes:
            capabilities = frozenset(able.decode("utf-8", "replace").split())
        found = _COMMAND.match(text.rstrip(b"\n"))
        if found is None:
            raise Invalid("This platform takes plain pushes only, no signed ones.")
        try:
            ref = found["ref"].decode()
        except UnicodeDecodeError as error:
            raise Invalid("The name of a branch is not UTF-8.") from error
        if ref in wishes:
            raise Invalid(f"A push moves {ref[:80]} once.")
        wishes[ref] = Command(found["old"].decode(), found["new"].decode(), ref)
        if len(wishes) > _MOST_COMMANDS:
            raise Invalid(f"A push moves at most {_MOST_COMMANDS} refs.")
    raise Invalid("What git sent is cut short.")
