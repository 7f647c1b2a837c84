"""`lr service show|set`: how a service is built and run in an environment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid

if TYPE_CHECKING:
    from libs.sdk.models import Service

app = App(name="service", help="Show and change how a service is built and run.")
# The parts of the setting `resources`: as options, and as the API calls them.
_RESOURCES: Final = {
    "cpu": "cpu_limit",
    "memory": "memory_limit",
    "cpu_request": "cpu_request",
    "memory_request": "memory_request",
}


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What may be set; None: it stays as it is."""

    builder: Annotated[Literal["slug", "docker", "buildah"] | None, Parameter(help="What builds it.")] = None
    root_directory: Annotated[str | None, Parameter(help="The folder of the source that is built.")] = None
    build_command: Annotated[str | None, Parameter(help="Instead of what is detected or configured.")] = None
    test_command: Annotated[
        str | None, Parameter(help="Runs in what was built; when it fails, nothing is deployed.")
    ] = None
    start_command: Annotated[str | None, Parameter(help="Instead of what is detected or configured.")] = None
    kind: Annotated[Literal["web", "worker"] | None, Parameter(help="A worker listens on no port.")] = None
    replicas: Annotated[int | None, Parameter(help="How many instances run.")] = None
    cpu: Annotated[str | None, Parameter(help="What an instance may use at most: 0.5, 500m.")] = None
    memory: Annotated[str | None, Parameter(help="What an instance may use at most: 512Mi, 1Gi.")] = None
    cpu_request: Annotated[str | None, Parameter(help="What an instance asks for: 100m.")] = None
    memory_request: Annotated[str | None, Parameter(help="What an instance asks for: 64Mi.")] = None
    health_path: Annotated[str | None, Parameter(help="Path that must answer 200 before a version goes live.")] = None
    health_timeout: Annotated[int | None, Parameter(help="Seconds in which it has to.")] = None
    restart_policy: Annotated[
        Literal["on_failure", "always", "never"] | None, Parameter(help="When an instance that ends runs again.")
    ] = None
    restart_max_retries: Annotated[int | None, Parameter(help="How often before it counts as crashed.")] = None
    drain_seconds: Annotated[int | None, Parameter(help="For open requests when a version leaves.")] = None


_NAMES: Final = tuple(name.replace("_", "-") for name in Wanted.__dataclass_fields__)


@app.command(name="show")
async def show(*, service: ServiceName = None, environment: EnvironmentName = None, as_json: Json = False) -> int:
    """Show a service's settings; what is not set is detected, configured in the source, or the default."""
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        with target.may_be_gone():
            row = await client.service(found.service_id, environment_id=found.environment_id)
    return _shown(row, as_json=as_json)


@app.command(name="set")
async def set_settings(
    *,
    wanted: Wanted | None = None,
    unset: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Change a service's settings in one environment; the next deployment uses them.

    Parameters
    ----------
    unset
        Settings to put back to their defaults: replicas, health-path, …
    """
    changes: dict[str, Any] = {name: value for name, value in asdict(wanted or Wanted()).items() if value is not None}
    for name in unset or ():
        if name not in _NAMES:
            raise Invalid(f"There is no setting “{name}”.", hint=f"There are: {', '.join(_NAMES)}.")
        if changes.setdefault(name.replace("-", "_"), None) is not None:
            raise Invalid(f"--{name} is set and unset at once.", hint="Leave one of them out.")
    if not changes:
        raise Invalid("There is nothing to set.", hint="For example: lr service set --replicas 2")
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        with target.may_be_gone():
            if changes.keys() & _RESOURCES.keys():
                now = await client.service(found.service_id, environment_id=found.environment_id)
                changes["resources"] = _resources(now, changes)
            row = await client.set_settings(found.service_id, found.environment_id, changes)
    if not as_json:
        screen.note("The next deployment uses them: lr up, or lr redeploy.")
    return _shown(row, as_json=as_json)


def _resources(now: Service, changes: dict[str, Any]) -> dict[str, object] | None:
    """The service's resources with the changes, which are taken out; None when nothing of them is set any more.

    They are one setting of the API: of two people who change parts of it at once, the later one wins.
    """
    kept = now.settings.get("resources")
    resources: dict[str, object] = dict(kept) if isinstance(kept, dict) else {}
    for option, name in _RESOURCES.items():
        if option in changes:
            resources[name] = changes.pop(option)
    return resources if any(value is not None for value in resources.values()) else None


def _shown(row: Service, *, as_json: bool) -> int:
    if as_json:
        screen.emit(row)
        return 0
    resources = row.settings.get("resources")
    values = {**row.settings, **(resources if isinstance(resources, dict) else {})}
    values.update({option: values.get(name) for option, name in _RESOURCES.items()})
    rows = [(name, str(value)) for name in _NAMES if (value := values.get(name.replace("-", "_"))) is not None]
    screen.say(f"{row.name} in {row.environment_name}")
    if rows:
        screen.table(("SETTING", "VALUE"), rows)
    else:
        screen.say("Nothing is set: it is as its source says, else as by default.")
    return 0
