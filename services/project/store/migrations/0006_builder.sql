-- slug, docker or buildah; null: what the source says, else the platform's own.
alter table service_settings add column builder text;
