-- Readings that were refused one by one, by their sensor and the city's day of receipt, in the transaction of the
-- reject; a point that nobody registered has no row. Kept for eight days, as sensor_health.
create table sensor_rejects (
    sensor int not null,
    day date not null,
    n bigint not null,
    primary key (sensor, day)
);

-- Frames that a gateway sent again although they were in the log, as ingest recognised and answered them.
create table gateway_again (
    gateway text primary key,
    frames bigint not null
);
