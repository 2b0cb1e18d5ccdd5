-- A maintenance window of a sensor, in city time: within it its alerts are recorded and told to nobody.
alter table sensors add column maintenance_from timestamptz, add column maintenance_to timestamptz;
