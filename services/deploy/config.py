"""Settings of deploy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from libs.config import setting
from libs.kernel.units import GIB, parse_bytes


@dataclass(frozen=True, slots=True)
class Config:
    """Read once, by main."""

    home: Path = setting("LIGHTRAIL_HOME", doc="where the platform keeps its data")
    secrets_key_file: Path = setting("LIGHTRAIL_SECRETS_KEY_FILE", doc="the key that seals secrets at rest")
    provenance_public_key_file: Path = setting(
        "LIGHTRAIL_PROVENANCE_PUBLIC_KEY_FILE", doc="what artifacts' provenance is checked with before they start"
    )
    instance_memory_bytes: int = setting(
        "LIGHTRAIL_INSTANCE_MEMORY", default=GIB, parse=parse_bytes, doc="memory limit of an instance, as in 1GiB"
    )
    instance_cpu_millicores: int = setting(
        "LIGHTRAIL_INSTANCE_CPU", default=2000, doc="CPU limit of an instance, in thousandths of a core"
    )
    instance_metadata: bool = setting(
        "LIGHTRAIL_INSTANCE_METADATA",
        default=False,
        doc="true: what runs in sandboxes reaches where a cloud tells this machine its secrets",
    )
    log_days: int = setting("LIGHTRAIL_LOG_DAYS", default=30, doc="days that logs are kept")
