"""`lr build status`: how far a build is, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid, NotFound
from libs.kernel.ids import is_id

if TYPE_CHECKING:
    from libs.sdk.client import Client
    from libs.sdk.models import Build, Stage


async def status(
    build: str | None = None,
    *,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Show the stages of a build: what each came to, and how long it took.

    Parameters
    ----------
    build
        A build's id or a deployment's; the newest deployment's unless given.
    """
    async with session.connect() as client:
        found = await find(client, build, service=service, environment=environment)
    if as_json:
        screen.emit(found)
        return 0
    screen.say(f"{screen.styled(found.id, 'bold')} of {found.deployment_id}: {screen.state(found.state)}")
    screen.table(
        ("STAGE", "STATE", "TIME", ""), [(one.name, one.state, _took(one), one.detail or "") for one in found.stages]
    )
    if found.waiting:
        screen.say(found.waiting)
    if found.reason and found.state != "succeeded":
        screen.say(found.reason)
    return 0


async def find(client: Client, named: str | None, *, service: str | None, environment: str | None) -> Build:
    """The build with this id, or the deployment's, or the newest deployment's. NotFound when there is none (yet)."""
    if named and is_id(named, "build"):
        return await client.build(named)
    if named and not is_id(named, "deployment"):
        raise Invalid(f"“{named}” is no id of a build or a deployment.", hint="lr deployments lists deployments.")
    if not named:
        found = await target.find_service(client, service=service, environment=environment)
        newest = await client.deployments(service_id=found.service_id, environment_id=found.environment_id, limit=1)
        if not newest:
            raise NotFound(f"{found.service_name} was never deployed.", hint="Deploy this directory with: lr up")
        named = newest[0].id
    builds = await client.builds([named])
    if not builds:
        raise NotFound(f"Nothing was built for {named}.", hint="A rollback starts what an older deployment built.")
    return builds[0]


def _took(stage: Stage) -> str:
    if stage.started_at is None or stage.finished_at is None:
        return ""
    return f"{(stage.finished_at - stage.started_at).total_seconds():.2f} s"
