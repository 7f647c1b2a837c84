-- Where a service's source comes from in an environment, when nothing is uploaded.
create table service_sources (
    service_id text not null references services (id) on delete cascade,
    environment_id text not null references environments (id) on delete cascade,
    workspace_id text not null,
    git_url text not null,
    branch text not null,
    watch_paths text[] not null,
    image text not null,
    username text not null,
    -- The password, encrypted; null: none.
    key_id text not null default '',
    box bytea,
    primary key (service_id, environment_id)
);

-- The ssh key with which a service's repository is read: the private half encrypted.
create table deploy_keys (
    service_id text primary key references services (id) on delete cascade,
    workspace_id text not null,
    public text not null,
    key_id text not null,
    box bytea not null
);

-- Keys of ssh hosts as they were seen first; another one is refused.
create table host_keys (
    service_id text not null references services (id) on delete cascade,
    workspace_id text not null,
    -- As in known_hosts.
    host text not null,
    kind text not null,
    key text not null,
    primary key (service_id, host, kind)
);
