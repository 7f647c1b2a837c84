"""From chunks of output to lines: values of secrets masked even when split, endless lines cut, one line one record."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

MASK: Final = "•••"
LONGEST_LINE: Final = 16 * 1024
# Shorter values are words that any log holds.
SHORTEST_SECRET: Final = 4
_SPEAKS: Final = re.compile(r"error|fail|cause|unsatisfiable|invalid|not found|cannot|no such|denied", re.IGNORECASE)
_CREDENTIALS: Final = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")


class Masker:
    """Replaces secret values in a stream of text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        values: set[str] = set()
        for secret in secrets:
            # Tools print the lines of a key one by one, and parts of an address percent-encoded.
            for part in (secret, secret.strip(), *secret.splitlines(), quote(secret, safe="")):
                if len(part) >= SHORTEST_SECRET:
                    values.add(part)
        ordered = sorted(values, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(value) for value in ordered)) if ordered else None
        self._values = tuple(ordered)
        self._held = ""

    def feed(self, text: str) -> str:
        """The text that is safe to show now; an end that could begin a secret is kept back."""
        text = self._held + text
        if self._pattern is None:
            self._held = ""
            return text
        self._held = ""
        keep = self._beginning(text)
        shown = self._pattern.sub(MASK, text[: len(text) - keep]) if keep else self._pattern.sub(MASK, text)
        self._held = text[len(text) - keep :] if keep else ""
        return shown

    def rest(self) -> str:
        """What was kept back, when nothing follows."""
        held, self._held = self._held, ""
        return self._pattern.sub(MASK, held) if self._pattern else held

    def _beginning(self, text: str) -> int:
        """Length of the longest end of `text` that a longer secret starts with."""
        longest = min(len(text), max(len(value) for value in self._values) - 1)
        for length in range(longest, 0, -1):
            end = text[-length:]
            if any(len(value) > length and value.startswith(end) for value in self._values):
                # A whole secret may reach into what is kept back: keep it back as well, from its start.
                return self._widened(text, length)
        return 0

    def _widened(self, text: str, length: int) -> int:
        if self._pattern is None:
            return length
        cut = len(text) - length
        for match in self._pattern.finditer(text):
            if match.start() < cut < match.end():
                return len(text) - match.start()
        return length


class Lines:
    """Cuts one stream of bytes into masked lines."""

    def __init__(self, secrets: Iterable[str]) -> None:
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
    shown = line.rstrip("\r").rsplit("\r", 1)[-1].replace("\0", "\ufffd")
    return shown if len(shown) <= LONGEST_LINE else shown[:LONGEST_LINE] + " … (cut: the line is longer than 16 KiB)"


def credentials(values: Iterable[str]) -> set[str]:
    """Passwords inside addresses, as in "https://user:password@host"."""
    return {match[1] for value in values for match in _CREDENTIALS.finditer(value)}


def telling(lines: Iterable[str]) -> str:
    """The line that most likely says why a command failed: the last that speaks of it, else the last with words."""
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip(" \t╰─▶│×") for line in lines]
    worded = [line for line in plain if re.search(r"\w", line) and "complete log of this run" not in line]
    spoken = [line for line in worded if _SPEAKS.search(line)]
    return (spoken or worded or [""])[-1][:300]
