"""`lr variables list|set|delete`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import App, Parameter

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid, NotFound

if TYPE_CHECKING:
    from libs.cli.target import Target
    from libs.sdk.client import Client

app = App(name="variables", help="List, set and delete variables.")
Shared: TypeAlias = Annotated[
    bool, Parameter(negative="", help="Those the environment's services may share, as ${{shared.NAME}}.")
]
SkipDeploys: TypeAlias = Annotated[bool, Parameter(negative="", help="Do not deploy again with the change.")]


@app.command(name="list")
async def list_variables(
    *,
    rendered: Annotated[bool, Parameter(negative="")] = False,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    shared: Shared = False,
    as_json: Json = False,
) -> int:
    """List variables as they were written.

    Parameters
    ----------
    rendered
        Show what the service gets: references resolved, and what the platform gives.
    """
    async with session.connect() as client:
        found = await _where(client, service, environment, shared=shared)
        variables = await client.variables(found.service_id, found.environment_id, rendered=rendered)
    if as_json:
        screen.emit(variables)
        return 0
    shown = [row for row in variables.items if rendered or not row.provided]
    for row in shown:
        value = screen.styled("(sealed)", "dim") if row.value is None else row.value
        screen.say(f"{screen.styled(row.name, 'cyan')}={value}")
    if not shown:
        screen.note("No variables yet. Set one with: lr variables set NAME=VALUE")
    return 0


@app.command(name="set")
async def set_variables(
    *pairs: str,
    file: Path | None = None,
    sealed: Annotated[bool, Parameter(negative="")] = False,
    replace: Annotated[bool, Parameter(negative="")] = False,
    skip_deploys: SkipDeploys = False,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    shared: Shared = False,
    as_json: Json = False,
) -> int:
    """Set variables, as in “lr variables set GREETING=hello LEVEL=3”.

    Parameters
    ----------
    pairs
        NAME=VALUE, as many as you like.
    file
        A .env file to read more from; what is written on the line wins.
    sealed
        Nobody can read the values again, you included; builds and deployments get them.
    replace
        Delete all variables that are not given.
    """
    values = {**(_from_file(file) if file else {}), **dict(map(_pair, pairs))}
    if not values and not replace:
        raise Invalid("There is nothing to set.", hint="Write NAME=VALUE, or --file .env")
    async with session.connect() as client:
        found = await _where(client, service, environment, shared=shared)
        changed = await client.set_variables(
            found.service_id,
            found.environment_id,
            values,
            replace=replace,
            skip_deploys=skip_deploys,
            sealed=sealed,
        )
    if as_json:
        screen.emit({"version": changed.version, "names": sorted(values)})
    else:
        screen.say(f"Set {', '.join(sorted(values)) or 'none'}. {_after(skip_deploys=skip_deploys)}")
    return 0


@app.command(name="delete")
async def delete_variables(
    *names: str,
    skip_deploys: SkipDeploys = False,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    shared: Shared = False,
    as_json: Json = False,
) -> int:
    """Delete variables by their names."""
    if not names:
        raise Invalid("Say which variables to delete.", hint="lr variables list shows them.")
    version = 0
    async with session.connect() as client:
        found = await _where(client, service, environment, shared=shared)
        kept = {row.name for row in (await client.variables(found.service_id, found.environment_id)).items}
        names = tuple(dict.fromkeys(names))
        if missing := [name for name in names if name not in kept]:
            raise NotFound(
                f"There is no variable {', '.join(missing)}; nothing was deleted.", hint="lr variables list shows them."
            )
        for index, name in enumerate(names):
            # One deployment follows, not one for each name.
            quiet = skip_deploys or index + 1 < len(names)
            changed = await client.delete_variable(found.service_id, found.environment_id, name, skip_deploys=quiet)
            version = changed.version
    if as_json:
        screen.emit({"version": version, "names": sorted(names)})
    else:
        screen.say(f"Deleted {', '.join(names)}. {_after(skip_deploys=skip_deploys)}")
    return 0


async def _where(client: Client, service: str | None, environment: str | None, *, shared: bool) -> Target:
    if not shared:
        return await target.find_service(client, service=service, environment=environment)
    if service:
        raise Invalid("Shared variables belong to no service.", hint="Leave out --service or --shared.")
    found = await target.find(client, environment=environment)
    return target.Target(found.project_id, found.project_name, found.environment_id, found.environment_name)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise Invalid(f"“{text.partition('=')[0][:80]}” is no variable.", hint="Write NAME=VALUE.")
    return name, value


def _from_file(path: Path) -> dict[str, str]:
    from libs.sdk.dotenv import parse  # noqa: PLC0415 - only with --file

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}.", field="file") from error
    return dict(parse(text))


def _after(*, skip_deploys: bool) -> str:
    if skip_deploys:
        return "The next deployment has the change."
    return "What is live is deployed again with the change."
