create table snapshots (
    id text primary key,
    workspace_id text not null,
    project_id text not null,
    service_id text not null,
    digest text not null,
    size_bytes bigint not null check (size_bytes > 0),
    created_at timestamptz not null
);
create index snapshots_by_service on snapshots (service_id, created_at desc);

create table builds (
    id text primary key,
    workspace_id text not null,
    project_id text not null,
    service_id text not null,
    environment_id text not null,
    deployment_id text not null unique,
    snapshot_id text not null,
    state text not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    reason text not null default '',
    provider text not null default '',
    plan jsonb,
    artifact_digest text not null default '',
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    attempt integer not null default 0,
    lease_owner text not null default '',
    lease_until timestamptz,
    check ((state in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
    check ((state = 'succeeded') = (artifact_digest <> ''))
);
create index builds_open on builds (created_at) where state in ('queued', 'running');

create table build_logs (
    build_id text not null references builds (id) on delete cascade,
    number bigint not null check (number > 0),
    time timestamptz not null,
    step text not null,
    stream text not null check (stream in ('stdout', 'stderr', 'platform')),
    text text not null,
    primary key (build_id, number)
);

create table artifacts (
    digest text primary key,
    workspace_id text not null,
    manifest jsonb not null,
    created_at timestamptz not null
);

-- Installed dependencies by what they were installed from; never shared between workspaces.
create table dependency_layers (
    workspace_id text not null,
    key text not null,
    digest text not null,
    mount text not null,
    writable boolean not null,
    size_bytes bigint not null,
    created_at timestamptz not null,
    used_at timestamptz not null,
    primary key (workspace_id, key)
);
