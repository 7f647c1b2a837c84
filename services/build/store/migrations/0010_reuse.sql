-- Fingerprint of everything a successful build depended on; empty: it is not known.
alter table builds add column inputs text not null default '';
create index builds_by_inputs on builds (workspace_id, inputs, finished_at desc)
    where state = 'succeeded' and inputs <> '';
