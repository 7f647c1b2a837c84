"""`lr deployments`, `lr redeploy`, `lr rollback`, `lr down`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from libs.cli import screen, session, target
from libs.cli.leaving import Leaving
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid, NotFound

if TYPE_CHECKING:
    from libs.cli.target import Target
    from libs.sdk.client import Client
    from libs.sdk.models import Deployment

Detach = Annotated[bool, Parameter(name=["--detach", "-d"], negative="", help="Return at once.")]
# How far back a rollback looks for a version that was live.
_WINDOW: Final = 100
# Characters of a commit's message in a list.
_MESSAGE: Final = 40
_OVER: Final = frozenset({"removed", "removing", "failed", "crashed", "skipped"})


async def deployments(
    *,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"])] = 20,
    as_json: Json = False,
) -> int:
    """List deployments of the service, or of the whole project; newest first."""
    async with session.connect() as client:
        found = await target.find(client, service=service, environment=environment)
        rows = await client.deployments(
            service_id=found.service_id,
            environment_id=found.environment_id,
            project_id=found.project_id,
            limit=max(1, min(limit, 200)),
        )
        builds = await client.builds([row.id for row in rows]) if as_json else []
    if as_json:
        of = {build.deployment_id: screen.plain(build) for build in builds}
        screen.emit([{**_plain(row), "build": of.get(row.id)} for row in rows])
    elif not rows:
        screen.say("Nothing was deployed yet. Deploy this directory with: lr up")
    else:
        screen.table(
            ("ID", "SERVICE", "STATE", "BY", "WHEN", "COMMIT", ""),
            [
                (
                    row.id,
                    row.service_name,
                    row.state,
                    row.trigger,
                    screen.moment(row.created_at),
                    _commit(row),
                    row.reason or "",
                )
                for row in rows
            ],
        )
    return 0


async def redeploy(
    deployment: str | None = None,
    *,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Build the same source again, with today's variables and settings, and follow it.

    Parameters
    ----------
    deployment
        Which one; the newest unless given.
    """
    async with session.connect() as client:
        if deployment is None:
            found = await target.find_service(client, service=service, environment=environment)
            deployment = (await _all_of(client, found, 1))[0].id
        with Leaving(as_json=as_json) as leaving:
            leaving.asking()
            made = await client.redeploy(target.deployment_id(deployment))
        return await _followed(client, made, detach=detach, as_json=as_json)


async def rollback(
    deployment: str | None = None,
    *,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Bring an older deployment back: its build, variables and settings.

    Parameters
    ----------
    deployment
        Which one; unless given, the last one that was live before this one.
    """
    async with session.connect() as client:
        if deployment is None:
            found = await target.find_service(client, service=service, environment=environment)
            deployment = _before(await _all_of(client, found, _WINDOW)).id
        with Leaving(as_json=as_json) as leaving:
            leaving.asking()
            made = await client.rollback(target.deployment_id(deployment))
        return await _followed(client, made, detach=detach, as_json=as_json)


async def down(
    *,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")] = False,
    as_json: Json = False,
) -> int:
    """Stop the service: what is live, and what is on its way."""
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        rows = await client.deployments(service_id=found.service_id, environment_id=found.environment_id, limit=_WINDOW)
        running = [row for row in rows if row.state not in _OVER]
        if running and not yes:
            question = f"Stop {found.service_name} in {found.environment_name}?"
            if not screen.can_ask() or not screen.agreed(question, otherwise=False):
                raise Invalid("Nothing was stopped.", hint="Add --yes to stop it without being asked.")
        stopped = [await client.delete_deployment(row.id) for row in running]
    if as_json:
        screen.emit(stopped)
    elif not stopped:
        screen.say(f"{found.service_name} is not running.")
    else:
        screen.say(
            f"{found.service_name} stops; requests under way are finished first. Start it again with: lr redeploy"
        )
    return 0


def _plain(value: Deployment) -> dict[str, object]:
    plain = screen.plain(value)
    return plain if isinstance(plain, dict) else {}


def _commit(row: Deployment) -> str:
    """A commit in a few words: its first digits, what it says, who wrote it."""
    git = row.git
    if git is None:
        return ""
    if not git.commit:
        return git.ref or ""
    message = git.message or ""
    shown = message if len(message) <= _MESSAGE else f"{message[: _MESSAGE - 1]}…"
    return f"{git.commit[:7]} {shown}{f' ({git.author})' if git.author else ''}"


def _before(rows: list[Deployment]) -> Deployment:
    """The newest deployment that was live before the one that serves now."""
    live = [row for row in rows if row.went_live_at is not None]
    serving = next((row for row in live if row.state == "active"), None)
    older = [row for row in live if serving is None or row.created_at < serving.created_at]
    # A rollback's own source first: twice back is not back and forth.
    if serving is not None and serving.origin_id and serving.trigger == "rollback":
        origin = next((row for row in live if row.id == serving.origin_id), None)
        older = [row for row in older if origin is None or row.created_at < origin.created_at]
    if not older:
        raise NotFound("There is no older deployment that was live.", hint="lr deployments lists them.")
    return older[0]


async def _all_of(client: Client, found: Target, limit: int) -> list[Deployment]:
    rows = await client.deployments(service_id=found.service_id, environment_id=found.environment_id, limit=limit)
    if not rows:
        raise NotFound(f"{found.service_name} was never deployed.", hint="Deploy this directory with: lr up")
    return rows


async def _followed(client: Client, made: Deployment, *, detach: bool, as_json: bool) -> int:
    if detach:
        if as_json:
            screen.emit_line({"type": "detached", "deployment_id": made.id, "state": made.state})
        else:
            screen.say(f"{made.id} is {made.state}. Look again: lr status")
        return 0
    if not as_json:
        screen.say(f"{screen.styled(made.service_name, 'bold')}: {made.id}")
    from libs.cli.follow import Follower  # noqa: PLC0415 - only where something is followed

    return await Follower(client, made, as_json=as_json).run()
