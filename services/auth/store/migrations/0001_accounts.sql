-- Accounts, what they share, and the credentials that stand for them.

create table users (
  id            text primary key,
  -- lower case
  email         text not null unique,
  name          text not null,
  -- argon2id, with its settings inside
  password_hash text not null,
  operator      boolean not null,
  created_at    timestamptz not null
);

-- At most one row: the platform is set up once.
create table setup (
  done       boolean primary key default true check (done),
  user_id    text not null,
  claimed_at timestamptz not null
);

create table workspaces (
  id         text primary key,
  name       text not null,
  created_at timestamptz not null
);

create table memberships (
  workspace_id text not null references workspaces (id) on delete cascade,
  user_id      text not null references users (id) on delete cascade,
  -- 1 viewer, 2 developer, 3 admin, 4 owner
  role         smallint not null check (role between 1 and 4),
  since        timestamptz not null,
  primary key (workspace_id, user_id)
);
create index memberships_by_user on memberships (user_id);

create table tokens (
  id             text primary key,
  user_id        text not null references users (id) on delete cascade,
  name           text not null,
  -- SHA-256 of the secret; the secret itself is stored nowhere
  digest         bytea not null unique,
  prefix         text not null,
  -- empty: not narrowed
  workspace_id   text not null,
  project_id     text not null,
  environment_id text not null,
  role           smallint not null check (role between 1 and 4),
  -- the token that made this one
  parent_id      text references tokens (id) on delete cascade,
  created_at     timestamptz not null,
  expires_at     timestamptz,
  last_used_at   timestamptz,
  revoked_at     timestamptz
);
create index tokens_by_user on tokens (user_id);
create index tokens_by_parent on tokens (parent_id) where parent_id is not null;

create table sessions (
  id           text primary key,
  user_id      text not null references users (id) on delete cascade,
  digest       bytea not null unique,
  created_at   timestamptz not null,
  last_used_at timestamptz not null,
  expires_at   timestamptz not null,
  ended_at     timestamptz
);
create index sessions_by_end on sessions (least(expires_at, ended_at));
