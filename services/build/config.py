"""Build's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from libs.config import setting
from libs.kernel.units import GIB, MIB, Bytes, parse_bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; read once, by main."""

    home: Path = setting("LIGHTRAIL_HOME", doc="directory of the platform's data")
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
