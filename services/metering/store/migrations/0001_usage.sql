-- Use by minute and place. Rows come in the order of time, so a BRIN index finds old ones at next to no cost.
create table usage_samples (
  -- start of the minute in which the use was seen
  minute              timestamptz not null,
  workspace_id        text not null,
  project_id          text not null,
  environment_id      text not null,
  service_id          text not null,
  cpu_microseconds    bigint not null default 0 check (cpu_microseconds >= 0),
  memory_byte_seconds bigint not null default 0 check (memory_byte_seconds >= 0),
  egress_bytes        bigint not null default 0 check (egress_bytes >= 0),
  primary key (service_id, environment_id, minute)
);
create index usage_samples_by_workspace on usage_samples (workspace_id, minute);
create index usage_samples_by_age on usage_samples using brin (minute) with (pages_per_range = 32);

-- How far the counters of each process were accounted for.
create table metered_runs (
  run_id           text primary key,
  cpu_microseconds bigint not null,
  memory_bytes     bigint not null,
  seen_at          timestamptz not null
);

-- How far the counters of each edge were accounted for.
create table metered_edges (
  edge_epoch     text not null,
  service_id     text not null,
  environment_id text not null,
  egress_bytes   bigint not null,
  seen_at        timestamptz not null,
  primary key (edge_epoch, service_id, environment_id)
);

-- Whom a service in an environment belongs to: traffic only names these two.
create table metered_places (
  service_id     text not null,
  environment_id text not null,
  project_id     text not null,
  workspace_id   text not null,
  primary key (service_id, environment_id)
);

-- What the operator asks for: so many picodollars (10^-12 USD) for so many units of the resource.
create table prices (
  resource text primary key check (resource in ('cpu', 'memory', 'egress')),
  pico_usd bigint not null check (pico_usd >= 0),
  units    bigint not null check (units > 0),
  -- how the row is meant, for whoever edits it
  meaning  text not null
);

-- Railway's public prices of mid-2026. A GB is 10^9 bytes.
insert into prices (resource, pico_usd, units, meaning) values
  ('cpu',    463000000,   60000000,    '$0.000463 a vCPU-minute; units are microseconds of one core'),
  ('memory', 231000000,   60000000000, '$0.000231 a GB-minute; units are byte-seconds'),
  ('egress', 50000000000, 1000000000,  '$0.05 a GB; units are bytes');
