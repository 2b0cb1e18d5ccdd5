-- What TimescaleDB's Community edition has beyond its Apache one: columns, retention, continuous aggregates.

-- No segmentby: a batch of a quarter of a second has a reading or two of a sensor, and a segment each would take
-- 300 bytes a row. Sorted by sensor, a thousand rows are a few sensors, and the policy sorts the whole chunk later.
alter table readings set (
    timescaledb.enable_columnstore, timescaledb.segmentby = '', timescaledb.orderby = 'sensor, time'
);
call add_columnstore_policy('readings', after => interval '12 hours');

-- Two years of readings and of minutes; hours are kept. Aggregates are refreshed a month less far back than readings
-- reach, because a refresh of a time whose readings are gone would empty it.
select add_retention_policy('readings', drop_after => interval '24 months');

drop view readings_1h;
drop view readings_1min;

create materialized view readings_1min
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select time_bucket('1 minute', time) as time, sensor, count(*)::int as n,
    avg(value) as mean, min(value) as lowest, max(value) as highest
from readings where quality in (0, 5, 7, 9)
group by 1, 2
with no data;

create materialized view readings_1h
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select time_bucket('1 hour', time) as time, sensor, sum(n)::int as n,
    sum(mean * n) / sum(n) as mean, min(lowest) as lowest, max(highest) as highest
from readings_1min
group by 1, 2
with no data;

select add_continuous_aggregate_policy('readings_1min',
    start_offset => interval '23 months', end_offset => interval '2 minutes',
    schedule_interval => interval '5 minutes', buckets_per_batch => 60);
select add_continuous_aggregate_policy('readings_1h',
    start_offset => interval '23 months', end_offset => interval '2 hours',
    schedule_interval => interval '1 hour', buckets_per_batch => 24);

-- A chunk of minutes spans days, so here a segment for each sensor is full enough.
alter materialized view readings_1min set (
    timescaledb.enable_columnstore, timescaledb.segmentby = 'sensor', timescaledb.orderby = 'time'
);
call add_columnstore_policy('readings_1min', after => interval '1 month');
select add_retention_policy('readings_1min', drop_after => interval '24 months');
