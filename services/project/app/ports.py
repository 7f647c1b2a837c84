"""What the use cases need from outside, by what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.kernel.clock import Clock
from services.project.domain.facts import Happened
from services.project.domain.model import Environment, Project, Scope, Service, Setup
from services.project.domain.render import Node
from services.project.domain.settings import Settings
from services.project.domain.variables import Change, Content

# Workspaces a caller may see; None: all of them (platform services).
Workspaces = Sequence[str] | None


class Work(Protocol):
    """Opens a transaction, or joins the one under way."""

    def __call__(self) -> AbstractAsyncContextManager[object]:
        """Everything stored in its body is kept together or not at all."""
        ...


class Projects(Protocol):
    """Projects and their environments. What is not in one of `workspaces` does not exist."""

    async def add(self, project: Project, key: str) -> None:
        """Keeps a new project; Conflict when its workspace has one with this key."""
        ...

    async def get(self, project_id: str, workspaces: Workspaces, *, lock: bool = False) -> Project | None:
        """The project; with `lock` nobody else changes what belongs to it until the transaction ends."""
        ...

    async def with_key(self, workspace_id: str, key: str) -> Project | None:
        """The project of a workspace that has this key."""
        ...

    async def page(self, workspaces: Workspaces, project_id: str, after: str, limit: int) -> list[Project]:
        """Projects with ids above `after`, oldest first; only the one given when the caller is bound to it."""
        ...

    async def change(self, project: Project) -> None:
        """Keeps what can be changed of a project."""
        ...

    async def delete(self, project: Project) -> None:
        """Forgets the project and everything in it."""
        ...

    async def add_environment(self, environment: Environment) -> None:
        """Keeps a new environment."""
        ...

    async def environment(
        self, environment_id: str, workspaces: Workspaces, *, lock: bool = False
    ) -> Environment | None:
        """The environment; with `lock` nobody else changes its variables until the transaction ends."""
        ...

    async def environments(
        self, project_ids: Sequence[str], workspaces: Workspaces, *, lock: bool = False
    ) -> list[Environment]:
        """Environments of these projects, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """A service by name; a deleted one is remembered for the references that meant it."""

    id: str
    name: str
    deleted: bool


class Services(Protocol):
    """Services and how each is set up in each environment."""

    async def add(self, service: Service, environments: Sequence[Environment], settings: Settings) -> None:
        """Keeps a new service, set up alike in these environments."""
        ...

    async def add_environment(self, environment: Environment, like: Environment) -> None:
        """Sets up every service of the project in a new environment as it is in another one."""
        ...

    async def get(self, service_id: str, workspaces: Workspaces) -> Service | None:
        """The service."""
        ...

    async def setup(
        self, service_id: str, environment_id: str, workspaces: Workspaces, *, lock: bool = False
    ) -> Setup | None:
        """The service as it is set up in an environment; with `lock` nobody else changes that meanwhile."""
        ...

    async def setup_by_name(self, name: str, environment_id: str, workspaces: Workspaces) -> Setup | None:
        """The service that has this name in the environment's project."""
        ...

    async def setups(self, environment_id: str, workspaces: Workspaces) -> list[Setup]:
        """All services as they are set up in an environment, by name."""
        ...

    async def known(self, project_id: str, workspace_id: str) -> list[Known]:
        """All services that the project has or had, oldest first."""
        ...

    async def save(self, setup: Setup) -> None:
        """Keeps its settings and its name."""
        ...

    async def claimed(self, setup: Setup) -> None:
        """Keeps the host name it was given, and nothing else of it."""
        ...

    async def delete(self, service: Service, at: datetime) -> None:
        """Forgets its settings and variables; only its name stays known."""
        ...


class Variables(Protocol):
    """Variables by scope, every version of them, encrypted where they are kept."""

    async def load(self, scope: Scope, at: int | None = None) -> Content:
        """The scope's variables as they were at version `at` of the environment; None: as they are."""
        ...

    async def version(self, scope: Scope) -> int:
        """The version in which the scope changed last; 0: never."""
        ...

    async def environment_version(self, scope: Scope) -> int:
        """The newest version of any scope in this environment."""
        ...

    async def save(self, scope: Scope, change: Change, *, by: str, at: datetime) -> int:
        """Keeps a change as the environment's next version, and tells which one that is."""
        ...

    async def users(self, scope: Scope, nodes: Sequence[Node]) -> list[Node]:
        """Variables in the scope's environment that refer to one of these; a node without a name means all of it."""
        ...


class HostNames(Protocol):
    """Names under which the edge serves apps; the router owns them."""

    async def claim(self, setup: Setup) -> str:
        """The host name of a service in an environment, the same one every time; Unavailable while it is away."""
        ...


class Randomness(Protocol):
    """Chance that nobody can predict."""

    def below(self, limit: int) -> int:
        """A number from 0 up to, but not including, `limit`."""
        ...


class Facts(Protocol):
    """What happened, told to the rest of the platform."""

    async def record(self, fact: Happened) -> None:
        """Tells it if and only if the running transaction commits."""
        ...


# Where a value belongs: workspace, environment, service, name, and whether it is sealed.
Place = tuple[str, ...]


class Keyring(Protocol):
    """Encrypts what is kept, many values at a time. What was sealed for one place opens for no other."""

    @property
    def key_id(self) -> str:
        """Tells keys apart; says nothing about the key."""
        ...

    async def seal(self, items: Sequence[tuple[Place, bytes]]) -> list[bytes]:
        """The ciphertext of each value, for its place."""
        ...

    async def open(self, items: Sequence[tuple[Place, bytes]]) -> list[bytes]:
        """What each box holds; Invalid when one was changed, moved, or sealed with another key."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """All that is kept."""

    projects: Projects
    services: Services
    variables: Variables


@dataclass(frozen=True, slots=True)
class Means:
    """What a use case acts with."""

    work: Work
    facts: Facts
    clock: Clock
    randomness: Randomness
