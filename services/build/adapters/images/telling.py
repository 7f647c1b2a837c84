"""Tells people what an image build does: each instruction in the section of its step, and why one failed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from libs.kernel.units import show_bytes
from libs.plans.faults import BuildFault
from services.build.adapters.images.progress import Begun, Ended, Event, Line
from services.build.adapters.images.recipes import Recipe
from services.build.app.ports import Output
from services.build.domain.log import telling

_OWN_STEP: Final = "build"
_SHOWN: Final = 200


@dataclass(slots=True)
class Teller:
    """One build's words."""

    recipe: Recipe
    output: Output
    _steps: set[str] = field(default_factory=set)

    async def tell(self, event: Event) -> None:
        """Passes on what happens."""
        step, shown = self._place(event.instruction)
        if not step:
            return
        self._steps.add(step)
        if isinstance(event, Begun):
            await self.output.say(step, f"$ {shown}")
        elif isinstance(event, Line):
            await self.output.chunk(step, "stdout", event.text.encode() + b"\n")
        elif isinstance(event, Ended) and event.how == "CACHED":
            await self.output.say(step, f"{shown}: cached")

    async def close(self) -> None:
        """What was left without a line's end is a line."""
        for step in sorted(self._steps):
            await self.output.flush(step)

    def fault(self, instruction: str, code: int | None, last: str) -> BuildFault:
        """The user's fault: which instruction failed, where it stands, and its most telling line."""
        step, shown = self._place(instruction)
        if "Unknown flag: network" in last or "RUN only supports the --mount flag" in last:
            return BuildFault(
                "This builder of images cannot close the network for one command: Docker 23 or newer can.",
                hint="Take “network = false” out of lightrail.toml, or build with the slug builder.",
            )
        if not instruction or not step:
            return BuildFault(f"The image could not be built: {self._plain(last)}")
        line = telling(self.output.recent(step)) if code is not None else self._plain(last)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + " …"
        where = f"{self._file()}, line {number}: " if (number := self._line(instruction)) else ""
        how = "failed" if code is None else f"ended with exit code {code}"
        begin = f"{where}The step {step} failed: “{shown}” {how}"
        return BuildFault(f"{begin}: {line}" if line else f"{begin} and said nothing.")

    def out_of_memory(self, instruction: str, limit: int | None) -> BuildFault:
        """The user's fault: a command took more memory than a build may."""
        step, shown = self._place(instruction)
        amount = show_bytes(limit or 0).replace(".0 ", " ")
        what = f"The step {step} failed: “{shown}”" if step else "The build of the image"
        return BuildFault(f"{what} ran out of memory (limit {amount}).")

    def _place(self, instruction: str) -> tuple[str, str]:
        """The step that an instruction belongs to, and how it is shown; none for those that only prepare."""
        if self.recipe.own:
            # The platform's labels stand in nobody's Dockerfile.
            return ("", "") if instruction in self._labels() else (_OWN_STEP, instruction)
        if instruction.startswith("RUN "):
            for command in self.recipe.commands:
                if instruction.endswith(command.text):
                    return command.step, command.shown
        return "", ""

    def _labels(self) -> set[str]:
        return {f'LABEL "{name}"="{value}"' for name, value in self.recipe.labels.items()}

    def _plain(self, last: str) -> str:
        """The engine's last words without its own parts' names, and without places of this machine."""
        text = re.sub(r"^(ERROR: )?failed to solve(?: with frontend [\w.]+)?: ", "", last)
        text = re.sub(r"^(failed to create LLB definition|rpc error: code = \w+ desc =)[: ]+", "", text)
        text = text.replace(f'checking on sources under "{self.recipe.context}": ', "")
        return text.replace(str(self.recipe.context), "the source")

    def _file(self) -> str:
        return "Dockerfile"

    def _line(self, instruction: str) -> int:
        """Where an instruction begins in the user's own Dockerfile; 0 when it cannot be told."""
        if not self.recipe.own:
            return 0
        text = self.recipe.dockerfile.read_text(encoding="utf-8", errors="replace")
        return line_of(text, instruction)


def line_of(text: str, instruction: str) -> int:
    """The number of the line where an instruction begins; 0 when none is like it."""
    wanted = _squeezed(instruction)
    lines = text.splitlines()
    for number, first in enumerate(lines, start=1):
        if not first.strip() or first.lstrip().startswith("#"):
            continue
        whole, place = first.strip(), number
        while whole.endswith("\\") and place < len(lines):
            whole = whole[:-1] + lines[place].strip()
            place += 1
        squeezed = _squeezed(whole)
        # Arguments are filled in when it is run: then only the beginning is the same.
        if squeezed == wanted or ("$" in squeezed and wanted.startswith(squeezed.partition("$")[0])):
            return number
    return 0


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).lower()
