"""Builds the project service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from libs.config import load
from libs.keyring.local import LocalKeyring
from libs.runtime import Host, Module, Opened
from services.project.adapters.deploy_keys import make_deploy_key
from services.project.adapters.randomness import SystemRandomness
from services.project.adapters.router import RouterHostNames
from services.project.app.domains import Domains
from services.project.app.finding import Finder
from services.project.app.ports import Kept, Means
from services.project.app.projects import ProjectUseCases
from services.project.app.services import ServiceUseCases
from services.project.app.sources import SourceUseCases
from services.project.app.variables import VariableUseCases
from services.project.config import Config
from services.project.events.outbox import OutboxFacts
from services.project.rpc import sources as source_door
from services.project.rpc.servicer import ADD, ProjectServicer
from services.project.store.projects import PostgresProjects
from services.project.store.services import PostgresServices
from services.project.store.sources import PostgresSources
from services.project.store.variables import PostgresVariables

MIGRATIONS: Final = Path(__file__).parent / "store" / "migrations"


@asynccontextmanager
async def open_project(host: Host) -> AsyncIterator[Opened]:
    """Opens the service; Invalid when the secrets key is missing, exposed, a placeholder, or the wrong one."""
    config = load(Config, host.environ)
    keyring = LocalKeyring.from_file(config.secrets_key_file, "variable")
    async with host.database(MIGRATIONS) as db:
        variables = PostgresVariables(db, keyring)
        await variables.check_key()
        sources = PostgresSources(db, keyring)
        await sources.check_key()
        kept = Kept(PostgresProjects(db), PostgresServices(db), variables)
        means = Means(db.tx, OutboxFacts(host.outbox(db)), host.clock, SystemRandomness())
        finder = Finder(kept.projects, kept.services)
        domains = Domains(RouterHostNames(host.peer("router")), kept.services, host.clock)
        servicer = ProjectServicer(
            ProjectUseCases(kept, means, finder, sources),
            ServiceUseCases(kept, means, finder, domains),
            VariableUseCases(kept, means, finder, domains),
        )
        source_servicer = source_door.SourceServicer(SourceUseCases(db.tx, sources, finder, make_deploy_key))
        yield Opened(servicers=[(ADD, servicer), (source_door.ADD, source_servicer)])


MODULE: Final = Module("project", open_project)
