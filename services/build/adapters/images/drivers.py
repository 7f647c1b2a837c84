"""Puts the builders of images together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.kernel.clock import Clock
from libs.sandbox.cgroups import Groups, open_groups
from libs.sandbox.spec import Limits
from services.build.adapters.disk import DiskWatch
from services.build.adapters.images.bridge import Bridge
from services.build.adapters.images.buildah import BuildahBuilder
from services.build.adapters.images.chosen import ImageBuilder
from services.build.adapters.images.docker import DockerBuilder
from services.build.adapters.images.engine import Daemon, Engine, MachineEngine
from services.build.adapters.images.own import OwnEngine
from services.build.adapters.images.recipes import Kitchen, platform_of
from services.build.adapters.images.records import EngineCaches
from services.build.adapters.images.registry import Registry, lay_logins
from services.build.adapters.images.remembered import Remembered
from services.build.adapters.images.rooms import Rooms
from services.build.adapters.images.stores import BuildahCaches, BuildahImages, EngineImages
from services.build.adapters.registries import Registries
from services.build.adapters.slug import SlugBuilder
from services.build.app.keeping import BuilderCaches, Images

# Networks of image builds on which the platform's own engine needs none of its own.
_ELSEWHERE = frozenset({"host", "none"})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator says about images."""

    home: Path
    limits: Limits
    disk: DiskWatch
    stack: str
    # Empty: an engine of the platform's own, where that is possible.
    docker_host: str
    network: str
    host_configuration: bool
    registry: Registry | None


@dataclass(frozen=True, slots=True)
class Drivers:
    """Builders by name, and what collections have to know; `own` is the engine that has to be ended with us."""

    builders: Mapping[str, ImageBuilder]
    stores: tuple[Images, ...]
    caches: tuple[BuilderCaches, ...]
    own: OwnEngine | None


def image_drivers(wishes: Wishes, slug: SlugBuilder, environ: Mapping[str, str], clock: Clock) -> Drivers:
    """Both drivers, on the ground that the slug builder has laid."""
    platform = platform_of(wishes.home)
    groups = open_groups(f"{platform}-images")
    rooms = Rooms(groups, wishes.limits, clock)
    kitchen = Kitchen(
        work=slug.work,
        key=wishes.home / "build" / "variables.key",
        registries=slug.registries if wishes.host_configuration else Registries(),
        stack=wishes.stack,
        platform=platform,
    )
    logins = wishes.home / "build" / "registries"
    lay_logins(logins, Path(environ.get("HOME", "/root")) / ".docker" / "cli-plugins")
    host = wishes.docker_host or environ.get("DOCKER_HOST", "")
    own = None if host else own_engine(wishes, groups, environ, clock)
    daemon: Daemon = own or MachineEngine(host)
    docker = DockerBuilder(
        engine=Engine(daemon, environ, logins),
        kitchen=kitchen,
        stacks=wishes.home / "stacks",
        blobs=slug.blobs,
        clock=clock,
        rooms=rooms,
        network=wishes.network,
        registry=wishes.registry,
        disk=wishes.disk,
    )
    buildah = BuildahBuilder(
        home=wishes.home / "build" / "buildah",
        kitchen=kitchen,
        stacks=wishes.home / "stacks",
        blobs=slug.blobs,
        clock=clock,
        rooms=rooms,
        environ=environ,
        network=wishes.network,
        registry=wishes.registry,
        disk=wishes.disk,
        logins=logins,
    )
    kept: tuple[BuilderCaches, ...] = (EngineCaches(own, Remembered(own)),) if own else ()
    return Drivers(
        builders={"docker": docker, "buildah": buildah},
        stores=(EngineImages(docker.engine, platform, Remembered(daemon)), BuildahImages(buildah, platform)),
        caches=(*kept, BuildahCaches(buildah)),
        own=own,
    )


def own_engine(wishes: Wishes, groups: Groups | None, environ: Mapping[str, str], clock: Clock) -> OwnEngine | None:
    """An engine of the platform's own; None where it cannot be had: it needs root, control groups and `dockerd`."""
    program = shutil.which("dockerd", path=environ.get("PATH", os.defpath))
    if groups is None or os.geteuid() != 0 or program is None:
        return None
    platform = platform_of(wishes.home)
    insecure = wishes.registry is not None and wishes.registry.insecure
    return OwnEngine(
        home=wishes.home / "build" / "docker",
        run=Path("/run/lightrail") / platform,
        groups=groups,
        bridge=None if wishes.network in _ELSEWHERE else Bridge(platform, environ),
        clock=clock,
        environ=environ,
        insecure=(wishes.registry.host,) if wishes.registry and insecure else (),
    )
