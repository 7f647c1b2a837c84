"""From chunks of output to lines: values of secrets masked even when split, endless lines cut, one line one record."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise, takewhile
from typing import Final
from urllib.parse import quote

MASK: Final = "•••"
LONGEST_LINE: Final = 16 * 1024
# Shorter values are words that any log holds.
SHORTEST_SECRET: Final = 4
# Longer values are looked for in parts of at most so many characters.
LONGEST_PART: Final = 64
_MASKS: Final = re.compile(f"(?:{MASK}){{2,}}")
_SPEAKS: Final = re.compile(
    r"error|exception:|fail|cause|unsatisfiable|invalid|not found|no candidates|cannot|no such|denied", re.IGNORECASE
)
_NPM: Final = re.compile(r"^npm (?:error|ERR!)\s*")
# What package managers write last or beside it: it speaks of an error and says nothing about it.
_EMPTY: Final = re.compile(
    r"complete log of this run|/_logs/\S+$|^npm (?:error|ERR!)(?: Log files were not written.*)?$"
    r"|^npm (?:notice|warn|WARN)\b|YN0000: .*(?:Failed with errors|Completed)|^ELIFECYCLE\b"
    r"|^error Command failed with exit code|^hint: Build failures usually"
)
# Where and with what code npm failed, not why; also when it was a script that npm ran.
_WHERE: Final = re.compile(
    r"^npm (?:error|ERR!) (?:code|path|errno|syscall|signal|workspace|location|command|Lifecycle script"
    r"|engine Unsupported engine)\b"
)
_CREDENTIALS: Final = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")


class Needles:
    """The values that no log may show, made ready to be looked for; built once, for they may be many and long.

    A long value is looked for in parts, each of which is masked wherever it stands. So nothing longer than a part
    ever has to be kept back, and how long that takes does not depend on the values.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        values: set[str] = set()
        for secret in secrets:
            # Output is kept line by line; tools print the lines of a key one by one, and parts of an address encoded.
            for line in (*secret.splitlines(), *secret.strip().splitlines(), quote(secret, safe="")):
                if len(line) >= SHORTEST_SECRET:
                    values.update(_parts(line))
        self._sorted = sorted(values)
        groups: dict[str, list[str]] = {}
        for value in sorted(values, key=len, reverse=True):
            groups.setdefault(value[0], []).append(re.escape(value[1:]))
        made = (f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in groups.items())
        self.pattern: Final = re.compile("|".join(made)) if groups else None
        self.longest: Final = max(map(len, values), default=0)

    def begun_by(self, end: str) -> bool:
        """Whether a value starts with `end` and goes on."""
        place = bisect_left(self._sorted, end)
        if place < len(self._sorted) and self._sorted[place] == end:
            place += 1
        return place < len(self._sorted) and self._sorted[place].startswith(end)


class Masker:
    """Replaces secret values in a stream of text."""

    def __init__(self, secrets: Iterable[str] | Needles) -> None:
        self._needles = secrets if isinstance(secrets, Needles) else Needles(secrets)
        self._held = ""

    def feed(self, text: str) -> str:
        """The text that is safe to show now; an end that could begin a secret is kept back."""
        text, self._held = self._held + text, ""
        pattern = self._needles.pattern
        if pattern is None:
            return text
        cut = self._cut(text, pattern)
        self._held = text[cut:]
        return pattern.sub(MASK, text[:cut])

    def rest(self) -> str:
        """What was kept back, when nothing follows."""
        held, self._held = self._held, ""
        pattern = self._needles.pattern
        return pattern.sub(MASK, held) if pattern else held

    def _cut(self, text: str, pattern: re.Pattern[str]) -> int:
        """Where the longest end of `text` begins that a longer secret starts with."""
        for place in range(max(0, len(text) - self._needles.longest + 1), len(text)):
            if self._needles.begun_by(text[place:]):
                # A whole secret may reach into what is kept back: keep it back as well, from its start.
                near = max(0, place - self._needles.longest)
                reaching = (match for match in pattern.finditer(text, near) if match.start() < place < match.end())
                return next((match.start() for match in reaching), place)
        return len(text)


class Lines:
    """Cuts one stream of bytes into masked lines."""

    def __init__(self, secrets: Iterable[str] | Needles) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._masker = Masker(secrets)
        self._open = ""
        # The line's first part was given out; its end is dropped.
        self._cut = False

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that this chunk ends."""
        return self._take(self._masker.feed(self._decode(chunk)))

    def end(self) -> list[str]:
        """The lines left when the stream has ended."""
        lines = self._take(self._masker.feed(self._decode(b"", final=True)) + self._masker.rest())
        if self._open and not self._cut:
            lines.append(_clean(self._open))
        self._open, self._cut = "", False
        return lines

    def _take(self, text: str) -> list[str]:
        *whole, last = text.split("\n")
        lines = []
        for part in whole:
            if not self._cut:
                lines.append(_clean(self._open + part))
            self._open, self._cut = "", False
        if not self._cut:
            self._open += last
            if len(self._open) > LONGEST_LINE:
                lines.append(_clean(self._open))
                self._open, self._cut = "", True
        return lines


def _clean(line: str) -> str:
    """A line as it is kept: without its carriage returns and NULs, at most 16 KiB."""
    shown = _MASKS.sub(MASK, line.rstrip("\r").rsplit("\r", 1)[-1].replace("\0", "\ufffd"))
    return shown if len(shown) <= LONGEST_LINE else shown[:LONGEST_LINE] + " … (cut: the line is longer than 16 KiB)"


def _parts(value: str) -> list[str]:
    """The value in parts of about the same length, none of them short when the value is long."""
    count = -(-len(value) // LONGEST_PART)
    cuts = [len(value) * number // count for number in range(count + 1)]
    return [value[start:end] for start, end in pairwise(cuts)]


def credentials(values: Iterable[str]) -> set[str]:
    """Passwords inside addresses, as in "https://user:password@host"."""
    return {match[1] for value in values for match in _CREDENTIALS.finditer(value)}


def telling(lines: Iterable[str]) -> str:
    """The line that most likely says why a command failed: the last that speaks of it, else the last with words.

    npm and pnpm say why first, and then for many lines what may help.
    """
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip(" \t╰─▶│×➤") for line in lines]
    worded = [line for line in plain if re.search(r"\w", line) and not _EMPTY.search(line)]
    saying = [line for line in worded if not _WHERE.match(line)]
    spoken = [line for line in saying if _SPEAKS.search(_NPM.sub("", line))]
    first = _first_of_npm(worded) or [line for line in saying if line.startswith("ERR_PNPM_")]
    return (first or spoken or saying or worded or [""])[-1][:300]


def _first_of_npm(worded: Sequence[str]) -> list[str]:
    """The reason that npm ends with; none when something else failed, be it a script that npm ran."""
    block = list(takewhile(_NPM.match, reversed(worded)))[::-1]
    if any(_NPM.sub("", line) == "command failed" for line in block):
        return []
    return [line for line in block if not _WHERE.match(line)][:1]
