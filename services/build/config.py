"""Build's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from libs.config import setting
from libs.git.url import PORTS
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from libs.kernel.units import GIB, MIB, Bytes, parse_bytes
from libs.outbound.addresses import NOTHING, Allowance, parse_allowance
from libs.plans.images.stacks import DEBIAN, STACKS
from libs.plans.plan import BUILDERS, SLUG


def _count(text: str) -> int:
    """A whole number from 0 on."""
    if not text.strip().isdecimal():
        raise Invalid(f"“{text}” is no whole number from 0 on.")
    return int(text)


def _percent(text: str) -> int:
    """A whole number from 1 to 100."""
    if not text.strip().isdecimal() or not 1 <= int(text) <= 100:  # noqa: PLR2004 - percent
        raise Invalid(f"“{text}” is no whole number from 1 to 100.")
    return int(text)


def _seconds(text: str) -> float:
    """Seconds, at least one: a shorter period would keep the disk busy with looking."""
    try:
        seconds = float(text)
    except ValueError as error:
        raise Invalid(f"“{text}” is no number of seconds.") from error
    if not 1 <= seconds < float("inf"):
        raise Invalid(f"“{text}” seconds is too short or no number; at least 1.")
    return seconds


def _protocols(text: str) -> tuple[str, ...]:
    """Ways to reach repositories, as in “https, ssh”."""
    found = tuple(text.replace(",", " ").split())
    unknown = [word for word in found if word not in PORTS]
    if unknown or not found:
        raise Invalid(f"“{text}” are no ways to reach a repository.", hint=f"There are {', '.join(PORTS)}.")
    return found


def _builders(text: str) -> frozenset[str]:
    """Names of builders, as in “docker, buildah”."""
    found = frozenset(text.replace(",", " ").split())
    if unknown := sorted(found - set(BUILDERS)):
        raise Invalid(f"“{unknown[0]}” is no builder.", hint=f"There are {', '.join(BUILDERS)}.")
    return found


def _one_of(*names: str) -> Callable[[str], str]:
    """Reads one of these names."""

    def read(text: str) -> str:
        if text not in names:
            raise Invalid(f"“{text}” is none of {', '.join(names)}.")
        return text

    return read


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; read once, by main."""

    home: Path = setting("LIGHTRAIL_HOME", doc="directory of the platform's data")
    provenance_key_file: Path = setting(
        "LIGHTRAIL_PROVENANCE_KEY_FILE", doc="the key that signs where artifacts come from; known to build alone"
    )
    snapshot_limit: Bytes = setting(
        "LIGHTRAIL_SNAPSHOT_LIMIT",
        default=Bytes(512 * MIB),
        parse=parse_bytes,
        doc="largest source archive that is accepted, packed; unpacked it may be four times as large",
    )
    memory: Bytes = setting(
        "LIGHTRAIL_BUILD_MEMORY_BYTES", default=Bytes(2 * GIB), parse=parse_bytes, doc="memory one build may use"
    )
    cpu_millicores: int = setting(
        "LIGHTRAIL_BUILD_CPU_MILLICORES", default=2000, doc="CPU one build may use, in thousandths of a core"
    )
    deadline: float = setting("LIGHTRAIL_BUILD_DEADLINE_SECONDS", default=20 * 60.0, doc="seconds a build may take")
    concurrency: int = setting("LIGHTRAIL_BUILD_CONCURRENCY", default=2, doc="builds under way at once")
    workspace_concurrency: int = setting(
        "LIGHTRAIL_BUILD_WORKSPACE_CONCURRENCY",
        default=0,
        parse=_count,
        doc="builds of one workspace under way at once; 0: as many as there may be in all",
    )
    queue_seconds: float = setting(
        "LIGHTRAIL_BUILD_QUEUE_SECONDS",
        default=45 * 60.0,
        parse=_seconds,
        doc="seconds after which a build that finds no room is given up",
    )
    disk_bytes: Bytes = setting(
        "LIGHTRAIL_BUILD_DISK_BYTES",
        default=Bytes(10 * GIB),
        parse=parse_bytes,
        doc="disk one build may fill, with what it adds to caches",
    )
    disk_reserve: Bytes = setting(
        "LIGHTRAIL_BUILD_DISK_RESERVE_BYTES",
        default=Bytes(1 * GIB),
        parse=parse_bytes,
        doc="disk that must be free for a build to begin; with half of it left, builds under way are stopped",
    )
    syft: str = setting(
        "LIGHTRAIL_SYFT", default="", doc="path of Syft, which lists packages; empty: as on the PATH; “off”: without"
    )
    trivy: str = setting(
        "LIGHTRAIL_TRIVY", default="", doc="path of Trivy, which knows vulnerabilities; empty and “off” as above"
    )
    trivy_db: str = setting(
        "LIGHTRAIL_TRIVY_DB",
        default="",
        doc="Trivy's cache directory, with its database in db/; empty: trivy/ in the platform's data",
    )
    trivy_db_repository: str = setting(
        "LIGHTRAIL_TRIVY_DB_REPOSITORY",
        default="",
        doc="mirror that Trivy fetches its database from; empty: Trivy never goes to the network",
    )
    scan_seconds: float = setting(
        "LIGHTRAIL_SCAN_DEADLINE_SECONDS", default=300.0, parse=_seconds, doc="seconds each part of a scan may take"
    )
    keep_count: int = setting(
        "LIGHTRAIL_BUILD_KEEP_COUNT",
        default=10,
        parse=_count,
        doc="results of so many successful builds are kept for rollbacks, per service and environment",
    )
    keep_days: int = setting(
        "LIGHTRAIL_BUILD_KEEP_DAYS", default=14, parse=_count, doc="days that results of builds are kept at least"
    )
    log_days: int = setting("LIGHTRAIL_LOG_DAYS", default=30, parse=_count, doc="days that logs are kept")
    cache_bytes: Bytes = setting(
        "LIGHTRAIL_BUILD_CACHE_BYTES",
        default=Bytes(5 * GIB),
        parse=parse_bytes,
        doc="what download caches of package managers and spare layers of images may take, all workspaces together",
    )
    disk_high: int = setting(
        "LIGHTRAIL_DISK_HIGH_PERCENT",
        default=90,
        parse=_percent,
        doc="how full the disk may be before more than usual is collected",
    )
    disk_low: int = setting(
        "LIGHTRAIL_DISK_LOW_PERCENT", default=80, parse=_percent, doc="how full the disk is left by that"
    )
    collect_period: float = setting(
        "LIGHTRAIL_BUILD_COLLECT_PERIOD_SECONDS",
        default=600.0,
        parse=_seconds,
        doc="seconds between two looks for what nobody needs any more",
    )
    git_protocols: tuple[str, ...] = setting(
        "LIGHTRAIL_GIT_PROTOCOLS",
        default=("https", "ssh"),
        parse=_protocols,
        doc="how repositories may be reached: https, ssh, and http where that is wanted",
    )
    git_authorities: Path | None = setting(
        "LIGHTRAIL_GIT_CA_FILE",
        default=None,
        parse=Path,
        doc="file of certificate authorities (PEM) that repositories reached by https are checked against",
    )
    outbound_allow: Allowance = setting(
        "LIGHTRAIL_OUTBOUND_ALLOW",
        default=NOTHING,
        parse=parse_allowance,
        doc="private hosts and networks that people may have the platform connect to, as “git.lan, 10.1.0.0/16”",
    )
    builder: str = setting(
        "LIGHTRAIL_BUILDER",
        default=SLUG,
        parse=_one_of(*BUILDERS),
        doc="what builds when neither service nor source say so: slug, docker or buildah",
    )
    builders: frozenset[str] = setting(
        "LIGHTRAIL_BUILDERS",
        default=frozenset({"docker"}),
        parse=_builders,
        doc="builders that services and sources may choose, beside slug and LIGHTRAIL_BUILDER",
    )
    stack: str = setting(
        "LIGHTRAIL_BUILD_STACK",
        default=DEBIAN,
        parse=_one_of(*STACKS),
        doc="images that builds of images stand on: debian (made by “lr platform stack build”) or official",
    )
    docker_host: str = setting(
        "LIGHTRAIL_DOCKER_HOST",
        default="",
        doc="an engine to build images with, whose builds have no caps; empty: one of our own",
    )
    image_network: str = setting(
        "LIGHTRAIL_IMAGE_BUILD_NETWORK",
        default="",
        parse=_one_of("", "host", "none", "default"),
        doc="network of image builds: empty for a bridge of the platform's own, or host, none",
    )
    instance_metadata: bool = setting(
        "LIGHTRAIL_INSTANCE_METADATA",
        default=False,
        doc="true: what runs in sandboxes reaches where a cloud tells this machine its secrets",
    )
    host_configuration: bool = setting(
        "LIGHTRAIL_IMAGE_BUILD_HOST_CONFIGURATION",
        default=True,
        doc="image builds see the machine's authorities, mirrors and proxies, as mounts that leave nothing behind",
    )
    registry: str = setting(
        "LIGHTRAIL_REGISTRY", default="", doc="where images are pushed: host[:port][/path]; empty: nowhere"
    )
    registry_username: str = setting("LIGHTRAIL_REGISTRY_USERNAME", default="", doc="who pushes images")
    registry_password: Secret[str] | None = setting(
        "LIGHTRAIL_REGISTRY_PASSWORD", default=None, doc="the password of who pushes images"
    )
    registry_insecure: bool = setting(
        "LIGHTRAIL_REGISTRY_INSECURE", default=False, doc="the registry has no certificate that this machine trusts"
    )
