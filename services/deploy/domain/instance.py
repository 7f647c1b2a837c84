"""What a runtime is asked to run, and what it sees running: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from libs.kernel.secret import Secret


@dataclass(frozen=True, slots=True)
class Layer:
    """A directory of files, stored as a tar.zst blob, shown inside an instance at `mount`.

    A writable layer is the instance's own copy; the others are shared by all instances.
    """

    # "sha256:…" of the blob.
    digest: str
    mount: str
    writable: bool = False
    # Bytes of the blob.
    size: int = 0


@dataclass(frozen=True, slots=True)
class Artifact:
    """The runnable result of a build."""

    digest: str
    layers: tuple[Layer, ...]
    # As the user wrote it; a shell inside the sandbox expands $PORT and the like.
    start_command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/app"
    # web or worker
    kind: str = "web"
    # Host directories that are shown read-only at the same path: language runtimes.
    host_paths: tuple[str, ...] = ()
    provider: str = ""
    # A container image instead of layers: its reference.
    image: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that one instance is started from. Each try to run is an instance of its own."""

    instance_id: str
    deployment_id: str
    service_id: str
    environment_id: str
    replica: int
    artifact: Artifact
    # The user's variables win over the artifact's environment; PORT wins over both.
    variables: Mapping[str, Secret[str]] = field(default_factory=dict)
    # None: no cap.
    memory_limit_bytes: int | None = None
    cpu_limit_millicores: int | None = None
    # None: the runtime chooses a free one.
    port: int | None = None
    # Seconds between SIGTERM and SIGKILL.
    grace_seconds: float = 10.0
    # Extra names the instance can resolve, to addresses.
    hosts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a runtime sees of an instance that it started, now."""

    instance_id: str
    # Tells one run of a process from the next.
    run_id: str
    # Anything of it runs, or its output is still being written.
    alive: bool
    # Of the main process, 128 + n when signal n ended it; None while it runs, and when nobody saw how it ended.
    exit_code: int | None
    # The kernel stopped something in it for memory.
    oom: bool
    started_at: datetime
    # On 127.0.0.1; given to the process as PORT.
    port: int | None
    # Of the whole process tree since its start; never falls while it lives.
    cpu_microseconds: int
    memory_bytes: int
