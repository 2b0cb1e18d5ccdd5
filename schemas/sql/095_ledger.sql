-- What the historian counted of each gateway and epoch, in the transaction of the readings it speaks for. Epoch -1
-- is what came without a sequence. `readings` are those of the log; `given_up` are frames that never came.
create table record_ledger (
    gateway text not null,
    epoch numeric(20) not null,
    first numeric(20) not null,
    frames bigint not null,
    readings bigint not null,
    given_up numeric(20) not null,
    primary key (gateway, epoch)
) with (fillfactor = 50);

-- What was recorded before there was a ledger is not in it: counting begins behind the mark.
insert into record_ledger (gateway, epoch, first, frames, readings, given_up)
select gateway, epoch, contiguous + 1, cardinality(ahead), 0, 0 from record_marks;

-- A row a gateway. `said` is how many frames its sequences speak of, by the highest that was seen; each of them is
-- in the log and so answered (`answered`, refused whole ones too), `given_up`, or still `awaited`. `loose` are
-- frames without a sequence. `stored` and `rejected` are readings.
create view ledger as
with frames as (
    select gateway,
        sum(greatest(contiguous, (select max(one) from unnest(ahead) as one)) - first + 1) as said,
        sum(frames) filter (where epoch >= 0) as answered,
        sum(given_up) as given_up,
        sum(coalesce((select max(one) from unnest(ahead) as one) - contiguous - cardinality(ahead), 0)) as awaited,
        sum(frames) filter (where epoch < 0) as loose,
        sum(readings) as stored
    from record_ledger left join record_marks using (gateway, epoch)
    group by gateway
), refused as (
    select source as gateway, sum(n) as rejected from reject_counts group by source
)
select gateway, coalesce(said, 0) as said, coalesce(answered, 0) as answered, coalesce(given_up, 0) as given_up,
    coalesce(awaited, 0) as awaited, coalesce(loose, 0) as loose, coalesce(stored, 0) as stored,
    coalesce(rejected, 0) as rejected,
    coalesce(said, 0) = coalesce(answered, 0) + coalesce(given_up, 0) + coalesce(awaited, 0) as adds_up
from frames full join refused using (gateway);
