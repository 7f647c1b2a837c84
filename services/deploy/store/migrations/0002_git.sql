-- The commit that is deployed; null: the source was uploaded.
alter table deployments add column git jsonb;
