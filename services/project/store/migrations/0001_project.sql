create table projects (
    id text primary key,
    workspace_id text not null,
    name text not null,
    -- The name without its case: two projects of a workspace never differ by that alone.
    name_key text not null,
    created_at timestamptz not null,
    constraint projects_name unique (workspace_id, name_key)
);

create table environments (
    id text primary key,
    project_id text not null references projects (id) on delete cascade,
    workspace_id text not null,
    name text not null,
    created_at timestamptz not null,
    -- Counts every change of any variable in the environment, so that one number names a state of all of them.
    variables_version bigint not null default 0,
    constraint environments_name unique (project_id, name)
);

create table services (
    id text primary key,
    project_id text not null references projects (id) on delete cascade,
    workspace_id text not null,
    name text not null,
    created_at timestamptz not null,
    -- A deleted service keeps its name only, for the references that meant it.
    deleted_at timestamptz
);
create unique index services_name on services (project_id, name) where deleted_at is null;

create table service_settings (
    service_id text not null references services (id) on delete cascade,
    environment_id text not null references environments (id) on delete cascade,
    workspace_id text not null,
    start_command text,
    build_command text,
    root_directory text,
    replicas integer,
    health_path text,
    health_timeout integer,
    restart_policy text,
    restart_max_retries integer,
    drain_seconds integer,
    cpu_request integer,
    memory_request bigint,
    cpu_limit integer,
    memory_limit bigint,
    kind text,
    -- '' until the router gave one.
    claimed_domain text not null default '',
    primary key (service_id, environment_id)
);
create index service_settings_environment on service_settings (environment_id);

-- Values are written once and never changed; a version lists the values that were in force.
create table variable_values (
    id bigint generated always as identity primary key,
    environment_id text not null references environments (id) on delete cascade,
    -- '': the environment's shared variables.
    service_id text not null,
    workspace_id text not null,
    name text not null,
    sealed boolean not null,
    -- Which key-encryption key wrapped the data key inside the box.
    key_id text not null,
    box bytea not null,
    -- What it refers to: 'svc_….NAME' ('.NAME' is shared) and 'svc_…', so that what is in use is not taken away.
    refs text[] not null
);
create index variable_values_scope on variable_values (environment_id, service_id);
create index variable_values_key on variable_values (key_id);

create table variable_versions (
    environment_id text not null references environments (id) on delete cascade,
    service_id text not null,
    version bigint not null,
    workspace_id text not null,
    value_ids bigint[] not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (environment_id, service_id, version)
);
