-- Why nobody was told of an alert: its sensor is in commissioning or maintenance.
alter table alerts add column suppressed text;
create index alerts_suppressed on alerts (subject) where suppressed is not null and state = 'active';
