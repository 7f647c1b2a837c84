-- Host names. One per service and environment, and no two alike on the platform.
create table names (
    service_id text not null,
    environment_id text not null,
    workspace_id text not null,
    host text not null unique,
    claimed_at timestamptz not null,
    -- The revision of the world in which it was last changed: readers ask for what is newer than what they have.
    changed bigint not null,
    primary key (service_id, environment_id)
);
create index names_changed on names (changed);

-- What the callers want served. `generation` is theirs and never goes back; `version` is the revision of the world
-- that holds it; `announced` is the last version that every edge confirmed and everyone has been told of.
create table publications (
    service_id text not null,
    environment_id text not null,
    generation bigint not null,
    version bigint not null,
    announced bigint not null default 0,
    announced_at timestamptz,
    deployment_id text not null,
    -- As in names; later than `version` when endpoints only left.
    changed bigint not null,
    primary key (service_id, environment_id)
);
create index publications_changed on publications (changed);
create index publications_unannounced on publications (version) where announced < version;

-- Where requests go. With `draining_since`, an endpoint gets no new ones and finishes those it holds.
create table endpoints (
    service_id text not null,
    environment_id text not null,
    address text not null,
    port integer not null check (port between 1 and 65535),
    instance_id text not null,
    draining_since timestamptz,
    primary key (service_id, environment_id, address, port),
    foreign key (service_id, environment_id) references publications on delete cascade
);
create index endpoints_draining on endpoints (service_id, environment_id) where draining_since is not null;

-- One row, touched last in every transaction that changes the world: revisions are in the order of commits.
create table edge_revision (
    only_one boolean primary key default true check (only_one),
    revision bigint not null
);
insert into edge_revision (revision) values (0);

-- Services that are deleted: a late call does not bring them back.
create table forgotten (
    service_id text primary key,
    forgotten_at timestamptz not null,
    changed bigint not null
);
create index forgotten_changed on forgotten (changed);
