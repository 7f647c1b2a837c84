-- Pushes that deploy: the branch moves when the build has succeeded.
create table pushes (
    id text primary key,
    workspace_id text not null,
    service_id text not null,
    environment_id text not null,
    -- refs/heads/…
    ref text not null,
    old_commit text not null,
    new_commit text not null,
    state text not null check (state in ('pending', 'accepted', 'refused')),
    -- Empty until it is asked for.
    deployment_id text not null,
    created_at timestamptz not null
);
-- One at a time: what is pushed later builds on what came before.
create unique index pushes_pending on pushes (service_id, environment_id) where state = 'pending';
