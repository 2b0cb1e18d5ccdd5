-- Of a sensor's readings of a day those that said what it had said before: the same time, the same value
-- (streams/recent.py).
alter table sensor_health add column twice bigint not null default 0;
