-- How a sensor has been reporting, by the city's day of receipt: readings, those that came late (streams/health.py
-- says from when), those of a quality that is not scored. Written every half minute beside the readings, not in their
-- transaction: a historian that is killed forgets up to half a minute of it. Kept for eight days.
create table sensor_health (
    sensor int not null,
    day date not null,
    n bigint not null,
    late bigint not null,
    poor bigint not null,
    last_at timestamptz not null,
    last_value float8,
    last_quality smallint not null,
    primary key (sensor, day)
) with (fillfactor = 70);
create index sensor_health_of_day on sensor_health (day);

-- Readings of frames that the log held twice.
create table gateway_repeats (
    gateway text not null,
    day date not null,
    readings bigint not null,
    primary key (gateway, day)
);
