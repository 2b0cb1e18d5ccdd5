-- Where the timescaledb extension is: `readings` becomes a hypertable, and what stood in it moves along. It is
-- locked meanwhile; a historian of before ends on its next commit and begins again with the new table.

drop view readings_1h;
drop view readings_1min;

alter table readings rename to readings_in_spans;

create table readings (
    time timestamptz not null,
    sensor int not null,
    value float8 not null,
    quality smallint not null
);
select create_hypertable('readings', by_range('time', interval '6 hours'), create_default_indexes => false);

-- For rows that wait to be put into columns; those written as columns at once do not pay for it. Never unique:
-- that would switch direct compress off.
create index readings_of_sensor on readings (sensor, time desc);

insert into readings (time, sensor, value, quality) select time, sensor, value, quality from readings_in_spans;
drop table readings_in_spans;
drop schema readings_spans;

create view readings_1min as
select time_bucket('1 minute', time) as time, sensor, count(*)::int as n,
    avg(value) as mean, min(value) as lowest, max(value) as highest
from readings where quality in (0, 5, 7, 9)
group by 1, 2;

create view readings_1h as
select time_bucket('1 hour', time) as time, sensor, count(*)::int as n,
    avg(value) as mean, min(value) as lowest, max(value) as highest
from readings where quality in (0, 5, 7, 9)
group by 1, 2;
