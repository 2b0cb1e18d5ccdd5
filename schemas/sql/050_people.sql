-- People: who may log in, what they may do, and where they are logged in.
-- Secrets are never stored: passwords as argon2id, session cookies and bearer tokens as SHA-256.

create table users (
    name           text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    password       text not null,
    roles          text[] not null check (cardinality(roles) > 0),
    unit           text,
    districts      text[] not null default '{}',   -- empty: every district
    second_factor  text,                           -- TOTP secret, base32; null: password alone
    factor_step    bigint not null default 0,      -- newest TOTP step used: a code works once
    disabled_at    timestamptz,
    created_at     timestamptz not null,
    check (not ('unit' = any (roles)) or unit is not null)
);

create table sessions (
    digest      bytea primary key,
    user_name   text not null references users (name),
    created_at  timestamptz not null,
    expires_at  timestamptz not null
);
create index sessions_by_user on sessions (user_name);

create table tokens (
    digest      bytea primary key,
    user_name   text not null references users (name),
    created_at  timestamptz not null,
    revoked_at  timestamptz
);
create index tokens_by_user on tokens (user_name);

-- Every failed log-in, for the limit; rows older than a day are removed by the next failure.
create table login_failures (
    user_name  text not null,
    address    text not null,
    at         timestamptz not null
);
create index login_failures_by_address on login_failures (address, at);
