"""What a quiet run says of its processes: costs, growth, and who is judged."""

from __future__ import annotations

import pytest

from cityvigil.quiet import Sample, judged


def samples(**growth: float) -> list[Sample]:
    """A minute of samples of processes that begin at 100 MB and use a tenth of a core."""
    return [
        Sample(
            float(second),
            {name: 100.0 + step * second for name, step in growth.items()},
            dict.fromkeys(growth, second / 10),
        )
        for second in range(61)
    ]


def test_what_grows_is_named_with_how_much_a_day_of_the_city_takes() -> None:
    found = judged(samples(detect=2.0, record=0.01), scale=600, ended=set())
    assert found["growing"] == ["detect"]
    assert found["processes"]["detect"]["mb_per_city_day"] == pytest.approx(2.0 * 144)
    assert found["processes"]["record"]["grew_mb"] == pytest.approx(0.2)
    assert (found["city_hours"], found["cores"]) == (10.0, pytest.approx(0.2))


def test_the_caches_of_the_brokers_are_shown_and_not_judged() -> None:
    found = judged(samples(postgres=3.0, ingest=0.0), scale=60, ended={"ingest"})
    assert (found["growing"], found["ended"]) == ([], ["ingest"])
    assert found["memory_mb"] == 380
