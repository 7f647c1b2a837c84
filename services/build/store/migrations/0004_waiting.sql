-- Why a queued build has not begun, with the numbers of a moment ago.
alter table builds add column waiting text not null default '';
