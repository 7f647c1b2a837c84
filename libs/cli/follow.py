"""Follows a deployment until it is live or over: its states and its build log, as they happen."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from libs.cli import screen
from libs.kernel.errors import Failure

if TYPE_CHECKING:
    from libs.sdk.client import Client
    from libs.sdk.models import BuildLine, Deployment

# Seconds the build's last lines may come after the news that it is over. Its stream ends by itself: nobody waits so
# long for what is live, and a failure is explained by them.
LAST_WORDS: Final = 3.0
LAST_WORDS_OF_SUCCESS: Final = 0.5
# Lines of the application shown when it did not come up.
TAIL: Final = 20
DETACHED: Final = 130
_SENTENCES: Final = {
    "failed": "It failed",
    "crashed": "It crashed",
    "skipped": "It was skipped",
    "removed": "It was removed",
    "sleeping": "It sleeps",
}


class Follower:
    """Tells one deployment's story to a person, or as JSON lines to a program."""

    def __init__(self, client: Client, deployment: Deployment, *, as_json: bool, began: float | None = None) -> None:
        self._client = client
        self._now = deployment
        self._json = as_json
        self._began = time.monotonic() if began is None else began
        self._told = ""
        self._lines = 0

    async def run(self) -> int:
        """Returns 0 when the deployment is active, 1 when it ended otherwise, 130 when the person left."""
        try:
            await self._follow()
            if self._json:
                await self._stages()
        except asyncio.CancelledError:
            self._detached()
            return DETACHED
        if self._now.state == "active":
            self._live()
            return 0
        await self._over()
        return 1

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as group:
            log = group.create_task(self._build_log())
            async with aclosing(self._client.watch(self._now.id)) as states:
                async for deployment in states:
                    self._now = deployment
                    self._state()
            live = self._now.state == "active"
            await asyncio.wait({log}, timeout=LAST_WORDS_OF_SUCCESS if live else LAST_WORDS)
            log.cancel()

    async def _build_log(self) -> None:
        try:
            async with aclosing(self._client.build_log(self._now.id, follow=True)) as lines:
                async for line in lines:
                    self._line(line)
        except Failure as failure:
            # The states go on without it.
            screen.note(f"The build log broke off: {failure}")

    def _state(self) -> None:
        if self._json:
            screen.emit_line({"type": "state", "state": self._now.state, "deployment": screen.plain(self._now)})
            return
        if self._now.state != self._told:
            self._told = self._now.state
            screen.say(f"  {screen.state(self._told)}")

    def _line(self, line: BuildLine) -> None:
        self._lines += 1
        if self._json:
            screen.emit_line({"type": "log", **_fields(line)})
            return
        screen.say(f"    {screen.styled(line.step.ljust(8), 'cyan')}{screen.styled(line.text, 'dim')}")

    async def _stages(self) -> None:
        """The build as it ended, when there was one."""
        try:
            for build in await self._client.builds([self._now.id]):
                screen.emit_line({"type": "build", "build": screen.plain(build)})
        except Failure as failure:
            # The deployment's own end is what was waited for.
            screen.note(f"The stages of its build cannot be shown: {failure}")

    def _live(self) -> None:
        seconds = time.monotonic() - self._began
        if self._json:
            done = {"type": "done", "state": "active", "deployment_id": self._now.id, "url": self._now.url}
            screen.emit_line({**done, "seconds": round(seconds, 3)})
            return
        where = screen.styled(self._now.url, "bold") if self._now.url else "a worker: it has no URL"
        screen.say(f"{screen.styled('✓', 'green')} Live in {seconds:.1f} s: {where}")

    async def _over(self) -> None:
        state, reason = self._now.state, self._now.reason or ""
        if self._json:
            screen.emit_line({"type": "done", "state": state, "deployment_id": self._now.id, "reason": reason})
            return
        await self._last_output()
        sentence = _SENTENCES.get(state, f"It is {state}")
        screen.note(f"{screen.styled('✗', 'red')} {sentence}{f': {reason}' if reason else '.'}")
        screen.note(f"  Look again: lr logs {'' if state == 'crashed' else '--build '}{self._now.id}")

    async def _last_output(self) -> None:
        """What the application printed, when it was started at all."""
        if self._now.state not in ("failed", "crashed"):
            return
        try:
            async with aclosing(self._client.logs(deployment_id=self._now.id, tail=TAIL)) as lines:
                last = [line.text async for line in lines if line.stream == "output"]
        except Failure as failure:
            screen.note(f"Its output cannot be shown: {failure}")
            return
        if last:
            screen.say("  Its last lines:")
        for text in last:
            screen.say(f"    {screen.styled(text, 'dim')}")

    def _detached(self) -> None:
        if self._json:
            screen.emit_line({"type": "detached", "deployment_id": self._now.id, "state": self._now.state})
        else:
            screen.note(f"\nDetached; {self._now.id} goes on without you.")
            screen.note(f"  Look again: lr status, or lr logs --build {self._now.id}")


def _fields(value: BuildLine) -> dict[str, object]:
    plain = screen.plain(value)
    return plain if isinstance(plain, dict) else {}
