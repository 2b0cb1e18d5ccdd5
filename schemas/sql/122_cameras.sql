-- Assets and cameras: what stands in the city beside sensors. No detector looks at them, so this database is their
-- truth and not the log (docs/decisions/060-cameras-in-the-database.md).
create table assets (
    asset text primary key,
    kind text not null,
    name_zh text not null,
    name_en text not null,
    owner text,
    zone text,
    lon float8,
    lat float8
);

-- bearing: degrees from north, clockwise, null = it turns; angle: of view, degrees; stream and snapshot: addresses.
create table cameras (
    camera text primary key,
    name text not null,
    lon float8,
    lat float8,
    bearing float8,
    angle float8 not null,
    range_m float8 not null,
    owner text,
    zone text,
    stream text,
    snapshot text,
    state text not null
);
create index cameras_of_zone on cameras (zone, camera);

-- Rises with every import, so that who keeps cameras in memory reads them again.
create table cameras_version (
    version bigint not null,
    by text not null,
    only_row boolean primary key default true check (only_row)
);
insert into cameras_version values (0, '');

-- Who looked through which camera, when, and because of which case. Pictures themselves are not kept.
create table camera_access (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    actor text not null,
    camera text not null,
    what text not null check (what in ('snapshot', 'stream')),
    case_id text,
    outcome text not null
);
create index camera_access_at on camera_access (at);

-- Keys that the consoles of one installation share; each is made by the first who needs it.
create table console_keys (
    name text primary key,
    key bytea not null
);
