"""Questions put together or written in SQL: the answers, their limits, and what stops them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from data_access import Filters, Window
from data_access.config import Limits
from data_access.explore import (
    FUNCTIONS,
    QueryRefused,
    QueryStopped,
    Question,
    ask,
    close,
    start,
)
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

END = date(2026, 6, 1)
WINDOW = Window(date(2026, 5, 1), END)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("explored") / "home"
    write_demo(place, events=3_000, days=60, end=END)
    yield place
    close()


def asked(home: Path, sql: str, **limits: float) -> pl.DataFrame:
    limit = Limits(**limits)
    return ask(Question(sql=sql), Filters(WINDOW), home, limit, now=NOW).frame


def test_a_query_sees_the_rows_of_the_page(demo):
    [[count, first]] = asked(demo, "SELECT COUNT(*), MIN(timestamp) FROM events").rows()

    assert 0 < count < 3_000
    assert first >= datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("counting", [True, False])
def test_every_function_of_the_help_can_be_used(demo, counting):
    listed = [one for one in FUNCTIONS if (one.kind == "Counting") == counting]
    items = ", ".join(f"{one.example} AS f{number}" for number, one in enumerate(listed))

    assert asked(demo, f"SELECT {items} FROM events").width == len(listed) > 10


def test_more_rows_than_the_limit_are_cut_and_said_to_be(demo):
    answer = ask(Question(sql="SELECT * FROM events"), Filters(WINDOW), demo, Limits(query_rows=7))

    assert (answer.rows, answer.truncated, answer.frame.height) == (7, True, 7)


def test_a_join_that_explodes_is_stopped_by_memory(demo):
    bomb = (
        "SELECT a.event_id || b.event_id || c.event_id AS x FROM events a CROSS JOIN events b "
        "CROSS JOIN events c ORDER BY 1"
    )

    with pytest.raises(QueryStopped) as stopped:
        asked(demo, bomb, query_memory_mb=200, query_seconds=20)

    assert stopped.value.kind in {"memory", "time"}


def test_a_query_can_be_cancelled(demo):
    running = start(
        Question(sql="SELECT COUNT(*) FROM events a, events b, events c, events d"),
        Filters(WINDOW),
        demo,
    )
    assert not running.wait(0.5)

    running.cancel()

    assert running.wait(1.0)
    with pytest.raises(QueryRefused, match="cancelled"):
        running.answer()


def test_where_no_lists_of_people_are_wanted_nobody_can_be_recognised(demo, tmp_path):
    people = "SELECT user_id_hash, COUNT(*) AS n FROM events GROUP BY user_id_hash ORDER BY n, 1"
    open_to_all = asked(demo, people)
    (demo / "telemetry.toml").write_text("people_lists = false\n")
    try:
        disguised, again = asked(demo, people), asked(demo, people)
    finally:
        (demo / "telemetry.toml").unlink()

    assert disguised["n"].sort().to_list() == open_to_all["n"].sort().to_list()
    names = [set(frame["user_id_hash"]) for frame in (open_to_all, disguised, again)]
    assert not names[0] & names[1]
    assert not names[1] & names[2]
