"""What the API answers. Fields this version does not know are ignored, so that an older client goes on working."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

# States in which nothing more happens by itself soon.
SETTLED: Final = frozenset({"active", "sleeping", "failed", "crashed", "skipped", "removed"})


class User(Struct, frozen=True):
    """An account."""

    id: str
    email: str
    name: str
    operator: bool
    created_at: datetime


class Workspace(Struct, frozen=True):
    """A workspace, and the caller's role in it."""

    id: str
    name: str
    role: str
    created_at: datetime


class Token(Struct, frozen=True):
    """An API token without its secret."""

    id: str
    name: str
    prefix: str
    role: str
    created_at: datetime
    workspace_id: str | None = None
    project_id: str | None = None
    environment_id: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class CreatedToken(Struct, frozen=True):
    """A token that was made; the secret is shown this once."""

    token: Token
    secret: str


class SetupStatus(Struct, frozen=True):
    """Whether the first account exists."""

    claimed: bool


class Session(Struct, frozen=True):
    """A session that has begun."""

    session_token: str
    user: User
    workspace: Workspace | None = None
    expires_at: datetime | None = None


class Me(Struct, frozen=True):
    """Who the credential stands for."""

    user: User
    workspaces: list[Workspace]
    token: Token | None = None


class Environment(Struct, frozen=True):
    """A project's environment."""

    id: str
    project_id: str
    workspace_id: str
    name: str
    created_at: datetime


class Project(Struct, frozen=True):
    """A project with its environments, the first one made first."""

    id: str
    workspace_id: str
    name: str
    created_at: datetime
    environments: list[Environment]
    # What findings of a scan do to a build, and from which severity on; empty: an older platform.
    scan_policy: str = ""
    scan_severity: str = ""


class Resources(Struct, frozen=True):
    """What an instance asks for and may use at most, as "500m" and "512Mi"."""

    cpu_request: str | int | float | None = None
    memory_request: str | int | None = None
    cpu_limit: str | int | float | None = None
    memory_limit: str | int | None = None


class Service(Struct, frozen=True):
    """A service as it is set up in one environment."""

    id: str
    project_id: str
    project_name: str
    workspace_id: str
    name: str
    created_at: datetime
    environment_id: str
    environment_name: str
    settings: dict[str, object]
    public_domain: str | None = None
    url: str | None = None


class Variable(Struct, frozen=True):
    """A variable; `value` is None when it is sealed."""

    name: str
    value: str | None
    sealed: bool
    provided: bool


class Variables(Struct, frozen=True):
    """Variables at one version."""

    items: list[Variable]
    version: int


class VariablesVersion(Struct, frozen=True):
    """The version after a change."""

    version: int


class Snapshot(Struct, frozen=True):
    """A source upload that is stored."""

    id: str
    workspace_id: str
    service_id: str
    digest: str
    size_bytes: int
    created_at: datetime


class Instance(Struct, frozen=True):
    """A running copy."""

    id: str
    replica: int
    state: str
    restarts: int
    address: str | None = None
    started_at: datetime | None = None
    exit_code: int | None = None


class Git(Struct, frozen=True):
    """The commit that is deployed; `commit` is None while it is not fetched, `url` when it was pushed here."""

    url: str | None = None
    ref: str | None = None
    commit: str | None = None
    message: str | None = None
    author: str | None = None


class HostKey(Struct, frozen=True):
    """A key that an ssh host showed when it was first asked."""

    host: str
    kind: str
    fingerprint: str


class Source(Struct, frozen=True):
    """Where a service's source comes from when nothing is uploaded."""

    watch_paths: list[str]
    has_password: bool
    host_keys: list[HostKey]
    git_url: str | None = None
    branch: str | None = None
    image: str | None = None
    username: str | None = None
    deploy_key: str | None = None


class DeployKey(Struct, frozen=True):
    """The public half of a service's ssh key."""

    deploy_key: str


class Deployment(Struct, frozen=True):
    """One try to bring a version of a service live."""

    id: str
    workspace_id: str
    project_id: str
    environment_id: str
    service_id: str
    service_name: str
    state: str
    replicas: int
    trigger: str
    created_at: datetime
    updated_at: datetime
    instances: list[Instance]
    variables_version: int
    reason: str | None = None
    snapshot_id: str | None = None
    artifact_digest: str | None = None
    url: str | None = None
    resources: Resources | None = None
    went_live_at: datetime | None = None
    origin_id: str | None = None
    git: Git | None = None


class Stage(Struct, frozen=True):
    """A part of a build, as its last attempt went."""

    name: str
    state: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    detail: str | None = None


class Build(Struct, frozen=True):
    """What makes an artifact of a deployment's source."""

    id: str
    workspace_id: str
    service_id: str
    environment_id: str
    deployment_id: str
    snapshot_id: str
    state: str
    created_at: datetime
    stages: list[Stage]
    reason: str | None = None
    waiting: str | None = None
    provider: str | None = None
    artifact_digest: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Provenance(Struct, frozen=True):
    """The signed statement about an artifact (a DSSE envelope), and the manifest it speaks of."""

    build_id: str
    artifact_digest: str
    manifest: str
    envelope: dict[str, object] | None = None


class ProvenanceKey(Struct, frozen=True):
    """What statements are checked with, in PEM."""

    pem: str


class BuildLine(Struct, frozen=True):
    """A line of a build log; `number` counts from 1 per build."""

    number: int
    time: datetime
    step: str
    stream: str
    text: str


class LogLine(Struct, frozen=True):
    """A line an instance printed, or the platform's own about it."""

    cursor: int
    time: datetime
    deployment_id: str
    replica: int
    stream: str
    text: str
    instance_id: str | None = None


class ServiceUsage(Struct, frozen=True):
    """Use of one service."""

    service_id: str
    environment_id: str
    project_id: str
    cpu_microseconds: int
    memory_byte_seconds: int
    egress_bytes: int
    cost_micro_usd: int


class Usage(Struct, frozen=True):
    """Use between two times."""

    items: list[ServiceUsage]
    total_micro_usd: int
    start: datetime
    end: datetime


class Event(Struct, frozen=True):
    """Something that happened; `type` is the fact's subject."""

    id: str
    source: str
    sequence: int
    type: str
    time: datetime
    data: dict[str, object]
    workspace_id: str | None = None
    correlation_id: str | None = None


class Timeline(Struct, frozen=True):
    """What happened to one deployment over all services, in order; `missing` services did not answer."""

    deployment_id: str
    events: list[Event]
    missing: list[str]


class DeadLetter(Struct, frozen=True):
    """A fact that the service `source` could not react to."""

    source: str
    fact_id: str
    event: Event
    reason: str
    attempts: int
    died_at: datetime


class DeadLetters(Struct, frozen=True):
    """All of them; `missing` services did not answer."""

    items: list[DeadLetter]
    missing: list[str]


class Health(Struct, frozen=True):
    """Whether every service the API needs answers."""

    status: str
    services: dict[str, str]
