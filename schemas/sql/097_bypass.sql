-- What level 1 was told without the database. The journal's lines become rows of the outbox under the keys that
-- dispatch gives them too, so that a notice told already is not told again.

alter table outbox alter column case_id drop not null;  -- what was told before there was a case
alter table outbox add column via text not null default 'dispatch';
comment on column outbox.via is 'who delivered it: dispatch, or bypass';
create index outbox_without_case on outbox (alert_id) where case_id is null;

-- Up to where the journal has been imported; one row, moved in the transaction of what was.
create table bypass_import (
    one    boolean primary key default true check (one),
    file   integer not null,
    place  bigint not null,
    told   bigint not null default 0        -- notices that came in by it
);
insert into bypass_import (file, place) values (0, 0);
