-- What the scan of a build's source found; the bill of materials is a blob.
create table scans (
    build_id text primary key references builds (id) on delete cascade,
    sbom_digest text not null,
    report jsonb not null
);
create index scans_by_sbom on scans (sbom_digest);
