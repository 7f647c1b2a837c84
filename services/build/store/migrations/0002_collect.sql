-- How often a process died while it worked on the build; one given back by a stopping platform does not count.
alter table builds add column deaths integer not null default 0;
create index builds_by_service on builds (service_id, environment_id, created_at desc);

-- When it was last made or asked for: what was used a moment ago is not collected, whatever else is known.
alter table artifacts add column used_at timestamptz;
update artifacts set used_at = created_at;
alter table artifacts alter column used_at set not null;

-- Services that were deleted: nothing of theirs is kept for a rollback.
create table retired_services (
    service_id text primary key,
    retired_at timestamptz not null
);
