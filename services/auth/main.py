"""Builds auth."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.config import load
from libs.reconcile import Driver
from libs.runtime import Host, Module, Opened
from services.auth.adapters.identities import KeySigner, TableDoors
from services.auth.adapters.passwords import Argon2Passwords
from services.auth.adapters.project import GrpcProjects
from services.auth.adapters.setup_token import SetupTokenFile
from services.auth.app.attempts import Attempts
from services.auth.app.ports import Parts
from services.auth.config import Settings
from services.auth.events.codec import encode
from services.auth.loops.sessions import ForgetSessions
from services.auth.rpc.servicer import servicer
from services.auth.store.outbox import OutboxFacts
from services.auth.store.postgres import PostgresSessions, PostgresTokens, PostgresUsers, PostgresWorkspaces

MIGRATIONS = Path(__file__).parent / "store" / "migrations"


@asynccontextmanager
async def _open(host: Host) -> AsyncIterator[Opened]:
    settings = load(Settings, host.environ)
    passwords = Argon2Passwords()
    try:
        async with host.database(MIGRATIONS) as db:
            parts = Parts(
                clock=host.clock,
                random=os.urandom,
                work=db.tx,
                users=PostgresUsers(db),
                workspaces=PostgresWorkspaces(db),
                tokens=PostgresTokens(db),
                sessions=PostgresSessions(db),
                facts=OutboxFacts(host.outbox(db), encode),
                passwords=passwords,
                setup_token=SetupTokenFile(settings.setup_token_file),
                doors=TableDoors(),
                signer=KeySigner(host.identity),
                attempts=Attempts(host.clock),
                projects=GrpcProjects(host.peer("project")),
            )
            yield Opened(
                servicers=[servicer(parts)],
                loops=[Driver(ForgetSessions(parts), host.clock).run],
            )
    finally:
        passwords.close()


MODULE = Module("auth", _open, needs=("project",))
