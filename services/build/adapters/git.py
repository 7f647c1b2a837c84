"""Runs git in a sandbox: no hooks, no configuration but ours, no questions, no protocol but those allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from libs.kernel.errors import Unavailable
from libs.sandbox.sandbox import Output
from libs.sandbox.spec import Exit, Limits, Mount, Spec

# Inside the sandbox.
PLACE: Final = "/git"
# Bytes of output that are kept.
MOST: Final = 4 * 1024 * 1024
# The first one that can be told the addresses of a host (http.curloptResolve).
OLDEST: Final = (2, 37)
_VERSION: Final = re.compile(r"git version (\d+)\.(\d+)")
_SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "true",
    "core.attributesFile": "/dev/null",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    "transfer.credentialsInUrl": "die",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "60",
    "protocol.allow": "never",
    "log.showSignature": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "pack.threads": "1",
}
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - inside, where it is the program's own
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_ADVICE": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
}


class Runner(Protocol):
    """The part of a sandbox that git needs."""

    async def run(self, spec: Spec, *, output: Output, timeout: float) -> Exit:  # noqa: ASYNC109 - a result
        """Runs a program to its end."""
        ...

    def adopt_owner(self, path: Path, owner: str) -> None:
        """Gives everything at `path` to the owner."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """Where git runs: as whom, with what to see, and with what settings beside ours."""

    owner: str
    mounts: Sequence[Mount]
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    network: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """How git ended, and what it printed; `cut`: there was more than is kept."""

    exit: Exit
    out: bytes
    err: str
    cut: bool = False

    @property
    def good(self) -> bool:
        """Whether it did what it was asked."""
        return self.exit.code == 0 and not self.exit.oom

    @property
    def complaint(self) -> str:
        """What git says was wrong, on one line."""
        if self.exit.timed_out:
            return "it took too long"
        if self.exit.oom:
            return "it ran out of memory"
        said = [line.strip() for line in self.err.splitlines() if line.strip()]
        fatal = [line for line in said if line.startswith(("fatal:", "error:", "ERROR:", "remote:"))]
        line = (fatal or said or [f"git ended with {self.exit.code}"])[0]
        return re.sub(r"^(fatal|error|remote): ", "", line)[:300]


@dataclass(frozen=True, slots=True)
class Git:
    """git with these caps, `deadline` seconds for each command."""

    sandbox: Runner
    limits: Limits
    deadline: float

    async def run(self, room: Room, *arguments: str) -> Ran:
        """Runs one command and keeps what it prints."""
        out, err = _Kept(), _Kept()

        async def said(stream: str, data: bytes) -> None:
            (out if stream == "stdout" else err).add(data)

        ended = await self.pipe(room, ["git", *arguments], said)
        return Ran(ended, bytes(out.data), err.data.decode("utf-8", "replace"), cut=out.cut)

    async def pipe(self, room: Room, argv: Sequence[str], output: Output) -> Exit:
        """Runs a program of git's, and passes on what it prints."""
        spec = Spec(
            argv=argv,
            env={**_ENVIRONMENT, **_settings({**_SETTINGS, **room.settings}), **room.environment},
            cwd=PLACE,
            mounts=room.mounts,
            owner=room.owner,
            network=room.network,
            limits=self.limits,
        )
        return await self.sandbox.run(spec, output=output, timeout=self.deadline)

    async def check(self, room: Room) -> None:
        """Passes when this machine's git is new enough to be told where to connect to; Unavailable otherwise."""
        ran = await self.run(room, "--version")
        found = _VERSION.match(ran.out.decode("utf-8", "replace"))
        if found is None:
            raise Unavailable("This machine has no git, so nothing can be fetched or pushed.", hint="Install git.")
        if (int(found[1]), int(found[2])) < OLDEST:
            raise Unavailable(
                f"This machine's git is {found[1]}.{found[2]}; the platform needs {OLDEST[0]}.{OLDEST[1]} or newer.",
                hint="Install a newer git.",
            )


class _Kept:
    def __init__(self) -> None:
        self.data = bytearray()
        self.cut = False

    def add(self, data: bytes) -> None:
        room = MOST - len(self.data)
        self.cut = self.cut or len(data) > room
        self.data += data[: max(0, room)]


def _settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as variables: seen by this one git only, and in no list of processes."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        found[f"GIT_CONFIG_KEY_{number}"] = name
        found[f"GIT_CONFIG_VALUE_{number}"] = value
    return found
