-- What is to be fetched, for builds of commits: {url, ref, push_id, base_commit}. snapshot_id is empty until it is.
alter table builds add column git jsonb;
