-- The registry as it stands on the `sensors` topic. The topic is the truth; the historian keeps this mirror.

create table zones (
    zone text primary key,
    district text not null,
    name_zh text not null,
    name_en text not null,
    partition int not null,
    lon float8,
    lat float8
);

create table gateways (
    gateway text primary key,
    zone text not null,
    interval_s float8 not null,
    silent_after_s float8
);

-- category, unit and zone are NULL while a point waits to be classified (state 'waiting').
create table sensors (
    sensor int primary key,
    gateway text not null,
    point text not null,
    category text,
    unit text,
    zone text,
    asset text,
    lon float8,
    lat float8,
    state text not null,
    params jsonb not null default '{}',
    district text
);

-- Not unique: two entries of one key can only stand here between two messages of the topic.
create index sensors_of_gateway on sensors (gateway, point);
create index sensors_of_zone on sensors (zone, category);
create index sensors_of_category on sensors (category, sensor);

create table registry_version (
    version int not null,
    by text not null,
    only_row boolean primary key default true check (only_row)
);
