"""The Users page: found by hash, opened, told in full, saved by name, and closed where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_pages import (  # noqa: F401 - fixtures are found by name
    HOSTILE,
    a_beta,
    at,
    nothing_told,
    own,
    run,
    words,
    written,
)

from data_access import segments
from ingest.team import save_segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from streamlit.testing.v1 import AppTest

# test_pages.py opens this page in every run; what it does in detail is tried in CI
pytestmark = pytest.mark.slow


def table(app: AppTest, *columns: str) -> list[tuple]:
    """Return the first table on the page that has these columns."""
    for one in app.dataframe:
        if set(columns) <= set(one.value.columns):
            return list(one.value[list(columns)].itertuples(index=False, name=None))
    raise AssertionError(f"no table with {columns}: {[[*d.value.columns] for d in app.dataframe]}")


def listed(app: AppTest) -> list[str]:
    return sorted(row[0] for row in table(app, "user_id_hash", "paying"))


def test_everybody_is_listed_with_the_busiest_first(own: Path):  # noqa: F811
    app = run("users")

    assert listed(app) == ["u0", "u1", "u2"]
    events = [row[0] for row in table(app, "events", "paying")]
    assert events == sorted(events, reverse=True)
    assert "3 people in this period (3 of them new, 2 paying)" in words(app)


def test_a_search_by_the_beginning_of_a_hash_is_in_the_link(own: Path):  # noqa: F811
    app = run("users", **{"users.find": "U1"})

    assert [row[0] for row in table(app, "user_id_hash", "paying")] == ["u1"]
    assert app.text_input(key="users.find").value == "U1"
    assert "Nobody's hash begins so" in words(run("users", **{"users.find": "zzz"}))


def test_a_person_in_the_link_has_a_page(own: Path):  # noqa: F811
    app = run("users", user="u2")

    said = words(app)
    assert not app.error
    assert "On the tier **enterprise** since" in said
    assert "First seen 21 days ago" in said
    assert {"Tiers over time", "Sessions", "Latency felt", "Errors met", "Timeline"} <= {
        one.value for one in [*app.header, *app.subheader]
    }
    kinds = {row[0] for row in table(app, "kind", "name")}
    assert kinds == {"event", "error", "trace"}


def test_a_persons_timeline_is_cut_by_kind_and_name_in_the_link(own: Path):  # noqa: F811
    query = {"users.kinds": ["event"], "users.names": ["context_loaded"]}
    app = run("users", user="u2", **query)

    assert set(table(app, "kind", "name")) == {("event", "context_loaded")}
    assert "Rows 1 to 21 of 21" in words(app)


def test_a_long_timeline_has_pages(home: Path, load_lines: Callable[..., Any], monkeypatch):
    load_lines(
        *(
            {"event_name": "session_started", "timestamp": at(2 + n / 2_000), "user_id_hash": "u"}
            for n in range(450)
        )
    )
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    app = run("users", user="u", **{"users.page": "3"})
    assert "Rows 401 to 450 of 450" in words(app)


@pytest.mark.parametrize("user", ["nobody", HOSTILE, "x" * 200])
def test_a_hash_nobody_has_says_so_and_acts_as_no_markup(own: Path, user: str):  # noqa: F811
    app = run("users", user=user)

    assert not app.error
    assert "Nobody here has the hash" in words(app)
    assert "<script>" not in words(app).replace("\\<script\\>", "")


def test_somebody_with_a_hostile_hash_is_listed_and_shown(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    who = "<script>**x**</script>"
    load_lines(
        {"event_name": HOSTILE, "timestamp": at(2), "user_id_hash": who, "user_tier": "paid"}
    )
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    shown = run("users", user=who)
    listed = run("users")
    for app in (shown, listed):
        assert not app.error
        assert "<script>" not in words(app).replace("\\<script\\>", "")


def test_choosing_from_the_list_opens_a_page_and_everybody_leads_back(own: Path):  # noqa: F811
    app = run("users")

    app.selectbox(key="_user_pick").select("u1").run()
    assert app.session_state["user"] == "u1"
    assert "On the tier **paid**" in words(app)

    app.button(key="everybody").click().run()
    assert app.session_state["user"] == ""
    assert "Everybody" in [one.value for one in app.header]


def saving(app: AppTest, name: str, by: int, people: tuple[str, ...] = ()) -> AppTest:
    app.session_state["save-segment"] = True
    app.run()
    radio = app.radio(key="_segment_who")
    radio.set_value(radio.options[by])
    app.text_input(key="_segment_name").set_value(name).run()
    if people:
        app.multiselect(key="_segment_people").set_value(list(people)).run()
    return app.button(key="save-segment-now").click().run()


def test_the_list_some_of_it_or_the_filters_are_saved_as_a_segment(own: Path):  # noqa: F811
    app = run("users", tier=["paid", "enterprise"])
    saving(app, "list", 1)
    saving(app, "some", 2, ("u2",))
    saving(app, "filters", 0)

    saved = segments(own)
    assert saved["list"].users == ("u1", "u2")
    assert saved["some"].users == ("u2",)
    assert saved["filters"].query == "tier=enterprise&tier=paid"
    assert ("filters", 2, "whoever matches tier enterprise, paid") in table(
        app, "name", "people", "made_of"
    )
    assert "not filters" in app.multiselect(key="segment").options


def test_a_segment_that_cannot_be_kept_says_why(own: Path):  # noqa: F811
    app = run("users")
    saving(app, "", 1)
    assert "needs a name" in app.toast[0].value

    saving(app, "all", 0)
    assert "No filter is set" in app.toast[0].value
    assert segments(own) == {}


def test_a_segment_is_chosen_left_out_and_removed_from_the_page(own: Path):  # noqa: F811
    save_segment(own, "team", users=["u0"])
    app = run("users")

    app.button(key="not-segment").click().run()
    assert app.multiselect(key="segment").value == ["not team"]
    assert listed(app) == ["u1", "u2"]
    app.button(key="only-segment").click().run()
    assert [row[0] for row in table(app, "user_id_hash", "paying")] == ["u0"]

    app.button(key="remove-segment").click().run()
    assert not app.error
    assert app.multiselect(key="segment").value == []
    assert segments(own) == {}
    assert "None is saved yet" in words(app)


def test_a_hostile_segment_name_is_inert(own: Path):  # noqa: F811
    save_segment(own, HOSTILE[:60], users=["u0"])

    app = run("users", segment=next(iter(segments(own))))
    assert not app.error
    assert "<script>" not in words(app).replace("\\<script\\>", "")


def test_lists_of_people_are_closed_where_the_team_says_so(own: Path):  # noqa: F811
    (own / "telemetry.toml").write_text("people_lists = false\n")
    save_segment(own, "team", users=["u0"])

    for query in ({}, {"user": "u1"}, {"users.find": "u"}):
        app = run("users", **query)
        said = words(app) + str([one.value.to_dict() for one in app.dataframe])
        assert "people_lists = false" in said
        assert not any(user in said for user in ("u0", "u1", "u2"))
        assert [row[0] for row in table(app, "name", "people")] == ["team"]


def test_where_lists_are_closed_the_filters_can_still_be_saved(own: Path):  # noqa: F811
    (own / "telemetry.toml").write_text("people_lists = false\n")
    app = run("users", tier="paid")

    saving(app, "payers", 0)
    assert app.radio(key="_segment_who").options == [
        "Whoever matches the filters, asked anew each time"
    ]
    assert segments(own)["payers"].query == "tier=paid"


def test_a_bar_of_days_leads_to_its_people(own: Path):  # noqa: F811
    app = run("users", who="how-often-they-come:21")

    assert not app.error
    assert "3 people active on 21 days" in words(app)
    app = run("users", who="how-often-they-come:x")
    assert not app.error


def test_an_operation_that_keeps_one_person_waiting_is_said(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    load_lines(
        *(
            {
                "operation_name": "search",
                "duration_ms": 900.0 if user == "slow" else 100.0,
                "timestamp": at(2 + n / 100),
                "user_id_hash": user,
            }
            for user, many in (("slow", 12), ("other", 600))
            for n in range(many)
        ),
        *(
            {"event_name": "session_started", "timestamp": at(2), "user_id_hash": user}
            | {"user_tier": "free"}
            for user in ("slow", "other")
        ),
    )
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    said = "keeps them waiting longer than everybody: p95 900 ms against 100 ms, over 12 times"
    assert said in words(run("users", user="slow"))
    assert said not in words(run("users", user="other"))
