-- What the last collection removed, and why.
create table collections (
    single boolean primary key default true check (single),
    at timestamptz not null,
    report jsonb not null
);
