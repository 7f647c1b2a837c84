"""Puts build together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import metadata
from pathlib import Path

from libs.attest.keys import SigningKey
from libs.blobs.directory import DirectoryBlobs
from libs.blobs.port import Blobs
from libs.config import load
from libs.db import Database, listen, run_leased
from libs.embedded import binaries
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.kernel.ids import new_id
from libs.kernel.units import GIB
from libs.reconcile import Driver
from libs.runtime import Follow, Module, Opened
from libs.runtime.host import Host
from libs.sandbox.cgroups import open_groups
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
from services.build.adapters.images.buildah import BuildahBuilder
from services.build.adapters.images.chosen import ChosenBuilder
from services.build.adapters.images.docker import DockerBuilder
from services.build.adapters.images.engine import Engine
from services.build.adapters.images.recipes import Kitchen, platform_of
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.rooms import Rooms
from services.build.adapters.images.stores import BuildahImages, EngineImages
from services.build.adapters.machine import ThisMachine
from services.build.adapters.projects import PeerProjects
from services.build.adapters.registries import Registries, read_registries
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
# Seconds that a start-up keeps everything busy.
QUIET = 60.0
# Three are held for good (relay, notifications, the collections' lease); the others open when they are needed.
CONNECTIONS = 9


@asynccontextmanager
async def open_build(host: Host) -> AsyncIterator[Opened]:
    """Opens build: its database, its builder, its loop."""
    settings = load(Settings, host.environ)
    home = settings.home / "build"
    stored = await asyncio.to_thread(DirectoryBlobs, settings.home / "blobs")
    blobs = SweptBlobs(stored, home / "blobs.lock", host.clock)
    sandbox = await Sandbox.open(settings.home)
    async with host.database(MIGRATIONS, max_size=CONNECTIONS) as db:
        projects = PeerProjects(host.peer("project"))
        builds, log = PostgresBuilds(db), PostgresLog(db)
        facts = OutboxFacts(host.outbox(db), encode)
        snapshots, artifacts, wakes = PostgresSnapshots(db), PostgresArtifacts(db), Wakes()
        work = await asyncio.to_thread(WorkDirs, home / "work")
        running = {one.id for one in await builds.running(host.clock.now())}
        await asyncio.to_thread(work.sweep, running)
        caches = ToolCaches(home / "cache", home / "incoming", host.clock)
        slug = slug_builder(settings, host, db, sandbox, blobs, work, caches)
        builder = chosen_builder(settings, host, slug)
        archives = CheckedArchives(blobs, home / "incoming", settings.snapshot_limit)
        repositories = git_repositories(settings, host, sandbox, work, archives)
        ledger = PostgresPushes(db)
        fetching = Fetching(db.tx, facts, builds, snapshots, projects, repositories, ledger, host.clock)
        attestations = SignedAttestations(blobs, SigningKey.load(settings.provenance_key_file))
        reports, bills = PostgresReports(db), BlobBills(blobs)
        scanner = await source_scanner(settings, sandbox, blobs, slug, projects, reports, running)
        runner = BuildRunner(
            work=db.tx,
            facts=facts,
            builds=builds,
            log=log,
            artifacts=artifacts,
            builder=builder,
            pipeline=Pipeline(
                builds=builds,
                fetching=fetching,
                projects=projects,
                builder=builder,
                reuse=Reuse(builds, artifacts, builder, attestations, host.clock),
                attestations=attestations,
                clock=host.clock,
                version=_version(),
                default_builder=settings.builder,
                scanner=scanner,
            ),
            wakes=wakes,
            clock=host.clock,
            owner=new_id("run", host.clock),
            deadline=settings.deadline,
        )
        call_off = CallOff(db.tx, facts, builds, log, wakes, host.clock)
        deployments = PeerDeployments(host.peer("deploy"))
        desk = BuildDesk(builds, log, artifacts, call_off, wakes, deployments, reports, bills)
        cache_desk = CacheDesk(caches, PostgresDependencyLayers(db), projects, host.clock)
        bare = BareRepositories(
            repositories.git, sandbox, work, repositories.pushed, settings.snapshot_limit, host.clock
        )
        pushes = Pushes(projects, bare, ledger, deployments, builds, log, host.clock)
        settling = Driver(PushLoop(pushes, ledger), host.clock, concurrency=2)
        reactions = Reactions(builds, call_off, bare, host.clock)
        uploads = Uploads(db.tx, facts, snapshots, archives, projects, host.clock)
        machine = ThisMachine(settings.home, sandbox.memory_of_runs)
        queue = Queue(
            work=db.tx,
            facts=facts,
            builds=builds,
            log=log,
            wakes=wakes,
            machine=machine,
            clock=host.clock,
            rules=rules(settings),
            patience=timedelta(seconds=settings.queue_seconds),
        )
        loop = BuildLoop(queue, runner)
        driver = Driver(loop, host.clock, concurrency=settings.concurrency)
        loop.freed = driver.wake
        collector = Collector(
            work=db.tx,
            reports=PostgresCollections(db),
            disk=machine,
            garbage=PostgresGarbage(db),
            deployments=deployments,
            blobs=blobs,
            caches=caches,
            clock=host.clock,
            window=window(settings),
            images=builder.stores,
        )
        collecting = Driver(CollectLoop(collector, period=settings.collect_period), host.clock, concurrency=1)
        yield Opened(
            servicers=[
                served(uploads, desk, ProvenanceDesk(desk, artifacts, attestations)),
                upkeep(cache_desk, collector),
                git_door(pushes),
            ],
            loops=[
                driver.run,
                settling.run,
                lambda: wake_on_notify(db, driver, host.clock),
                lambda: run_leased(db, "collect", host.clock, lambda: collect(collecting, settings, host.clock)),
            ],
            follows=[Follow(DEPLOY, to_deploy(reactions)), Follow(PROJECT, to_project(reactions))],
        )


def slug_builder(
    settings: Settings, host: Host, db: Database, sandbox: Sandbox, blobs: Blobs, work: WorkDirs, caches: ToolCaches
) -> SlugBuilder:
    """The builder with everything it uses on this machine."""
    home = settings.home / "build"
    uv = str(binaries.uv())
    limits = Limits(settings.memory, settings.cpu_millicores, MOST_PROCESSES, LARGEST_FILE)
    return SlugBuilder(
        work=work,
        caches=caches,
        blobs=blobs,
        sandbox=sandbox,
        commands=Commands(
            sandbox,
            limits,
            settings.deadline,
            DiskWatch(settings.disk_bytes, settings.disk_reserve // 2, host.clock),
        ),
        layers=PostgresDependencyLayers(db),
        runtimes=Runtimes(home / "tools", uv),
        tools=Tools(home / "tools", uv),
        registries=read_registries(host.environ, Path(host.environ.get("HOME") or os.path.expanduser("~"))),  # noqa: PTH111 - a fallback for an unset HOME
        source_limits=archive_limits(settings.snapshot_limit),
        clock=host.clock,
    )


def rules(settings: Settings) -> Rules:
    """What an operator lets builds take."""
    return Rules(
        most=settings.concurrency,
        most_of_workspace=settings.workspace_concurrency,
        memory=settings.memory,
        disk_reserve=settings.disk_reserve,
    )


def git_repositories(
    settings: Settings, host: Host, sandbox: Sandbox, work: WorkDirs, archives: CheckedArchives
) -> GitRepositories:
    """Where commits are fetched from."""
    limits = Limits(settings.memory, settings.cpu_millicores, MOST_PROCESSES, LARGEST_FILE)
    return GitRepositories(
        git=Git(sandbox, limits, FETCH_SECONDS),
        sandbox=sandbox,
        work=work,
        pushed=settings.home / "build" / "git",
        archives=archives,
        limits=archive_limits(settings.snapshot_limit),
        remotes=Remotes(settings.git_protocols, settings.outbound_allow, settings.git_authorities),
        clock=host.clock,
    )


def chosen_builder(settings: Settings, host: Host, slug: SlugBuilder) -> ChosenBuilder:
    """The builder that passes each build on to its driver."""
    registry = None
    if settings.registry:
        registry = Registry(
            settings.registry, settings.registry_username, settings.registry_password, settings.registry_insecure
        )
    limits = Limits(settings.memory, settings.cpu_millicores, MOST_PROCESSES, LARGEST_FILE)
    rooms = Rooms(open_groups(f"{platform_of(settings.home)}-images"), limits, host.clock)
    kitchen = Kitchen(
        work=slug.work,
        key=settings.home / "build" / "variables.key",
        registries=slug.registries if settings.host_configuration else Registries(),
        stack=settings.stack,
        platform=platform_of(settings.home),
    )
    docker = DockerBuilder(
        engine=Engine(settings.docker_host or host.environ.get("DOCKER_HOST", ""), host.environ),
        kitchen=kitchen,
        stacks=settings.home / "stacks",
        blobs=slug.blobs,
        clock=host.clock,
        rooms=rooms,
        network=settings.image_network,
        registry=registry,
    )
    buildah = BuildahBuilder(
        home=settings.home / "build" / "buildah",
        kitchen=kitchen,
        stacks=settings.home / "stacks",
        blobs=slug.blobs,
        clock=host.clock,
        rooms=rooms,
        environ=host.environ,
        network=settings.image_network,
        registry=registry,
    )
    return ChosenBuilder(
        slug=slug,
        images={"docker": docker, "buildah": buildah},
        default=settings.builder,
        runs_images=RUNS_IMAGES,
        own_secrets=registry.secrets if registry else frozenset(),
        stores=(EngineImages(docker.engine, kitchen.platform), BuildahImages(buildah, kitchen.platform)),
    )


async def source_scanner(
    settings: Settings,
    sandbox: Sandbox,
    blobs: Blobs,
    builder: SlugBuilder,
    projects: PeerProjects,
    reports: PostgresReports,
    running: set[str],
) -> SourceScanner:
    """The scanner with the programs that this machine has; folders of builds that are not running go."""
    folders = await asyncio.to_thread(WorkDirs, settings.home / "build" / "scans")
    await asyncio.to_thread(folders.sweep, {f"{build_id}-{name}" for build_id in running for name in FOLDERS})
    limits = Limits(SCAN_MEMORY, settings.cpu_millicores, SCAN_PROCESSES, LARGEST_FILE)
    bench = Bench(sandbox, folders, blobs, limits, settings.scan_seconds)
    cache = Path(settings.trivy_db) if settings.trivy_db else settings.home / "trivy"
    trivy = find_program(settings.trivy, "trivy")
    return SourceScanner(
        policies=projects,
        surveyor=SandboxedSurveyor(bench, builder.runtimes),
        lister=Syft(bench, find_program(settings.syft, "syft"), builder.source_limits),
        advisories=Trivy(bench, trivy, cache, settings.trivy_db_repository),
        bills=BlobBills(blobs),
        reports=reports,
    )


def window(settings: Settings) -> Window:
    """What the operator wants kept."""
    return Window(
        count=settings.keep_count,
        days=settings.keep_days,
        log_days=settings.log_days,
        cache_bytes=settings.cache_bytes,
        deadline=settings.deadline,
        high_percent=settings.disk_high,
        low_percent=min(settings.disk_low, settings.disk_high),
    )


async def collect(driver: Driver, settings: Settings, clock: Clock) -> None:
    """Drives the collections; the first one when the platform has started and its disk is quiet again."""
    await clock.sleep(min(settings.collect_period, QUIET))
    await driver.run()


async def wake_on_notify(db: Database, driver: Driver, clock: Clock) -> None:
    """Wakes the loop when the database says that a build may be ready; listens again when the connection is lost."""
    while True:
        try:
            async with db.connection() as connection, listen(connection, {CHANNEL: lambda _: driver.wake()}) as lost:
                driver.wake()
                await lost.wait()
        except Unavailable:
            pass  # the loop's own period goes on; listened again below
        await clock.sleep(1.0)


def _version() -> str:
    try:
        return metadata.version("lightrail")
    except metadata.PackageNotFoundError:
        return "0.0.0"


MODULE = Module("build", open_build, needs=("project",))
