"""A service that is pushed to while parts die, and what it owes afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from libs.git import pkt
from libs.testing.eventually import eventually
from tests.chaos.patient import RECOVERY_SECONDS
from tests.e2e.application import Application
from tests.e2e.platform import Json
from tests.e2e.pusher import Pusher


class Pushed:
    """One service with a branch that is deployed, and the person who pushes to it."""

    def __init__(self, app: Application, folder: Path) -> None:
        self.app = app
        self.person = Pusher(app, folder)
        self.place = f"/git/{app.project['name']}/{app.service['name']}.git"
        home = app.platform.home / "build"
        self._incoming = home / "git" / app.id / f"{app.environment_id}.git" / "refs" / "incoming"
        self._work = home / "work"

    def commit(self, text: str) -> str:
        """Changes what the service shows; gives the commit."""
        return self.person.repository.commit(text, **{"index.html": f"<h1>{text}</h1>"})

    async def push(self) -> tuple[int, str]:
        """Pushes to its end; the exit code and all that was said."""
        return await self.person.git("push", "lightrail", "main")

    async def push_half(self, commit: str, go_on: Callable[[], Awaitable[object]]) -> Json:
        """Sends the beginning of a push and no more until `go_on` has ended; gives the answer."""

        async def content() -> AsyncIterator[bytes]:
            yield pkt.line(f"{pkt.ZERO} {commit} refs/heads/main\0 report-status side-band-64k") + pkt.FLUSH + b"PACK"
            await eventually(self.is_received, within=20, every=0.01)
            await go_on()

        headers = {"Content-Type": "application/x-git-receive-pack-request"}
        return await self.app.platform.request(
            "POST", f"{self.place}/git-receive-pack", headers=headers | self.person.authorization, content=content(),
            token="", timeout=60,
        )  # fmt: skip

    async def is_received(self) -> None:
        """A push is on its way in."""
        assert list(self._work.glob("*-git/body"))

    async def is_stored(self) -> None:
        """A push is kept out of sight."""
        assert self._hidden()

    def _hidden(self) -> list[Path]:
        return [path for path in self._incoming.rglob("*") if path.is_file()]

    async def branch(self) -> str:
        """The commit that the branch is at; empty when there is none."""
        code, said = await self.person.git("ls-remote", "lightrail", "refs/heads/main")
        assert code == 0, said
        return said.partition("\t")[0]

    async def ends_with(self, commit: str, text: str) -> None:
        """Pushes until it is taken; then that commit alone is live and nothing of other pushes is left."""

        async def taken() -> None:
            code, said = await self.push()
            assert code == 0, said

        await eventually(taken, within=RECOVERY_SECONDS, every=0.5)
        assert await self.branch() == commit
        states = [row["state"] for row in await self.app.deployments()]
        assert states.count("active") == 1, states
        assert text in await self.app.text()

        async def clean() -> None:
            assert not self._hidden()

        await eventually(clean, within=20)
