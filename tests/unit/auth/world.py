"""A whole auth without a door: the claims about it hold on every store."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from libs.kernel.context import Actor, Ctx, Role, platform
from libs.kernel.errors import NotFound
from libs.rpc import Identity
from libs.testing.clock import VirtualClock
from services.auth.adapters.identities import KeySigner, TableDoors
from services.auth.adapters.passwords import Argon2Passwords
from services.auth.adapters.setup_token import SetupTokenFile
from services.auth.app.accounts import NewAccount, complete_setup, create_user
from services.auth.app.attempts import Attempts
from services.auth.app.authorize import authorize
from services.auth.app.ports import Facts, Parts, Sessions, Tokens, Users, Work, Workspaces
from services.auth.app.sessions import login
from services.auth.app.tokens import NewToken, create_token
from services.auth.domain.model import Scope, User, Workspace

SETUP_TOKEN = "the-one-time-token-of-this-test"
PASSWORD = "correct horse battery"
NOBODY = Ctx(Actor(kind="anonymous"))
GATEWAY = platform("gateway")
ANY_TOKEN = Scope(role=Role.NONE)


@dataclass(frozen=True, slots=True)
class Stores:
    """One driver of every store."""

    work: Work
    users: Users
    workspaces: Workspaces
    tokens: Tokens
    sessions: Sessions
    facts: Facts
    # Subjects recorded so far, in order.
    told: Callable[[], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account who has signed in."""

    user: User
    workspace: Workspace
    credential: str


class ToldProjects:
    """A project service in which everything is everybody's but what is `strange`."""

    def __init__(self) -> None:
        self.strange: set[str] = set()

    async def check(self, ctx: Ctx, scope: Scope) -> None:
        for given in (scope.project_id, scope.environment_id):
            if given in self.strange:
                raise NotFound(f"{given} does not exist, or is not yours to see.")


class World:
    """Auth, and what a test does with it over and over."""

    def __init__(self, stores: Stores, folder: Path, clock: VirtualClock, identity: Identity) -> None:
        self.stores = stores
        self.clock = clock
        self.identity = identity
        self.token_file = folder / "setup-token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(SETUP_TOKEN + "\n")
        self.passwords = Argon2Passwords(passes=1, memory_kib=8)
        self.projects = ToldProjects()
        self.parts = Parts(
            clock=clock,
            random=os.urandom,
            work=stores.work,
            users=stores.users,
            workspaces=stores.workspaces,
            tokens=stores.tokens,
            sessions=stores.sessions,
            facts=stores.facts,
            passwords=self.passwords,
            setup_token=SetupTokenFile(self.token_file),
            doors=TableDoors(),
            signer=KeySigner(identity),
            attempts=Attempts(clock),
            projects=self.projects,
        )

    async def operator(self) -> Person:
        wanted = NewAccount("root@localhost", PASSWORD, "Root")
        account, secret = await complete_setup(NOBODY, self.parts, SETUP_TOKEN, wanted)
        return Person(account.user, account.workspace, secret.reveal())

    async def person(self, name: str = "ada") -> Person:
        email = f"{name}@example.com"
        account = await create_user(platform("test"), self.parts, NewAccount(email, PASSWORD, name.title()))
        signed_in = await login(GATEWAY, self.parts, email, PASSWORD, "10.0.0.1")
        return Person(account.user, account.workspace, signed_in.secret.reveal())

    async def actor(self, credential: str, method: str = "") -> Actor:
        authorized = await authorize(GATEWAY, self.parts, credential, method)
        return self.identity.verify(authorized.identity.reveal(), now=self.clock.now())

    async def ctx(self, who: Person | NewToken | str, required: Role = Role.NONE) -> Ctx:
        match who:
            case Person():
                credential = who.credential
            case NewToken():
                credential = who.secret.reveal()
            case str():
                credential = who
        return Ctx(await self.actor(credential), required=required)

    async def token(
        self,
        by: Person | NewToken,
        scope: Scope = ANY_TOKEN,
        lifetime: int = 0,
        name: str = "ci",
    ) -> NewToken:
        return await create_token(await self.ctx(by), self.parts, name, scope, lifetime)
