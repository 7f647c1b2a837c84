"""Puts build together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from libs.attest.keys import SigningKey
from libs.blobs.directory import DirectoryBlobs
from libs.config import load
from libs.db import Database, run_leased, wake_on
from libs.embedded import binaries
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.kernel.units import GIB
from libs.reconcile import Driver
from libs.runtime import Follow, Module, Opened
from libs.runtime.host import Host
from libs.runtime.version import platform_version
from libs.sandbox.clouds import guard_secrets
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Limits
from services.build.adapters.archives import CheckedArchives, archive_limits
from services.build.adapters.attestations import SignedAttestations
from services.build.adapters.bare import BareRepositories
from services.build.adapters.blobs import SweptBlobs
from services.build.adapters.caches import ToolCaches
from services.build.adapters.deployments import PeerDeployments
from services.build.adapters.disk import DiskWatch
from services.build.adapters.git import Git
from services.build.adapters.images.chosen import ChosenBuilder
from services.build.adapters.images.drivers import Wishes, image_drivers
from services.build.adapters.images.own import OwnEngine
from services.build.adapters.images.registry import Registry
from services.build.adapters.machine import ThisMachine
from services.build.adapters.projects import PeerProjects
from services.build.adapters.registries import read_registries
from services.build.adapters.remotes import Remotes
from services.build.adapters.repositories import GitRepositories
from services.build.adapters.runtimes import Runtimes
from services.build.adapters.scanners import FOLDERS, Bench, BlobBills, SandboxedSurveyor, Syft, Trivy, find_program
from services.build.adapters.slug import SlugBuilder
from services.build.adapters.steps import Commands
from services.build.adapters.tools import Tools
from services.build.adapters.workdir import WorkDirs
from services.build.app.builds import BuildDesk
from services.build.app.caches import CacheDesk
from services.build.app.calloff import CallOff
from services.build.app.collect import Collector, Window
from services.build.app.fetching import Fetching
from services.build.app.pipeline import Pipeline
from services.build.app.provenance import ProvenanceDesk
from services.build.app.pushes import Pushes
from services.build.app.queue import Queue
from services.build.app.reactions import Reactions
from services.build.app.reuse import Reuse
from services.build.app.run import BuildRunner
from services.build.app.scanning import SourceScanner
from services.build.app.uploads import Uploads
from services.build.app.wakes import Wakes
from services.build.config import Settings
from services.build.domain.queue import Rules
from services.build.events.codec import encode
from services.build.events.subscriptions import DEPLOY, PROJECT, to_deploy, to_project
from services.build.loops.builds import BuildLoop
from services.build.loops.collect import CollectLoop
from services.build.loops.pushes import PushLoop
from services.build.rpc.git import git_door
from services.build.rpc.servicer import served
from services.build.rpc.upkeep import upkeep
from services.build.store.artifacts import OutboxFacts, PostgresArtifacts, PostgresDependencyLayers, PostgresSnapshots
from services.build.store.builds import CHANNEL, PostgresBuilds
from services.build.store.garbage import PostgresCollections, PostgresGarbage
from services.build.store.log import PostgresLog
from services.build.store.pushes import PostgresPushes
from services.build.store.scans import PostgresReports

MIGRATIONS = Path(__file__).parent / "store" / "migrations"
# Programs that one build may run at once, and bytes of its largest file.
MOST_PROCESSES = 2048
SCAN_PROCESSES = 256
SCAN_MEMORY = 1 * GIB
LARGEST_FILE = 4 * 1024**3
# Seconds that one command of git's may take.
FETCH_SECONDS = 600.0
# Whether what deploy runs applications with can run images: its one runtime starts processes.
RUNS_IMAGES = False
# Seconds after which the engine of image builds is stopped when nobody needs it.
IDLE = 300.0
# Seconds that a start-up keeps everything busy.
QUIET = 60.0
# Three are held for good (relay, notifications, the collections' lease); the others open when they are needed.
CONNECTIONS = 9


@dataclass(frozen=True, slots=True)
class Ground:
    """What every part of build stands on."""

    settings: Settings
    host: Host
    db: Database
    sandbox: Sandbox
    blobs: SweptBlobs
    work: WorkDirs
    caches: ToolCaches
    builds: PostgresBuilds
    log: PostgresLog
    artifacts: PostgresArtifacts
    snapshots: PostgresSnapshots
    ledger: PostgresPushes
    facts: OutboxFacts
    projects: PeerProjects
    deployments: PeerDeployments
    wakes: Wakes

    @classmethod
    async def lay(cls, settings: Settings, host: Host, db: Database) -> Ground:
        """Opens the folders and the sandbox."""
        home = settings.home / "build"
        await guard_secrets(opened=settings.instance_metadata)
        stored = await asyncio.to_thread(DirectoryBlobs, settings.home / "blobs")
        return cls(
            settings=settings,
            host=host,
            db=db,
            sandbox=await Sandbox.open(settings.home),
            blobs=SweptBlobs(stored, home / "blobs.lock", host.clock),
            work=await asyncio.to_thread(WorkDirs, home / "work"),
            caches=ToolCaches(home / "cache", home / "incoming", host.clock),
            builds=PostgresBuilds(db),
            log=PostgresLog(db),
            artifacts=PostgresArtifacts(db),
            snapshots=PostgresSnapshots(db),
            ledger=PostgresPushes(db),
            facts=OutboxFacts(host.outbox(db), encode),
            projects=PeerProjects(host.peer("project")),
            deployments=PeerDeployments(host.peer("deploy")),
            wakes=Wakes(),
        )


@asynccontextmanager
async def open_build(host: Host) -> AsyncIterator[Opened]:
    """Opens build: its database, its builder, its loops. What builds that run no more have left behind goes."""
    settings = load(Settings, host.environ)
    async with host.database(MIGRATIONS, max_size=CONNECTIONS) as db:
        ground = await Ground.lay(settings, host, db)
        running = {one.id for one in await ground.builds.running(host.clock.now())}
        await asyncio.to_thread(ground.work.sweep, running)
        slug = slug_builder(ground)
        builder, engine = chosen_builder(settings, host, slug)
        async with closed(engine):
            yield opened(ground, builder, engine, await source_scanner(ground, slug, running))


@asynccontextmanager
async def closed(engine: OwnEngine | None) -> AsyncIterator[None]:
    """Ends the engine after the block; before it, what a process that was killed left of it."""
    if engine is None:
        yield
        return
    await engine.close()
    try:
        yield
    finally:
        await engine.close()


def opened(on: Ground, builder: ChosenBuilder, engine: OwnEngine | None, scanner: SourceScanner) -> Opened:
    """Everything that build offers and does."""
    settings, db, clock = on.settings, on.db, on.host.clock
    archives = CheckedArchives(on.blobs, settings.home / "build" / "incoming", settings.snapshot_limit)
    repositories = git_repositories(on, archives)
    attestations = SignedAttestations(on.blobs, SigningKey.load(settings.provenance_key_file))
    call_off = CallOff(db.tx, on.facts, on.builds, on.log, on.wakes, clock)
    reports, bills = PostgresReports(db), BlobBills(on.blobs)
    desk = BuildDesk(on.builds, on.log, on.artifacts, call_off, on.wakes, on.deployments, reports, bills)
    cache_desk = CacheDesk(on.caches, PostgresDependencyLayers(db), on.projects, clock)
    bare = BareRepositories(repositories.git, on.sandbox, on.work, repositories.pushed, settings.snapshot_limit, clock)
    pushes = Pushes(on.projects, bare, on.ledger, on.deployments, on.builds, on.log, clock)
    settling = Driver(PushLoop(pushes, on.ledger), clock, concurrency=2)
    reactions = Reactions(on.builds, call_off, bare, clock)
    uploads = Uploads(db.tx, on.facts, on.snapshots, archives, on.projects, clock)
    machine = ThisMachine(settings.home, on.sandbox.memory_of_runs)
    loop = BuildLoop(queue(on, machine), runner(on, builder, repositories, attestations, scanner))
    driver = Driver(loop, clock, concurrency=settings.concurrency)
    loop.freed = driver.wake
    collections = collector(on, machine, builder)
    collecting = Driver(CollectLoop(collections, period=settings.collect_period), clock, concurrency=1)
    return Opened(
        servicers=[
            served(uploads, desk, ProvenanceDesk(desk, on.artifacts, attestations)),
            upkeep(cache_desk, collections),
            git_door(pushes),
        ],
        loops=[
            driver.run,
            settling.run,
            lambda: wake_on(db, CHANNEL, driver.wake, clock),
            lambda: run_leased(db, "collect", clock, lambda: collect(collecting, settings, clock)),
            *([lambda: engine.rest(IDLE)] if engine else []),
        ],
        follows=[Follow(DEPLOY, to_deploy(reactions)), Follow(PROJECT, to_project(reactions))],
    )


def runner(
    on: Ground,
    builder: ChosenBuilder,
    repositories: GitRepositories,
    attestations: SignedAttestations,
    scanner: SourceScanner,
) -> BuildRunner:
    """What does one build."""
    clock = on.host.clock
    return BuildRunner(
        work=on.db.tx,
        facts=on.facts,
        builds=on.builds,
        log=on.log,
        artifacts=on.artifacts,
        builder=builder,
        pipeline=Pipeline(
            builds=on.builds,
            fetching=Fetching(on.db.tx, on.facts, on.builds, on.snapshots, on.projects, repositories, on.ledger, clock),
            projects=on.projects,
            builder=builder,
            reuse=Reuse(on.builds, on.artifacts, builder, attestations, clock),
            attestations=attestations,
            clock=clock,
            version=platform_version(),
            default_builder=on.settings.builder,
            scanner=scanner,
        ),
        wakes=on.wakes,
        clock=clock,
        owner=new_id("run", clock),
        deadline=on.settings.deadline,
    )


def queue(on: Ground, machine: ThisMachine) -> Queue:
    """Who is next, by what an operator lets builds take."""
    return Queue(
        work=on.db.tx,
        facts=on.facts,
        builds=on.builds,
        log=on.log,
        wakes=on.wakes,
        machine=machine,
        clock=on.host.clock,
        rules=Rules(
            most=on.settings.concurrency,
            most_of_workspace=on.settings.workspace_concurrency,
            memory=on.settings.memory,
            disk_reserve=on.settings.disk_reserve,
        ),
        patience=timedelta(seconds=on.settings.queue_seconds),
    )


def collector(on: Ground, machine: ThisMachine, builder: ChosenBuilder) -> Collector:
    """What clears away, and leaves what the operator wants kept."""
    settings = on.settings
    return Collector(
        work=on.db.tx,
        reports=PostgresCollections(on.db),
        disk=machine,
        garbage=PostgresGarbage(on.db),
        deployments=on.deployments,
        blobs=on.blobs,
        caches=on.caches,
        clock=on.host.clock,
        window=Window(
            count=settings.keep_count,
            days=settings.keep_days,
            log_days=settings.log_days,
            cache_bytes=settings.cache_bytes,
            deadline=settings.deadline,
            high_percent=settings.disk_high,
            low_percent=min(settings.disk_low, settings.disk_high),
        ),
        images=builder.stores,
        builders=builder.caches,
    )


def slug_builder(on: Ground) -> SlugBuilder:
    """The builder with everything it uses on this machine."""
    settings, host, home = on.settings, on.host, on.settings.home / "build"
    uv = str(binaries.uv())
    return SlugBuilder(
        work=on.work,
        caches=on.caches,
        blobs=on.blobs,
        sandbox=on.sandbox,
        commands=Commands(
            on.sandbox,
            caps(settings),
            settings.deadline,
            disk_watch(settings, host.clock),
        ),
        layers=PostgresDependencyLayers(on.db),
        runtimes=Runtimes(home / "tools", uv),
        tools=Tools(home / "tools", uv),
        registries=read_registries(host.environ, Path(host.environ.get("HOME") or os.path.expanduser("~"))),  # noqa: PTH111 - a fallback for an unset HOME
        source_limits=archive_limits(settings.snapshot_limit),
        clock=host.clock,
    )


def caps(settings: Settings) -> Limits:
    """What one build may take."""
    return Limits(settings.memory, settings.cpu_millicores, MOST_PROCESSES, LARGEST_FILE)


def disk_watch(settings: Settings, clock: Clock) -> DiskWatch:
    """What stops a build that fills the disk."""
    return DiskWatch(settings.disk_bytes, settings.disk_reserve // 2, clock)


def git_repositories(on: Ground, archives: CheckedArchives) -> GitRepositories:
    """Where commits are fetched from."""
    settings = on.settings
    return GitRepositories(
        git=Git(on.sandbox, caps(settings), FETCH_SECONDS),
        sandbox=on.sandbox,
        work=on.work,
        pushed=settings.home / "build" / "git",
        archives=archives,
        limits=archive_limits(settings.snapshot_limit),
        remotes=Remotes(settings.git_protocols, settings.outbound_allow, settings.git_authorities),
        clock=on.host.clock,
    )


def chosen_builder(settings: Settings, host: Host, slug: SlugBuilder) -> tuple[ChosenBuilder, OwnEngine | None]:
    """The builder that passes each build on to its driver, and the engine that is ended with this process."""
    registry = None
    if settings.registry:
        registry = Registry(
            settings.registry, settings.registry_username, settings.registry_password, settings.registry_insecure
        )
    wishes = Wishes(
        home=settings.home,
        limits=caps(settings),
        disk=disk_watch(settings, host.clock),
        stack=settings.stack,
        docker_host=settings.docker_host,
        network=settings.image_network,
        host_configuration=settings.host_configuration,
        registry=registry,
    )
    drivers = image_drivers(wishes, slug, host.environ, host.clock)
    chosen = ChosenBuilder(
        slug=slug,
        images=drivers.builders,
        default=settings.builder,
        allowed=settings.builders,
        runs_images=RUNS_IMAGES,
        own_secrets=registry.secrets if registry else frozenset(),
        stores=drivers.stores,
        caches=drivers.caches,
    )
    return chosen, drivers.own


async def source_scanner(on: Ground, builder: SlugBuilder, running: set[str]) -> SourceScanner:
    """The scanner with the programs that this machine has; folders of builds that are not running go."""
    settings = on.settings
    folders = await asyncio.to_thread(WorkDirs, settings.home / "build" / "scans")
    await asyncio.to_thread(folders.sweep, {f"{build_id}-{name}" for build_id in running for name in FOLDERS})
    limits = Limits(SCAN_MEMORY, settings.cpu_millicores, SCAN_PROCESSES, LARGEST_FILE)
    bench = Bench(on.sandbox, folders, on.blobs, limits, settings.scan_seconds)
    cache = Path(settings.trivy_db) if settings.trivy_db else settings.home / "trivy"
    trivy = find_program(settings.trivy, "trivy")
    return SourceScanner(
        policies=on.projects,
        surveyor=SandboxedSurveyor(bench, builder.runtimes),
        lister=Syft(bench, find_program(settings.syft, "syft"), builder.source_limits),
        advisories=Trivy(bench, trivy, cache, settings.trivy_db_repository),
        bills=BlobBills(on.blobs),
        reports=PostgresReports(on.db),
    )


async def collect(driver: Driver, settings: Settings, clock: Clock) -> None:
    """Drives the collections; the first one when the platform has started and its disk is quiet again."""
    await clock.sleep(min(settings.collect_period, QUIET))
    await driver.run()


MODULE = Module("build", open_build, needs=("project",))
