-- What this service has to tell. `sequence` is given by the relay, in the order facts became visible to it,
-- so that a transaction that commits late can never be skipped.
create table outbox (
    position bigint generated always as identity primary key,
    id text not null unique,
    sequence bigint unique,
    subject text not null,
    workspace_id text not null,
    correlation_id text not null,
    recorded_at timestamptz not null,
    traceparent text not null,
    payload bytea not null
);
create index outbox_unnumbered on outbox (position) where sequence is null;
create index outbox_correlation on outbox (correlation_id) where correlation_id <> '';

-- One row: the last sequence given out, and the last one the bus has stored.
create table outbox_head (
    only_one boolean primary key default true check (only_one),
    sequence bigint not null,
    published bigint not null
);
insert into outbox_head (sequence, published) values (0, 0);

create function wake_relay() returns trigger language plpgsql as $$
begin
    perform pg_notify(tg_table_schema || '_outbox', '');
    return null;
end $$;
create trigger outbox_wakes_relay after insert on outbox for each statement execute function wake_relay();

-- How far this service has reacted to each source; moved in the transaction of the reaction.
create table inbox (
    source text primary key,
    sequence bigint not null
);

-- Facts that this service could not react to.
create table dead_letters (
    fact_id text primary key,
    source text not null,
    sequence bigint not null,
    subject text not null,
    workspace_id text not null,
    correlation_id text not null,
    recorded_at timestamptz not null,
    traceparent text not null,
    payload bytea not null,
    reason text not null,
    attempts integer not null,
    died_at timestamptz not null
);
