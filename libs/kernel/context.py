"""Who calls, and on whose behalf: the first argument of every use case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from libs.kernel.errors import Denied, Invalid, NotFound


class Role(IntEnum):
    """What a member may do in a workspace; each includes those below. Numbers as on the wire."""

    NONE = 0
    VIEWER = 1
    DEVELOPER = 2
    ADMIN = 3
    OWNER = 4


@dataclass(frozen=True, slots=True)
class Actor:
    """An identified caller. A `service` is a part of the platform itself and may see every workspace."""

    kind: Literal["user", "service", "anonymous"]
    id: str = ""
    # Workspace id -> role, already narrowed by the token that was used.
    roles: Mapping[str, Role] = field(default_factory=dict)
    operator: bool = False
    # Set when the token is bound to one project or environment.
    project_id: str = ""
    environment_id: str = ""
    # The API token used, if any.
    token_id: str = ""


@dataclass(frozen=True, slots=True)
class Ctx:
    """The call: its actor, the role its door demands, its trace, its deadline (monotonic seconds)."""

    actor: Actor
    required: Role = Role.NONE
    request_id: str = ""
    traceparent: str = ""
    deadline: float | None = None

    @property
    def workspaces(self) -> list[str] | None:
        """Workspaces the caller may see, for every query's tenant clause; None: all (platform services)."""
        return None if self.actor.kind == "service" else sorted(self.actor.roles)

    def allow(self, workspace_id: str, project_id: str = "", environment_id: str = "", *, what: str = "It") -> None:
        """Passes when the actor may do what this door demands to a thing of this workspace.

        NotFound when the thing is not the actor's to see, Denied when the role does not reach.
        """
        actor = self.actor
        if actor.kind == "service":
            return
        role = actor.roles.get(workspace_id, Role.NONE)
        outside_project = bool(actor.project_id and project_id and actor.project_id != project_id)
        outside_environment = bool(actor.environment_id and environment_id and actor.environment_id != environment_id)
        if role is Role.NONE or outside_project or outside_environment:
            raise NotFound(f"{what} does not exist, or is not yours to see.")
        if role < self.required:
            raise Denied(
                f"This needs the role {self.required.name.lower()} in the workspace; yours is {role.name.lower()}.",
                hint="Ask an admin of the workspace.",
            )

    def only_workspace(self, asked: str) -> str:
        """The workspace meant by a call that may leave it out: the one asked for, else the caller's only one.

        NotFound when the one asked for is not theirs to see, Invalid when it has to be said.
        """
        if asked:
            self.allow(asked, what=f"Workspace {asked[:64]}")
            return asked
        if len(self.actor.roles) == 1:
            workspace = next(iter(self.actor.roles))
            self.allow(workspace)
            return workspace
        raise Invalid("Say which workspace: you have none, or more than one.", field="workspace_id")


def platform(service: str) -> Ctx:
    """The context of work that a service does by itself: loops and reactions."""
    return Ctx(actor=Actor(kind="service", id=service, operator=True))
