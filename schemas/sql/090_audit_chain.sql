-- One chain through the transitions of all cases, in the order in which dispatch found them: `position` is 1, 2, ...,
-- `chain` covers the row's hash and the chain before it. Null until dispatch has come by, within a second or so.
alter table case_transitions add column position bigint unique, add column chain text;
create index case_transitions_unchained on case_transitions (id) where position is null;
