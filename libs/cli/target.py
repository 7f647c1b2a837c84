"""Which project, environment and service is meant: by options, by the directory's link, or by the token's scope."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from libs.cli import session, store
from libs.kernel.errors import Conflict, Invalid, NotFound
from libs.kernel.ids import is_id

if TYPE_CHECKING:
    from libs.sdk.client import Client
    from libs.sdk.models import Environment, Project, Service

_NO_NAME = re.compile(r"[^a-z0-9]+")
_OLD_LINK: Final = "If the directory's link is old: lr link links it again, lr init makes a new project for it."


class _Named(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


NamedT = TypeVar("NamedT", bound=_Named)


@dataclass(frozen=True, slots=True)
class Target:
    """What a command is about. Service empty: the project as a whole."""

    project_id: str
    project_name: str
    environment_id: str
    environment_name: str
    service_id: str = ""
    service_name: str = ""
    # The directory whose link led here; None when it was the token.
    directory: Path | None = None


async def find(
    client: Client, *, service: str | None = None, environment: str | None = None, place: Path | None = None
) -> Target:
    """The target of a command run in `place` (here unless given).

    NotFound says what to do when the directory is not linked.
    """
    found = await _scope(client, (place or Path.cwd()).resolve())
    if environment:
        with may_be_gone():
            project = await client.project(found.project_id)
        chosen = pick(project.environments, environment, f"environment in {found.project_name}")
        found = _with_environment(found, chosen)
    if service:
        with may_be_gone():
            services = await client.services(found.project_id, environment_id=found.environment_id)
        return with_service(found, pick(services, service, f"service in {found.project_name}"))
    return found


async def find_service(
    client: Client, *, service: str | None = None, environment: str | None = None, place: Path | None = None
) -> Target:
    """A target with a service: the one named, the linked one, or the project's only one."""
    found = await find(client, service=service, environment=environment, place=place)
    if found.service_id:
        return found
    with may_be_gone():
        services = await client.services(found.project_id, environment_id=found.environment_id)
    if len(services) == 1:
        return with_service(found, services[0])
    if not services:
        raise NotFound(f"{found.project_name} has no service yet.", hint="Make one with: lr up --new NAME")
    names = ", ".join(row.name for row in services)
    raise Invalid(f"{found.project_name} has several services: {names}.", hint="Say which with --service NAME.")


@contextmanager
def may_be_gone() -> Iterator[None]:
    """Runs what asks for a linked project or service; its NotFound says how to link anew."""
    try:
        yield
    except NotFound as failure:
        raise NotFound(failure.message, hint=failure.hint or _OLD_LINK) from failure


async def living_link(client: Client, place: Path) -> store.Link | None:
    """The link that covers a directory; None when there is none, or its project is gone."""
    link = store.link(session.api(), place)
    if link is None:
        return None
    try:
        await client.project(link.project_id)
    except NotFound:
        return None
    return link


def pick(rows: Sequence[NamedT], wanted: str, what: str) -> NamedT:
    """The row with this id or name. NotFound names those there are; Conflict when a name is not enough."""
    matching = [row for row in rows if row.id == wanted] or [row for row in rows if row.name == wanted]
    matching = matching or [row for row in rows if row.name.lower() == wanted.lower()]
    if not matching:
        names = ", ".join(row.name for row in rows[:20]) or "none yet"
        raise NotFound(f"There is no {what} called “{wanted}”.", hint=f"There are: {names}.")
    if len(matching) > 1:
        ids = ", ".join(row.id for row in matching)
        raise Conflict(f"There is more than one {what} called “{wanted}”.", hint=f"Give the id: {ids}.")
    return matching[0]


def with_service(target: Target, service: Service) -> Target:
    """The target, narrowed to a service."""
    return Target(
        target.project_id,
        target.project_name,
        target.environment_id or service.environment_id,
        target.environment_name or service.environment_name,
        service.id,
        service.name,
        target.directory,
    )


def of_project(project: Project, directory: Path | None = None) -> Target:
    """A project's first environment as a target."""
    first = project.environments[0] if project.environments else None
    return Target(
        project.id,
        project.name,
        first.id if first else "",
        first.name if first else "",
        directory=directory,
    )


def keep(target: Target, directory: Path) -> None:
    """Links a directory to a target."""
    store.keep_link(
        session.api(),
        store.Link(
            str(directory),
            target.project_id,
            target.project_name,
            target.environment_id,
            target.environment_name,
            target.service_id,
            target.service_name,
        ),
    )


def name_of(directory: Path) -> str:
    """A name for what is in a directory: its own, in the letters names may have."""
    return _NO_NAME.sub("-", directory.name.lower()).strip("-")[:40].strip("-") or "app"


def deployment_id(given: str) -> str:
    """The id as given. Invalid when it has not the shape of one, which saves a puzzling answer."""
    if not is_id(given, "deployment"):
        raise Invalid(f"“{given}” is no deployment id.", hint="lr deployments lists them.")
    return given


async def _scope(client: Client, place: Path) -> Target:
    link = store.link(session.api(), place)
    if link is not None:
        return Target(
            link.project_id,
            link.project_name,
            link.environment_id,
            link.environment_name,
            link.service_id,
            link.service_name,
            Path(link.directory),
        )
    # A token made for one project needs no link: that is how a pipeline deploys.
    token = (await client.me()).token
    if token is not None and token.project_id:
        project = await client.project(token.project_id)
        found = of_project(project)
        if token.environment_id:
            return _with_environment(found, pick(project.environments, token.environment_id, "environment"))
        return found
    raise NotFound(
        f"{place} is not linked to a project.", hint="Make one with lr init, or link an existing one with lr link."
    )


def _with_environment(target: Target, environment: Environment) -> Target:
    return Target(
        target.project_id,
        target.project_name,
        environment.id,
        environment.name,
        target.service_id,
        target.service_name,
        target.directory,
    )
