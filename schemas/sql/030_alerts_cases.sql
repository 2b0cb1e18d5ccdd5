-- Alerts, cases and what must happen because of them. PostgreSQL is the truth of dispatch: a case, its
-- transitions, the notices to send, the live events and the offset of the alert that caused them are
-- written in one transaction.

create table alerts (
    alert_id        text primary key,
    seq             integer not null,               -- of the newest message applied
    change          text not null,
    mode            text not null,
    rule            text not null,
    rule_version    text not null,
    subject         text not null,
    category        text,
    network         text not null,
    zone            text,
    district        text,
    level           smallint not null check (level between 1 and 4),
    worst           smallint not null check (worst between 1 and 4),
    state           text not null check (state in ('active', 'cleared')),
    since           timestamptz not null,           -- city time, as observed_at
    observed_at     timestamptz not null,
    evidence        json not null,
    published_at    timestamptz,
    correlation     text,
    asset           text,
    raised_at       timestamptz not null,           -- wall time, Kafka's, of the first message
    updated_at      timestamptz not null,           -- wall time, Kafka's, of the newest
    acknowledged_by text,
    acknowledged_at timestamptz,
    silenced_by     text,
    silenced_until  timestamptz,
    shelved_by      text,
    shelved_until   timestamptz,
    shelved_reason  text,
    case_id         text
);
create index alerts_newest on alerts (raised_at desc, alert_id desc);
create index alerts_active on alerts (zone, network) where state = 'active';
create index alerts_case on alerts (case_id);

-- Every message applied, once: the history of an alert, and the proof that none was applied twice.
create table alert_changes (
    alert_id     text not null,
    seq          integer not null,
    change       text not null,
    level        smallint not null,
    state        text not null,
    observed_at  timestamptz not null,
    kafka_at     timestamptz not null,
    "partition"  integer not null,
    "offset"     bigint not null,
    primary key (alert_id, seq)
);

-- What people did to an alert: acknowledge, silence, shelve, unshelve.
create table alert_actions (
    id        bigint generated always as identity primary key,
    alert_id  text not null references alerts,
    action    text not null,
    actor     text not null,
    at        timestamptz not null,
    until     timestamptz,
    reason    text
);
create index alert_actions_alert on alert_actions (alert_id);

create table cases (
    case_id         text primary key,
    version         integer not null,
    state           text not null,
    level           smallint not null check (level between 1 and 4),
    category        text not null,
    network         text not null,
    zone            text,
    district        text,
    unit            text,
    co_units        text[] not null default '{}',
    alerts          text[] not null default '{}',
    condition       text not null check (condition in ('active', 'cleared')),
    verdict         text,
    resume_to       text,
    returns         integer not null default 0,
    merged_into     text references cases,
    place           text,
    text            text,
    caller          text,
    acknowledged_by text,
    acknowledged_at timestamptz,
    opened_at       timestamptz not null,
    updated_at      timestamptz not null,
    event_first     timestamptz,
    event_last      timestamptz,
    dispatched_at   timestamptz,
    stopped_at      timestamptz,
    clocks          json not null default '{}',     -- running clocks: kind -> due
    escalated       text[] not null default '{}',   -- clocks that ran out and were told
    due_at          timestamptz,                    -- of the next running clock
    next_clock_at   timestamptz,                    -- when the next clock must be told, null: none
    open            boolean generated always as (state not in ('closed', 'declined', 'merged', 'voided')) stored
);
create index cases_newest on cases (opened_at desc, case_id desc);
create index cases_open_place on cases (zone, network) where open;
create index cases_clock on cases (next_clock_at) where next_clock_at is not null;

-- Which alert stands in which case; the index is the promise that no condition is worked on twice.
create table case_alerts (
    case_id   text not null references cases,
    alert_id  text not null references alerts,
    open      boolean not null,
    primary key (case_id, alert_id)
);
create unique index case_alerts_one_open on case_alerts (alert_id) where open;

create table case_transitions (
    id          bigint generated always as identity primary key,
    case_id     text not null references cases,
    seq         integer not null,
    action      text not null,
    from_state  text,
    to_state    text not null,
    actor       text not null,
    role        text not null,
    at          timestamptz not null,
    reason      text,
    evidence    json not null,       -- json, not jsonb: the hash covers the numbers as they were written
    previous    text not null,
    hash        text not null,
    snapshot    json not null,       -- the case after it, for case-events
    published   boolean not null default false,
    unique (case_id, seq)
);
create index case_transitions_unpublished on case_transitions (id) where not published;

-- A row per (alert or case) x step x recipient x channel. At least once, told apart by the key.
create table outbox (
    id                bigint generated always as identity primary key,
    key               text not null unique,
    alert_id          text,
    case_id           text not null,
    level             smallint not null,
    step              text not null,
    recipient         text not null,
    channel           text not null,
    payload           json not null,
    caused_at         timestamptz not null,    -- Kafka's time of the alert, or the time of the act
    created_at        timestamptz not null,
    attempts          integer not null default 0,
    next_attempt_at   timestamptz not null,
    first_attempt_at  timestamptz,
    sent_at           timestamptz,
    dead_at           timestamptz,             -- retrying cannot help
    error             text
);
create index outbox_due on outbox (level, next_attempt_at) where sent_at is null and dead_at is null;
create index outbox_case on outbox (case_id);
create index outbox_alert on outbox (alert_id);

-- What the console's live stream sends. Ids rise in the order of commit (written under a lock).
create table live_events (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    kind     text not null check (kind in ('alert', 'case', 'health')),
    payload  json not null
);
create index live_events_at on live_events (at);

create table dispatch_offsets (
    "partition"   integer primary key,
    next_offset   bigint not null
);

-- Messages on `alerts` that are no alert: kept whole, counted, passed over.
create table dispatch_rejects (
    "partition"  integer not null,
    "offset"     bigint not null,
    at           timestamptz not null,
    reason       text not null,
    raw          bytea not null,
    primary key ("partition", "offset")
);

-- The channels that the dispatch service sends on; it writes them when it starts, so that whoever
-- changes a case (the console is another process) makes rows for each.
create table channels (
    name  text primary key
);
insert into channels values ('log');
