"""`lr init`, `lr link`, `lr list`, `lr settings`, `lr status`, `lr open`."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from libs.cli.target import Target
    from libs.sdk.client import Client
    from libs.sdk.models import Deployment, Project, Service


async def init(*, name: str | None = None, workspace: str | None = None, as_json: Json = False) -> int:
    """Make a project and link this directory to it.

    Parameters
    ----------
    name
        The project's name; the directory's unless given.
    workspace
        Id of the workspace, when you have several.
    """
    place = Path.cwd().resolve()
    async with session.connect() as client:
        already = await target.living_link(client, place)
        if already is not None and already.directory == str(place):
            raise Conflict(
                f"{place} is linked to {already.project_name} already.", hint="Link it to another with: lr link."
            )
        project = await client.create_project(name or target.name_of(place), workspace_id=workspace)
    target.keep(target.of_project(project), place)
    if as_json:
        screen.emit(project)
    else:
        screen.say(f"Made the project {screen.styled(project.name, 'bold')} and linked {place} to it.")
        screen.say("Deploy this directory with: lr up --new NAME")
    return 0


async def link(
    *,
    project: str | None = None,
    environment: EnvironmentName = None,
    service: ServiceName = None,
    as_json: Json = False,
) -> int:
    """Link this directory to a project, and to one of its services.

    Parameters
    ----------
    project
        Name or id of the project.
    """
    place = Path.cwd().resolve()
    async with session.connect() as client:
        chosen = target.of_project(await _project(client, project))
        if environment:
            full = await client.project(chosen.project_id)
            picked = target.pick(full.environments, environment, f"environment in {chosen.project_name}")
            chosen = target.Target(chosen.project_id, chosen.project_name, picked.id, picked.name)
        services = await client.services(chosen.project_id, environment_id=chosen.environment_id)
    if service:
        chosen = target.with_service(chosen, target.pick(services, service, f"service in {chosen.project_name}"))
    elif len(services) == 1:
        chosen = target.with_service(chosen, services[0])
    elif services and screen.can_ask():
        names = [row.name for row in services]
        chosen = target.with_service(chosen, services[screen.choose("Which service?", names)])
    target.keep(chosen, place)
    if as_json:
        screen.emit(_summary(chosen, place))
    else:
        what = f", service {chosen.service_name}" if chosen.service_name else ""
        screen.say(f"Linked {place} to {chosen.project_name}, {chosen.environment_name}{what}.")
    return 0


async def list_projects(*, as_json: Json = False) -> int:
    """List projects and their services."""
    async with session.connect() as client:
        projects = await client.projects()
        services = await asyncio.gather(*(client.services(project.id) for project in projects))
    if as_json:
        screen.emit(
            [
                {**_plain(project), "services": screen.plain(found)}
                for project, found in zip(projects, services, strict=True)
            ]
        )
    elif not projects:
        screen.say("No projects yet. Make one with: lr init")
    else:
        screen.table(
            ("PROJECT", "ENVIRONMENTS", "SERVICES"),
            [
                (
                    project.name,
                    ", ".join(environment.name for environment in project.environments),
                    ", ".join(service.name for service in found) or "none yet",
                )
                for project, found in zip(projects, services, strict=True)
            ],
        )
    return 0


async def settings(
    *,
    scan_policy: Literal["warn", "block"] | None = None,
    scan_severity: Literal["low", "medium", "high", "critical"] | None = None,
    as_json: Json = False,
) -> int:
    """Show the linked project's settings, or change those that are given; the next build uses them.

    Parameters
    ----------
    scan_policy
        What findings of a scan do to a build. With block, what cannot be scanned ends a build too.
    scan_severity
        Findings this bad or worse count.
    """
    async with session.connect() as client:
        found = await target.find(client)
        with target.may_be_gone():
            if scan_policy is None and scan_severity is None:
                project = await client.project(found.project_id)
            else:
                project = await client.update_project(
                    found.project_id, scan_policy=scan_policy, scan_severity=scan_severity
                )
    if as_json:
        screen.emit(project)
    else:
        screen.table(
            ("SETTING", "VALUE"), [("scan-policy", project.scan_policy), ("scan-severity", project.scan_severity)]
        )
    return 0


async def status(*, environment: EnvironmentName = None, as_json: Json = False) -> int:
    """Show the linked project's services: their newest deployment and where they answer."""
    async with session.connect() as client:
        found = await target.find(client, environment=environment)
        with target.may_be_gone():
            services, deployments = await asyncio.gather(
                client.services(found.project_id, environment_id=found.environment_id),
                client.deployments(project_id=found.project_id, environment_id=found.environment_id, limit=200),
            )
    newest: dict[str, Deployment] = {}
    live: dict[str, Deployment] = {}
    for row in deployments:
        newest.setdefault(row.service_id, row)
        if row.state == "active":
            live.setdefault(row.service_id, row)
    if as_json:
        rows = [
            {**_plain(row), "newest": screen.plain(newest.get(row.id)), "live": screen.plain(live.get(row.id))}
            for row in services
        ]
        screen.emit({**_summary(found, found.directory), "services": rows})
        return 0
    screen.say(f"{screen.styled(found.project_name, 'bold')}, {found.environment_name}")
    if not services:
        screen.say("No services yet. Deploy this directory with: lr up --new NAME")
        return 0
    screen.table(("SERVICE", "STATE", "SINCE", "URL"), [_row(row, newest, live, found) for row in services])
    for service in services:
        last = newest.get(service.id)
        if last is not None and last.state in ("failed", "crashed") and last.reason:
            screen.say(f"{service.name}: {last.reason}")
    return 0


async def open_service(
    *, service: ServiceName = None, environment: EnvironmentName = None, as_json: Json = False
) -> int:
    """Open the service in a browser; without a terminal, or when nothing of it is live, print where it is."""
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        row, newest = await asyncio.gather(
            client.service(found.service_id, environment_id=found.environment_id),
            client.deployments(service_id=found.service_id, environment_id=found.environment_id, limit=200),
        )
    if not row.url:
        raise NotFound(f"{row.name} has no URL.", hint="It is a worker, which nobody visits.")
    is_live = any(deployment.state == "active" for deployment in newest)
    if as_json:
        screen.emit({"service": row.name, "url": row.url, "live": is_live})
        return 0
    screen.say(row.url)
    if not is_live:
        screen.note("Nothing is live there yet. Deploy it with: lr up")
    elif screen.is_terminal():
        webbrowser.open(row.url)
    return 0


async def _project(client: Client, wanted: str | None) -> Project:
    projects = await client.projects()
    if wanted:
        return target.pick(projects, wanted, "project")
    if not projects:
        raise NotFound("You have no projects yet.", hint="Make one with: lr init")
    if not screen.can_ask():
        names = ", ".join(project.name for project in projects[:20])
        raise Invalid(f"Say which project: {names}.", hint="lr link --project NAME")
    return projects[screen.choose("Which project?", [project.name for project in projects])]


def _row(
    service: Service, newest: dict[str, Deployment], live: dict[str, Deployment], found: Target
) -> tuple[str, str, str, str]:
    last, serving = newest.get(service.id), live.get(service.id)
    mark = " *" if service.id == found.service_id else ""
    if last is None:
        return f"{service.name}{mark}", "not deployed", "", ""
    url = (serving.url or "") if serving else ""
    return f"{service.name}{mark}", last.state, screen.moment(last.updated_at), url


def _summary(found: Target, directory: Path | None) -> dict[str, object]:
    return {
        "api": session.api(),
        "directory": str(directory) if directory else None,
        "project_id": found.project_id,
        "project_name": found.project_name,
        "environment_id": found.environment_id,
        "environment_name": found.environment_name,
        "service_id": found.service_id or None,
        "service_name": found.service_name or None,
    }


def _plain(value: object) -> dict[str, object]:
    plain = screen.plain(value)
    return plain if isinstance(plain, dict) else {}
