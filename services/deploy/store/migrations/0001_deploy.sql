create table deployments (
    id text primary key,
    workspace_id text not null,
    project_id text not null,
    environment_id text not null,
    service_id text not null,
    service_name text not null,
    state text not null,
    trigger text not null,
    reason text not null,
    snapshot_id text not null,
    artifact_digest text not null,
    origin_id text not null,
    url text not null,
    replicas integer not null,
    resources jsonb not null,
    variables_version bigint not null,
    settings jsonb,
    sealed_variables bytea not null,
    idempotency_key text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    went_live_at timestamptz
);
create index deployments_service on deployments (service_id, environment_id, id desc);
create index deployments_project on deployments (project_id, id desc);
create index deployments_workspace on deployments (workspace_id, id desc);
create index deployments_open on deployments (service_id, environment_id)
    where state not in ('failed', 'skipped', 'removed', 'crashed');
create index deployments_key on deployments (service_id, environment_id, idempotency_key) where idempotency_key <> '';

create table releases (
    deployment_id text primary key references deployments,
    artifact jsonb not null,
    settings jsonb not null,
    sealed_variables bytea not null,
    secret_names text[] not null
);

create table instances (
    id text primary key,
    deployment_id text not null references deployments,
    pair text not null,
    replica integer not null,
    state text not null,
    restarts integer not null,
    start_after timestamptz not null,
    port integer not null,
    started_at timestamptz,
    healthy_at timestamptz,
    checked_at timestamptz,
    failed_checks integer not null,
    drain_until timestamptz,
    exit_code integer,
    reason text not null,
    log_offset bigint not null
);
create index instances_deployment on instances (deployment_id);
create index instances_here on instances (state) where state <> 'exited';
-- A replica has one wanted instance, whatever dies between two steps.
create unique index instances_wanted on instances (deployment_id, replica)
    where state in ('starting', 'healthy', 'unhealthy');

create table routes (
    pair text primary key,
    endpoints jsonb not null,
    generation bigint not null
);

create table log_lines (
    cursor bigint generated always as identity,
    time timestamptz not null,
    service_id text not null,
    environment_id text not null,
    deployment_id text not null,
    instance_id text not null,
    replica integer not null,
    stream text not null,
    text text not null
);
create index log_lines_service on log_lines (service_id, environment_id, cursor);
create index log_lines_deployment on log_lines (deployment_id, cursor);
create index log_lines_time on log_lines using brin (time);
