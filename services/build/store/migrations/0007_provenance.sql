-- Digest of the signed statement about what was built, in the blob store; empty: there is none.
alter table builds add column provenance_digest text not null default '';
alter table artifacts add column provenance_digest text not null default '';
create index builds_by_artifact on builds (artifact_digest, created_at desc) where state = 'succeeded';
