"""`lr up`: packs a directory, sends it, and follows the deployment until it is live."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from libs.cli import pack, screen, session, store, target
from libs.cli.leaving import Leaving
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.cli.target import Target
from libs.kernel.errors import Conflict, Invalid, NotFound
from libs.kernel.names import service_name
from libs.kernel.units import show_bytes

if TYPE_CHECKING:
    from libs.sdk.client import Client
    from libs.sdk.models import Deployment, Snapshot

_HELP: Final = "Link it with lr init or lr link, or make a new project and service with: lr up --new NAME"


async def up(
    directory: Path | None = None,
    *,
    detach: Annotated[bool, Parameter(name=["--detach", "-d"], negative="")] = False,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    new: str | None = None,
    git: str | None = None,
    ref: str | None = None,
    as_json: Json = False,
) -> int:
    """Deploy a directory; exit code 0 only when it is live. Ctrl-C leaves it to go on by itself.

    Parameters
    ----------
    directory
        What to deploy: the linked directory unless given.
    detach
        Return as soon as the deployment is asked for.
    new
        Make a service of this name, and a project of this name when the directory is linked to none.
    git
        Deploy this repository instead of the directory: https://…, ssh://… or user@host:path.
    ref
        Its branch, tag or commit; the default branch unless given.
    """
    began = time.monotonic()
    session.credential()
    place = (directory or Path.cwd()).resolve()
    if new is not None and not new.strip():
        raise Invalid("--new is empty.", hint="Write the new service's name, or leave it out for the linked one.")
    if git is not None or ref is not None:
        if git is None:
            raise Invalid("--ref says which commit of a repository.", hint="Name it with --git, or: lr source deploy")
        if not git.strip():
            raise Invalid("--git is empty.", hint="Write https://host/team/app.git, or leave it out for the directory.")
        async with session.connect() as client:
            with Leaving(as_json=as_json):
                chosen = await _chosen(client, place, service=service, environment=environment, new=new)
            return await deploy_git(client, chosen, url=git, ref=ref or "", detach=detach, as_json=as_json)
    if not place.is_dir():
        raise Invalid(f"{place} is no directory.", hint="Give the directory that holds your source.")
    source = place if directory is not None else _linked(place)
    # Squeezing runs beside everything until the upload.
    packing = asyncio.ensure_future(asyncio.to_thread(pack.pack, source))
    try:
        async with session.connect() as client:
            with Leaving(as_json=as_json) as leaving:
                if new or store.link(session.api(), place) is None:
                    # Something may have to be made: not for a directory that cannot be packed.
                    await packing
                chosen = await _chosen(client, place, service=service, environment=environment, new=new)
                packed = await packing
                with packed.file:
                    snapshot = await _send(client, chosen, packed, as_json=as_json)
                leaving.asking()
                deployment = await client.create_deployment(
                    chosen.service_id, chosen.environment_id, snapshot.id, key=secrets.token_hex(16)
                )
            if detach:
                return _detached(deployment, as_json=as_json)
            from libs.cli.follow import Follower  # noqa: PLC0415 - while the platform begins its work

            return await Follower(client, deployment, as_json=as_json, began=began).run()
    finally:
        if not packing.done():
            # A thread is not cancelled: wait for it, so that nothing of it is left behind.
            await asyncio.wait({packing})
        if not packing.cancelled():
            packing.exception()


def _linked(place: Path) -> Path:
    """The directory whose link covers this place; without one the place itself."""
    found = store.link(session.api(), place)
    return Path(found.directory) if found is not None and Path(found.directory).is_dir() else place


async def _chosen(
    client: Client, place: Path, *, service: str | None, environment: str | None, new: str | None
) -> Target:
    """Where to deploy to. Makes nothing unless told to, or agreed to on a terminal."""
    if new:
        return await _made(client, place, new, environment)
    try:
        found = await target.find(client, service=service, environment=environment, place=place)
    except NotFound as failure:
        if store.link(session.api(), place) is not None:
            raise
        name = target.name_of(place)
        if not screen.can_ask():
            raise NotFound(f"{place} is not linked to a project.", hint=_HELP) from failure
        if not screen.agreed(f"{place} is not linked. Make a new project and service “{name}”?", otherwise=True):
            raise NotFound("Nothing was deployed.", hint=_HELP) from failure
        return await _made(client, place, name, environment)
    if found.service_id:
        return found
    return await _service_of(client, found, place)


async def _service_of(client: Client, found: Target, place: Path) -> Target:
    with target.may_be_gone():
        services = await client.services(found.project_id, environment_id=found.environment_id)
    if len(services) == 1:
        return target.with_service(found, services[0])
    if services:
        names = [row.name for row in services]
        if not screen.can_ask():
            raise Invalid(
                f"{found.project_name} has several services: {', '.join(names)}.", hint="Say which with --service NAME."
            )
        found = target.with_service(found, services[screen.choose("Which service?", names)])
    else:
        name = target.name_of(place)
        hint = "Make one with: lr up --new NAME"
        if not screen.can_ask():
            raise NotFound(f"{found.project_name} has no service yet.", hint=hint)
        if not screen.agreed(f"{found.project_name} has no service yet. Make “{name}”?", otherwise=True):
            raise NotFound("Nothing was deployed.", hint=hint)
        found = target.with_service(found, await client.create_service(found.project_id, name))
    target.keep(found, found.directory or place)
    return found


async def _made(client: Client, place: Path, name: str, environment: str | None) -> Target:
    """A service of this name in the linked project, else in a new project; the directory is linked to it."""
    # Refused before anything is made: a project may be called what a service may not.
    name = service_name(name)
    if await target.living_link(client, place) is not None:
        found = await target.find(client, environment=environment, place=place)
        services = await client.services(found.project_id, environment_id=found.environment_id)
        there = [row for row in services if row.name == name]
        made = there[0] if there else await client.create_service(found.project_id, name)
    else:
        if any(project.name == name for project in await client.projects()):
            raise Conflict(
                f"There is a project “{name}” already.", hint=f"Use it with: lr link --project {name}, then lr up."
            )
        project = await client.create_project(name)
        found = target.of_project(project)
        if environment:
            chosen = target.pick(project.environments, environment, f"environment in {name}")
            found = Target(project.id, project.name, chosen.id, chosen.name)
        made = await client.create_service(project.id, name)
    found = target.with_service(found, made)
    target.keep(found, place)
    return found


async def _send(client: Client, chosen: Target, packed: pack.Packed, *, as_json: bool) -> Snapshot:
    if not as_json:
        screen.say(f"{screen.styled(chosen.service_name, 'bold')} in {chosen.project_name}, {chosen.environment_name}")
        for name in packed.left_out:
            screen.note(f"  {name} is no file, link or directory: it stays here.")
    shown = _Progress(packed.size, silent=as_json or not screen.is_terminal())
    began = time.monotonic()
    try:
        with target.may_be_gone():
            snapshot = await client.upload_snapshot(chosen.service_id, packed.file, packed.size, progress=shown)
    except NotFound:
        shown.clear()
        raise
    took = time.monotonic() - began
    if as_json:
        screen.emit_line({"type": "snapshot", "id": snapshot.id, "files": packed.files, "size_bytes": packed.size})
    else:
        shown.clear()
        files = f"{packed.files} file{'' if packed.files == 1 else 's'}"
        screen.say(f"  {files}, {show_bytes(packed.size)} sent in {took:.2f} s")
    return snapshot


async def deploy_git(client: Client, chosen: Target, *, url: str, ref: str, detach: bool, as_json: bool) -> int:
    """Deploys a commit and follows it; without an url from the service's source."""
    began = time.monotonic()
    if not as_json:
        screen.say(f"{screen.styled(chosen.service_name, 'bold')} in {chosen.project_name}, {chosen.environment_name}")
    key = secrets.token_hex(16)
    with Leaving(as_json=as_json) as leaving:
        leaving.asking()
        made = await client.create_git_deployment(chosen.service_id, chosen.environment_id, url=url, ref=ref, key=key)
    if detach:
        return _detached(made, as_json=as_json)
    from libs.cli.follow import Follower  # noqa: PLC0415 - only where something is followed

    return await Follower(client, made, as_json=as_json, began=began).run()


def _detached(deployment: Deployment, *, as_json: bool) -> int:
    if as_json:
        screen.emit_line(
            {"type": "detached", "deployment_id": deployment.id, "state": deployment.state, "url": deployment.url}
        )
    else:
        screen.say(
            f"  {deployment.id} is {deployment.state}. Look again: lr status, or lr logs --build {deployment.id}"
        )
    return 0


class _Progress:
    """How much has been sent, on one line that is written over."""

    def __init__(self, size: int, *, silent: bool) -> None:
        self._size = size
        self._silent = silent
        self._percent = -1

    def __call__(self, sent: int) -> None:
        percent = 100 * sent // max(1, self._size)
        if self._silent or percent == self._percent:
            return
        self._percent = percent
        sys.stdout.write(f"\r  sending {show_bytes(sent)} of {show_bytes(self._size)} ({percent} %)\x1b[K")
        sys.stdout.flush()

    def clear(self) -> None:
        """Takes the line away."""
        if not self._silent and self._percent >= 0:
            sys.stdout.write("\r\x1b[K")
