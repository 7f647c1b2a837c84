"""What the services behind the gateway hold in these tests."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from libs.attest.keys import SigningKey
from libs.kernel.clock import Clock
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.errors import Invalid
from libs.kernel.ids import new_id
from libs.kernel.units import MIB
from libs.protogen.lightrail.auth.v1 import auth_pb2
from libs.protogen.lightrail.common.v1 import authorization_pb2, facts_pb2
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from libs.protogen.lightrail.project.v1 import project_pb2, source_pb2
from libs.rpc import Identity, current

EMAIL, PASSWORD, SETUP_TOKEN = "owner@example.test", "correct horse", "one-time"
STATES = deploy_pb2.DeploymentState
EDGE_TOKEN = "shown by the edge"
LARGEST_UPLOAD = 8 * MIB
MANIFEST = b'{"layers":[]}'
LIVE, FAILED = STATES.DEPLOYMENT_STATE_ACTIVE, STATES.DEPLOYMENT_STATE_FAILED


@dataclass
class World:
    """What the other services hold. Tests read and change it directly."""

    clock: Clock
    identity: Identity
    claimed: bool = False
    actors: dict[str, Actor] = field(default_factory=dict)
    emails: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, auth_pb2.Token] = field(default_factory=dict)
    workspaces: dict[str, auth_pb2.Workspace] = field(default_factory=dict)
    projects: dict[str, project_pb2.Project] = field(default_factory=dict)
    services: dict[str, project_pb2.Service] = field(default_factory=dict)
    variables: dict[tuple[str, str], dict[str, project_pb2.Variable]] = field(default_factory=dict)
    sources: dict[str, source_pb2.Source] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    deployments: dict[str, deploy_pb2.Deployment] = field(default_factory=dict)
    build_lines: dict[str, list[str]] = field(default_factory=dict)
    building: set[str] = field(default_factory=set)
    log_lines: list[deploy_pb2.LogLine] = field(default_factory=list)
    facts: list[facts_pb2.Fact] = field(default_factory=list)
    letters: dict[str, facts_pb2.DeadLetter] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    # Full names of the RPCs that were called, in order, with who called.
    calls: list[tuple[str, Ctx]] = field(default_factory=list)
    # Names of the RPCs that do not answer while they are here.
    held: set[str] = field(default_factory=set)
    provenance_key: SigningKey = field(default_factory=SigningKey.generate)
    manifest: bytes = MANIFEST
    envelope: bytes = b""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def now(self) -> datetime:
        return self.clock.now()

    def sign_up(self, email: str, *, operator: bool = False) -> str:
        """An account with a workspace of its own; gives its session token."""
        user, workspace = new_id("user", self.clock), auth_pb2.Workspace(id=new_id("workspace", self.clock), name=email)
        workspace.role = authorization_pb2.ROLE_OWNER
        workspace.created_at.FromDatetime(self.now())
        self.workspaces[workspace.id] = workspace
        session = f"ls_{hashlib.sha256(email.encode()).hexdigest()}"
        self.actors[session] = Actor(kind="user", id=user, roles={workspace.id: Role.OWNER}, operator=operator)
        self.emails[user] = email
        return session

    def user(self, actor: Actor) -> auth_pb2.User:
        made = auth_pb2.User(id=actor.id, email=self.emails[actor.id], name="N", operator=actor.operator)
        made.created_at.FromDatetime(self.now())
        return made

    async def moves(self, deployment_id: str, state: int, reason: str = "") -> None:
        """Puts a deployment into a state."""
        deployment = self.deployments[deployment_id]
        deployment.state = deploy_pb2.DeploymentState.ValueType(state)
        deployment.reason = reason
        deployment.updated_at.FromDatetime(self.now())
        if state == LIVE:
            deployment.went_live_at.FromDatetime(self.now())
        await self.tell()

    async def hold(self, method: str) -> None:
        """Waits while an RPC is held; `tell` lets it look again."""
        async with self.changed:
            await self.changed.wait_for(lambda: method not in self.held)

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def seen(world: World, method: str) -> Ctx:
    """Notes that an RPC was called, and gives the caller."""
    ctx = current()
    world.calls.append((method, ctx))
    return ctx


def start_of(cursor: str) -> int:
    if not cursor.isdecimal() and cursor:
        raise Invalid("This is no cursor of ours.", field="cursor")
    return int(cursor or 0)
