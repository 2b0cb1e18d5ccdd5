-- What the historian writes: readings, and in the same transaction how far it read the log.

-- Cut by event time into spans, tables of the schema `readings_spans` that the historian makes when a reading
-- needs one. No unique index anywhere: record_marks keeps repeats out, and one would cost two thirds of the
-- writing rate.
create table readings (
    time timestamptz not null,
    sensor int not null,
    value float8 not null,
    quality smallint not null
) partition by range (time);

create schema readings_spans;

create table reading_texts (
    time timestamptz not null,
    sensor int not null,
    text text not null,
    quality smallint not null
);
create index reading_texts_of_sensor on reading_texts (sensor, time);

create table record_offsets (
    topic text not null,
    partition int not null,
    next_offset bigint not null,
    primary key (topic, partition)
) with (fillfactor = 50);

-- schemas/sequence.py's mark of every (gateway, epoch). Both numbers are unsigned 64-bit: bigint is too small.
create table record_marks (
    gateway text not null,
    epoch numeric(20) not null,
    contiguous numeric(20) not null,
    ahead numeric(20)[] not null,
    primary key (gateway, epoch)
) with (fillfactor = 50);

-- The newest refused inputs, for people to look at: `raw` is the beginning, `size` the whole, and the whole
-- stands in the `rejects` topic at `log_offset`. The historian keeps the newest 50,000.
create table rejects (
    log_offset bigint primary key,
    at timestamptz not null,
    source text not null,
    reason text not null,
    detail text not null,
    raw bytea not null,
    size int not null,
    readings int not null
);
create index rejects_of_source on rejects (source, log_offset);

-- Readings, counted apart from the rows above, which are forgotten in time.
create table reject_counts (
    source text not null,
    reason text not null,
    n bigint not null,
    last_at timestamptz not null,
    primary key (source, reason)
) with (fillfactor = 50);
