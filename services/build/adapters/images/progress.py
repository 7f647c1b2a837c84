"""What BuildKit prints (`--progress=plain`), as things that happen to the instructions of a Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_LOG: Final = re.compile(r"^#(\d+) \d+\.\d+ ?(.*)$", re.DOTALL)
_NAME: Final = re.compile(r"^#(\d+) (\[.*\].*)$", re.DOTALL)
_ENDED: Final = re.compile(r"^#(\d+) (DONE|CACHED|CANCELED|ERROR)(?::? (.*))?$", re.DOTALL)
_INSTRUCTION: Final = re.compile(r"^\[(?!internal\])[^\]]*\] (.+)$", re.DOTALL)
_CODE: Final = re.compile(r"exit code: (\d+)")
# From here on the log of what failed comes once more.
_AGAIN: Final = "------"


@dataclass(frozen=True, slots=True)
class Begun:
    """An instruction that is being run."""

    instruction: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of what an instruction's command prints."""

    instruction: str
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How an instruction ended: DONE, CACHED, CANCELED or ERROR."""

    instruction: str
    how: str


Event = Begun | Line | Ended


@dataclass(slots=True)
class Progress:
    """Reads the output of one build."""

    # Instructions by the number they have in the output.
    _names: dict[str, str] = field(default_factory=dict)
    _over: bool = False
    # The instruction that failed, and with which exit code; the engine's last words when there was none.
    failed: str = ""
    code: int | None = None
    last: str = ""

    def read(self, line: str) -> Iterator[Event]:
        """What a line says; nothing for what is the engine's own business."""
        text = line.rstrip("\r")
        if text.strip() and text != _AGAIN:
            self.last = text.strip()
        self._over = self._over or text == _AGAIN
        if self._over:
            return
        if match := _LOG.match(text):
            if match[1] in self._names:
                yield Line(self._names[match[1]], match[2])
        elif match := _ENDED.match(text):
            yield from self._end(match[1], match[2], match[3] or "")
        elif match := _NAME.match(text):
            instruction = _INSTRUCTION.match(match[2])
            if instruction and match[1] not in self._names:
                self._names[match[1]] = instruction[1]
                yield Begun(instruction[1])

    def _end(self, number: str, how: str, words: str) -> Iterator[Event]:
        if number not in self._names:
            return
        if how == "ERROR":
            self.failed = self._names[number]
            code = _CODE.search(words)
            self.code = int(code[1]) if code else None
        yield Ended(self._names[number], how)
