-- What findings of a scan do to builds of the project, and how bad they must be.
alter table projects add column scan_policy text not null default 'warn' check (scan_policy in ('warn', 'block'));
alter table projects add column scan_severity text not null default 'high'
    check (scan_severity in ('low', 'medium', 'high', 'critical'));
