-- The stages of the last attempt, in order: [{name, state, started_at, finished_at, detail}].
alter table builds add column stages jsonb not null default '[]';
