"""The Explore page: what is asked, how it is drawn, what the link says, what is kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import polars as pl
import pytest
import signing_in
import streamlit as st
from streamlit.testing.v1 import AppTest

from data_access import Filters, Window, scan
from data_access.config import Limits
from data_access.explore import MEASURES, PICTURES, Condition, Question, ask, close, start
from data_access.schema import SCHEMAS
from data_access.views import history, queries
from ingest.demo import write_demo
from ingest.views import save_view
from pages.components import (
    boundary,
    explore,
    explore_build,
    explore_charts,
    explore_run,
    explore_words,
    filters,
)
from pages.components.explore_charts import Plan, planned
from pages.components.explore_examples import EXAMPLES
from pages.components.load import ANSWERS_MAX, Answers

if TYPE_CHECKING:
    from collections.abc import Iterator

END = date(2026, 6, 1)
DAYS = {"span": "custom", "from": "2026-05-01", "to": "2026-05-31"}
WINDOW = Window(date(2026, 5, 1), END)
WAIT_S = 60
# hundreds of millions of texts put together and looked through: minutes, and never too many rows
HEAVY = """
SELECT COUNT(*) AS n
FROM events a CROSS JOIN events b CROSS JOIN (SELECT event_id FROM events LIMIT 300) c
WHERE REGEXP_LIKE(a.event_id || b.event_id || c.event_id, 'nothing[0-9]+such')
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("explored") / "home"
    write_demo(place, events=3_000, days=60, end=END)
    yield place
    close()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setenv("TELEMETRY_HOME", "")  # put back when the test is over


def opened(home: Path, user: str = "", **query: str | list[str]) -> AppTest:
    """Open the page with a link and wait until the question is answered."""
    os.environ["TELEMETRY_HOME"] = str(home)
    app = AppTest.from_file("../pages/frame.py", default_timeout=WAIT_S)
    if user:
        app.user = signing_in.claims(user)
    for name, value in (DAYS | query).items():
        app.query_params[name] = value
    app.run()
    app.switch_page("explore.py").run()
    return answered(app)


def answered(app: AppTest) -> AppTest:
    until = time.monotonic() + WAIT_S
    while "Running for" in words(app) and time.monotonic() < until:
        time.sleep(0.2)
        app.run()
    assert not app.exception, [one.message for one in app.exception]
    return app


def words(app: AppTest) -> str:
    kinds = (app.title, app.markdown, app.caption, app.info, app.warning, app.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def asked(home: Path, question: Question) -> pl.DataFrame:
    return ask(question, Filters(WINDOW), home, Limits()).frame


# --- the page --------------------------------------------------------------------------------


def test_it_begins_with_how_many_events_there_are_in_the_period(demo):
    app = opened(demo)

    events = scan("events", demo, filters=Filters(WINDOW)).filter(WINDOW.contains("timestamp"))
    assert app.metric[0].value == f"{events.select(pl.len()).collect().item():,}"
    assert "What else do you want to know?" in words(app)
    assert "At most 10,000 rows, 30 s and 2,048 MB" in words(app)


def test_a_link_asks_its_question_and_the_fields_show_it(demo):
    link = {
        "explore.group": ["day", "user_tier"],
        "explore.measure": "people",
        "explore.if": ["is:channel:server"],
    }
    app = opened(demo, **link)

    question = Question.from_query(link | {"explore.measure": ["people"]})
    assert f"**{asked(demo, question).height} rows**" in words(app)
    assert app.multiselect(key="_x-group").value == ["day", "user_tier"]
    assert app.selectbox(key="_x-measure").value == "people"
    assert app.selectbox(key="_x-if-column-0").value == "channel"
    assert app.selectbox(key="_x-if-value-0").value == "server"


def test_sql_that_is_refused_says_why_and_what_to_do(demo):
    app = opened(demo, **{"explore.sql": "SELECT * FROM read_csv('/etc/passwd')"})

    assert len(app.error) == 1
    assert "Only tables can be read" in app.error[0].value
    assert "The tables are events" in app.error[0].value


def test_counts_stand_in_the_table_as_numbers(demo):
    """They are sums of weights, so not whole by type."""
    app = opened(demo, **{"explore.group": "event_name", "explore.picture": "table"})

    columns = json.loads(app.dataframe[0].proto.columns)
    assert columns["events"]["type_config"] == {"type": "number", "format": "localized"}
    assert columns["event_name"]["type_config"]["type"] == "text"


def test_a_long_query_in_a_link_is_no_filter_that_is_too_long():
    assert filters.ignored({"explore.sql": ["SELECT 1" + " " * 5_000]}, {}) == ()


@pytest.mark.slow
def test_a_question_is_put_together_field_by_field(demo):
    app = opened(demo)
    app.selectbox(key="_x-table").set_value("traces").run()
    app.selectbox(key="_x-measure").set_value("p95").run()
    app.multiselect(key="_x-group").set_value(["operation_name"]).run()
    app.button(key="_x-add").click().run()
    app.selectbox(key="_x-if-column-0").set_value("success").run()
    assert "success" not in app.session_state["explore.if"]  # nothing to compare with yet
    app.selectbox(key="_x-if-value-0").set_value("true").run()
    answered(app)

    question = Question(
        table="traces",
        measure="p95",
        of="duration_ms",
        group=("operation_name",),
        where=(Condition("success", "is", "true"),),
    )
    assert app.session_state["_explore_last"][0] == question
    assert f"**{asked(demo, question).height} rows**" in words(app)
    app.button(key="_x-if-remove-0").click().run()
    assert answered(app).session_state["explore.if"] == []


@pytest.mark.slow
def test_one_of_several_values_is_chosen_from_a_list(demo):
    app = opened(demo, **{"explore.if": "any:channel:web, server"})
    assert app.multiselect(key="_x-if-values-0").value == ["web", "server"]
    app.multiselect(key="_x-if-values-0").set_value(["web", "extension"]).run()

    assert answered(app).session_state["explore.if"] == ["any:channel:web, extension"]


@pytest.mark.slow
def test_another_table_takes_along_what_it_has_too(demo):
    link = {
        "explore.group": ["event_name", "day"],
        "explore.if": ["is:event_name:x", "is:channel:web"],
    }
    app = opened(demo, **link)
    app.selectbox(key="_x-table").set_value("errors").run()
    answered(app)

    question = app.session_state["_explore_last"][0]
    assert question.group == ("day",)
    assert question.where == (Condition("channel", "is", "web"),)


@pytest.mark.slow
def test_what_was_built_can_be_gone_on_with_in_sql_and_back(demo):
    app = opened(demo, **{"explore.measure": "people", "explore.group": "day"})
    before = words(app).partition(" rows**")[0].rpartition("**")[2]
    way = next(one for one in app.segmented_control if one.key == "_x-way")
    way.set_value("SQL").run()
    answered(app)

    assert "GROUP BY day" in app.text_area(key="_x-sql").value
    assert words(app).partition(" rows**")[0].rpartition("**")[2] == before
    app.text_area(key="_x-sql").set_value("SELECT 1 AS one FROM events LIMIT 1")
    app.button(key="explore-run").click().run()
    assert "**1 row**" in words(answered(app))
    next(one for one in app.segmented_control if one.key == "_x-way").set_value("Build").run()
    assert app.selectbox(key="_x-measure").value == "people"


@pytest.mark.slow
def test_a_period_without_rows_says_so(demo):
    app = opened(demo, **{"explore.measure": "raw", "from": "2020-01-01", "to": "2020-01-02"})

    assert "There are no rows" in words(app)


@pytest.mark.slow
def test_an_empty_home_has_the_page_too(home):
    app = opened(home)

    assert "There are no events yet" in words(app)
    assert not app.error
    assert app.metric[0].value == "0"  # a count of nothing is no gap


@pytest.mark.slow
def test_a_page_left_stops_what_runs(demo):
    os.environ["TELEMETRY_HOME"] = str(demo)
    app = AppTest.from_file("../pages/frame.py", default_timeout=WAIT_S)
    app.query_params["explore.sql"] = HEAVY
    app.run()
    app.switch_page("explore.py").run()
    assert "Running for" in words(app)
    running = app.session_state["_explore_job"].running
    app.switch_page("errors.py").run()

    assert running.wait(10)
    with pytest.raises(ValueError, match="cancelled"):
        running.answer()


@pytest.mark.slow
@pytest.mark.parametrize(("address", "is_let"), [("cleo", False), ("ben", True)])
def test_a_viewer_asks_nothing_and_an_analyst_does(demo, tmp_path, address, is_let):
    home = tmp_path / "home"
    shutil.copytree(demo, home)
    lists = 'domains = ["example.com"]\nanalysts = ["ben@example.com"]'
    (home / "telemetry.toml").write_text(f"[sign_in]\n{lists}\n")
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(signing_in.secrets("http://127.0.0.1:1", "http://127.0.0.1:2"))
    with signing_in.configured(secrets):
        app = opened(
            home,
            user=f"{address}@example.com",
            **{"explore.sql": "SELECT 1 AS one FROM events LIMIT 1"},
        )

    assert ("**1 row**" in words(app)) == is_let
    assert ("Explore needs the analyst role" in words(app)) != is_let
    assert bool(history(home, who=f"{address}@example.com")) == is_let


@pytest.mark.slow
def test_a_question_nobody_looks_at_any_more_is_stopped(demo):
    asked = explore_run.Asked(Question(sql=HEAVY), Filters(WINDOW), str(demo), Limits())
    running = start(asked.question, asked.filters, asked.home, asked.limits)
    long_ago = time.monotonic() - explore_run.ABANDONED_SECONDS - 1
    explore_run.Job(asked, "", running, long_ago).watch()

    with pytest.raises(ValueError, match="cancelled"):
        running.answer()


# --- what is kept ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_question_is_saved_by_name_and_opened_by_its_link(demo):
    link = {"explore.measure": "people", "explore.group": "day"}
    query = "explore.measure=people&explore.group=day"
    kept = save_view(demo, "Daily", kind="query", page="explore", query=query, scope="team")
    app = opened(demo, **{"explore.saved": kept.id})

    assert "**Daily**" in words(app)
    assert app.session_state["_explore_last"][0] == Question.from_query(
        {name: [value] for name, value in link.items()}
    )
    app.selectbox(key="_x-measure").set_value("sessions").run()
    assert "Changed since." in words(answered(app))
    app.button(key="explore-update").click().run()
    assert "explore.measure=sessions" in queries(demo)[0].query


@pytest.mark.slow
def test_a_link_to_a_question_that_is_gone_says_so(demo):
    app = opened(demo, **{"explore.saved": "nothing"})

    assert "is not there" in words(app)


@pytest.mark.slow
def test_what_was_asked_is_in_the_history(demo):
    opened(demo, **{"explore.group": "release"})

    latest = history(demo)[0]
    assert latest.label.startswith("How many events by release (")
    assert "rows" in latest.label
    assert parse_qs(latest.query) == {"explore.group": ["release"]}


@pytest.mark.slow
def test_sql_too_long_for_a_link_stays_in_the_session_and_says_so(demo):
    app = opened(demo, **{"explore.sql": "SELECT 1 AS one FROM events LIMIT 1"})
    sql = f"SELECT '{'x' * explore.LINK_CHARS_MAX}' AS long FROM events LIMIT 1"
    app.text_area(key="_x-sql").set_value(sql)
    app.button(key="explore-run").click().run()

    assert "too long for a link" in words(answered(app))
    assert app.session_state["explore.sql"].startswith(explore.TOO_LONG)
    assert "**1 row**" in words(app)
    other = opened(demo, **{"explore.sql": app.session_state["explore.sql"]})
    assert "so it is not in it" in words(other)


# --- words -----------------------------------------------------------------------------------


def test_every_column_measure_and_picture_has_its_words():
    columns = {name for schema in SCHEMAS.values() for name in schema}

    assert set(explore_words.MEANINGS) == columns
    assert set(explore_words.MEASURES) == set(MEASURES)
    assert set(explore_words.PICTURES) == set(PICTURES) - {"auto", "table", "pivot"}
    assert set(explore_words.TABLES) == set(SCHEMAS)
    assert all(explore_words.described(table) for table in SCHEMAS)


def test_a_question_has_a_field_for_everything_a_link_says():
    full = Question(
        "SELECT 1", "traces", ("a",), ("b",), "sum", "c", (Condition("d", "is", "e"),), "-f", 9,
        all_history=True, picture="bar", x="x", y="y", series="s",
    )  # fmt: skip
    names = {name.removeprefix("explore.") for name, _ in full.to_query()}

    assert names == {*explore.ONE, *explore.SEVERAL} - {"saved"}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_every_example_has_an_answer(demo, example):
    assert asked(demo, Question(sql=example.sql)).height > 0


@pytest.mark.slow
def test_the_sql_of_the_docs_has_an_answer(demo):
    text = (Path(__file__).parent.parent / "docs" / "EXPLORE.md").read_text("utf-8")
    [sql] = re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    people = Question(measure="people", group=("day",))
    assert asked(demo, Question(sql=sql)).rows() == asked(demo, people).rows()


@pytest.mark.slow
@pytest.mark.parametrize("name", explore_build.STARTS)
def test_every_beginning_has_an_answer(demo, name):
    question = explore_build.STARTS[name]
    frame = asked(demo, question)

    assert frame.height > 0
    plan = planned(frame, question)
    if plan.picture not in {"table", "number"}:
        assert not isinstance(explore_charts.draw(frame, plan, question, WINDOW), str)


# --- pictures --------------------------------------------------------------------------------

SQL = Question(sql="SELECT")
DAY = pl.Series("day", [date(2026, 5, 2), date(2026, 5, 4)])


@pytest.mark.parametrize(
    ("frame", "plan"),
    [
        pytest.param(pl.DataFrame({"n": [1]}), Plan("number", "", "n"), id="one number"),
        pytest.param(
            pl.DataFrame({"n": [1, 2], "day": DAY}), Plan("line", "day", "n"), id="a time"
        ),
        pytest.param(
            pl.DataFrame({"tier": ["a", "b"], "n": [1, 2]}), Plan("bar", "tier", "n"), id="names"
        ),
        pytest.param(
            pl.DataFrame({"tier": ["a", "b"], "day": DAY, "n": [1, 2]}),
            Plan("line", "day", "n", "tier"),
            id="names over time",
        ),
        pytest.param(
            pl.DataFrame({"weekday": [1, 2], "hour_of_day": [3, 4], "n": [1, 2]}),
            Plan("heatmap", "hour_of_day", "n", "weekday"),
            id="hours of the week",
        ),
        pytest.param(
            pl.DataFrame({"a": [1, 2], "b": [1.5, 2]}), Plan("scatter", "a", "b"), id="two numbers"
        ),
        pytest.param(pl.DataFrame({"a": ["x"]}), Plan("table", "a"), id="no number"),
        pytest.param(
            pl.DataFrame({"n": []}, {"n": pl.Int64}), Plan("table", "", "n"), id="nothing"
        ),
    ],
)
def test_the_picture_fits_what_the_answer_holds(frame, plan):
    assert planned(frame, SQL) == plan


def test_a_quiet_day_of_a_count_is_zero_and_of_anything_else_a_gap():
    frame = pl.DataFrame([DAY, pl.Series("events", [3.0, 5.0])])
    window = Window(date(2026, 5, 2), date(2026, 5, 5))

    def drawn(measure: str) -> list[Any]:
        question = Question(group=("day",), measure=measure)
        found = explore_charts.draw(frame, Plan("line", "day", "events"), question, window)
        return list(found.figure.data[0].y)

    assert drawn("count") == [3.0, 0.0, 5.0]
    assert drawn("mean") == [3.0, None, 5.0]


def test_several_rows_in_one_place_are_said():
    frame = pl.DataFrame({"tier": ["a", "a"], "n": [1, 2]})
    found = explore_charts.draw(frame, Plan("bar", "tier", "n"), SQL, WINDOW)

    assert "Several rows share a place" in found.note


@pytest.mark.parametrize(
    ("link", "meant"),
    [
        ({"explore.group": "usr_tier"}, "user_tier"),
        ({"explore.if": "is:chanel:web"}, "channel"),
        ({"explore.measure": "sum", "explore.of": "wieght"}, "weight"),
        ({"explore.group": "ide"}, None),
        ({"explore.group": "metadata.usr_tier"}, None),
        ({"explore.group": "nothing_like_it"}, None),
    ],
)
def test_a_name_that_is_almost_a_column_is_asked_about(demo: Path, link: dict, meant: str | None):
    said = words(opened(demo, **link))

    assert ("Did you mean" in said) == (meant is not None)
    assert meant is None or f"'{meant}'" in said.replace("\\", "")


@pytest.mark.parametrize(
    ("value", "said"),
    [(34_284, "34,284"), (34_284.0, "34,284"), (34_284.25, "34.3k")],
)
def test_one_number_is_told_whole(value: float, said: str):
    frame = pl.DataFrame({"n": [value]})

    assert explore_charts.number(frame, Plan("number", None, "n", None), SQL) == said


def test_a_panic_of_the_engine_ends_its_own_part_alone(caplog):
    far = pl.Series([2**60]).cast(pl.Datetime("ms"))

    with boundary.alone("The answer"):
        far.to_list()
        pytest.fail("no panic")

    assert "The answer failed" in caplog.text


@pytest.mark.slow
def test_a_number_is_only_ever_made_of_numbers_and_called_what_it_is_called(demo):
    named = '"![x](https://evil.org/a.png)"'
    sql = f"SELECT COUNT(*) AS {named}, MIN(event_name) AS a FROM events"

    pictured = opened(demo, **{"explore.sql": sql, "explore.picture": "number"})
    of_text = opened(demo, **{"explore.sql": sql, "explore.picture": "number", "explore.y": "a"})

    assert pictured.metric[0].label == r"\!\[x\]\(https\://evil\.org/a\.png\)"
    assert "no number to draw" in words(of_text)
    assert not of_text.metric


@pytest.mark.parametrize("picture", explore_words.PICTURES)
def test_every_picture_is_drawn_of_hostile_names_and_gaps(picture):
    frame = pl.DataFrame(
        {
            "day": [date(2026, 5, 2), None, date(2026, 5, 4)],
            "<b>tier</b>": ["<script>x</script>", None, "#000001"],
            "n": [1.0, None, float("nan")],
        }
    )
    plan = Plan(picture, "day", "n", "<b>tier</b>")
    if picture == "number":
        assert explore_charts.number(frame, plan, SQL) == "1"
        return
    found = explore_charts.draw(frame, plan, SQL, WINDOW)

    assert "<script>" not in found.figure.to_json()


@pytest.mark.parametrize("picture", ["line", "area", "bar", "scatter", "heatmap"])
def test_names_along_a_picture_are_no_html_and_no_slot_of_the_theme(picture):
    frame = pl.DataFrame(
        {
            "along": ['<a href="https://evil.org">x</a>', "#000001", "#000002"],
            "apart": ["a", "b", "b"],
            "n": [1.0, 2.0, 3.0],
        }
    )

    found = explore_charts.draw(frame, Plan(picture, "along", "n", "apart"), SQL, WINDOW)

    along = [str(one) for trace in found.figure.data for one in trace.x]
    assert "#\u200b000001" in along
    assert not [one for one in along if "<" in one or "#0000" in one]


def test_long_names_along_a_grid_are_short_and_leave_room_for_its_rows():
    long = "<b>" + "x" * 140
    frame = pl.DataFrame({"along": [long, "b"], "apart": ["a", "b"], "n": [1.0, 2.0]})

    drawn = explore_charts.draw(frame, Plan("heatmap", "along", "n", "apart"), SQL, WINDOW).figure

    assert list(drawn.layout.xaxis.ticktext) == ["&lt;b&gt;" + "x" * 20 + "…", "b"]
    assert list(drawn.data[0].x)[1] == "b"
    assert drawn.layout.height < 320


@pytest.mark.parametrize("picture", explore_words.PICTURES)
def test_lengths_of_time_are_words_and_times_nobody_can_draw_are_said(picture):
    length, day = timedelta(days=89, hours=2), date(2026, 5, 1)
    frame = pl.DataFrame({"l": [length, None], "day": [day, day], "n": [1, 2], "c": ["a", "b"]})
    far = frame.with_columns(pl.col("day").dt.offset_by("20000y"))

    drawn = explore_charts.draw(frame, Plan(picture, "l", "n", "c"), SQL, WINDOW)
    said = explore_charts.draw(far, Plan(picture, "day", "n", "c"), SQL, WINDOW)

    assert not isinstance(drawn, str)
    assert "beyond the years 1 to 9999" in said
    assert planned(frame.select("c", "l", "n"), SQL) == Plan("bar", "c", "n")  # none apart by it


@pytest.mark.slow
def test_an_answer_of_a_length_of_time_is_shown(demo):
    app = opened(demo, **{"explore.sql": "SELECT MAX(timestamp) - MIN(timestamp) AS l FROM events"})

    assert not app.error
    assert re.fullmatch(r"\d+d \d+h.*", app.dataframe[-1].value.iloc[0, 0])


def test_answers_kept_are_limited():
    kept, one = Answers(), ask_like(pl.DataFrame({"n": range(10)}))
    for number in range(ANSWERS_MAX + 5):
        kept.put(number, one)

    assert kept.get(4) is None
    assert kept.get(ANSWERS_MAX + 4) is one
    kept.drop(ANSWERS_MAX + 4)
    assert kept.get(ANSWERS_MAX + 4) is None


def ask_like(frame: pl.DataFrame) -> Any:
    from data_access.explore import Answer  # noqa: PLC0415 - only this test makes one

    return Answer(frame, False, frame.height, 0.1, "", "", "", True)  # noqa: FBT003 - by position
