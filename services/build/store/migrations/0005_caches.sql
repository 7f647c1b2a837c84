-- Whose build used the layer last, and when somebody cleared it: a build that found it before may still be at it.
alter table dependency_layers add column service_id text not null default '';
alter table dependency_layers add column cleared_at timestamptz;
