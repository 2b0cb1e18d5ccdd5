-- Readings by the minute and by the hour, of the qualities that say something about the city (good, over range,
-- manual, historical). Here they are views and read every reading that they sum up; with TimescaleDB the same
-- names are continuous aggregates (timescale_licensed/080_columnstore.sql).

create view readings_1min as
select date_bin('1 minute', time, 'epoch') as time, sensor, count(*)::int as n,
    avg(value) as mean, min(value) as lowest, max(value) as highest
from readings where quality in (0, 5, 7, 9)
group by 1, 2;

create view readings_1h as
select date_bin('1 hour', time, 'epoch') as time, sensor, count(*)::int as n,
    avg(value) as mean, min(value) as lowest, max(value) as highest
from readings where quality in (0, 5, 7, 9)
group by 1, 2;
