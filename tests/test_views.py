"""Saved views and queries: a small SQLite file, several people at once, nothing lost silently."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from data_access import (
    DataUnavailable,
    PastQuestion,
    SavedView,
    history,
    problems,
    queries,
    saved,
    views,
)
from ingest.team import TeamRefused, add_note
from ingest.views import (
    HISTORY_CHARS_MAX,
    KEPT_AFTER_REMOVAL,
    PERSONAL_MAX,
    ViewChanged,
    change,
    forget,
    remember,
    remove,
    restore,
    save_view,
)
from ingest.vocabulary import HISTORY_MAX, VIEW_NAME_CHARS_MAX, VIEW_QUERY_CHARS_MAX, VIEWS_SCHEMA
from tests.processes import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ANA, BEN = "ana@example.com", "ben@example.com"
QUERY = "span=28d&tier=paid&where=ide%3Avs+code"


def keep(home: Path, name: str = "Paying", **more: object):
    return save_view(home, name, **{"page": "retention", "query": QUERY, "now": NOW, **more})


def names(home: Path, who: str = "") -> list[str]:
    return [view.name for view in views(home, who=who)]


def file(home: Path) -> Path:
    return home / "team" / "views.db"


def test_a_view_is_read_back_as_it_was_said(home):
    kept = keep(home, " Paying\npeople ", who="Ana@Example.com", description="Who pays")

    found = SavedView(
        *(kept.id, "view", "Paying people", "Who pays", ANA, "personal", "retention", QUERY),
        *("relative", NOW, NOW, ANA, 1),
    )
    assert views(home, who=ANA) == [found]
    assert saved(home, kept.id, who="ANA@example.com ") == found
    assert found.link == f"retention?{QUERY}"


def test_before_anything_was_saved_there_is_nothing_and_no_file(home):
    assert views(home) == queries(home) == history(home) == []
    assert saved(home, "abc") is None
    assert not file(home).exists()


def test_a_personal_view_is_its_owner_s_alone_and_a_team_s_is_everybody_s(home):
    mine = keep(home, "Mine", who=ANA)
    keep(home, "Ours", who=ANA, scope="team")

    assert names(home, ANA) == ["Mine", "Ours"]
    assert names(home, BEN) == ["Ours"]
    assert names(home) == ["Ours"]
    assert saved(home, mine.id, who=BEN) is None


def test_whoever_does_not_see_a_view_cannot_tell_that_it_is_there(home):
    mine = keep(home, "Mine", who=ANA)

    said = []
    for view_id in (mine.id, "no such id"):
        for is_admin in (False, True):
            with pytest.raises(TeamRefused) as refused:
                change(home, view_id, revision=1, who=BEN, is_admin=is_admin, name="Yours")
            said.append(str(refused.value))
    assert len(set(said)) == 1
    with pytest.raises(TeamRefused, match="not there"):
        remove(home, mine.id, who=BEN, is_admin=True)


def test_a_team_view_is_changed_by_its_owner_or_an_admin(home):
    ours = keep(home, "Ours", who=ANA, scope="team")

    with pytest.raises(TeamRefused, match=f"belongs to {ANA}"):
        change(home, ours.id, revision=1, who=BEN, name="Theirs")
    with pytest.raises(TeamRefused, match=f"belongs to {ANA}"):
        remove(home, ours.id, who=BEN)
    change(home, ours.id, revision=1, who=BEN, is_admin=True, name="Everybody's", now=LATER)

    (found,) = views(home, who=ANA)
    assert (found.name, found.owner, found.updated_by) == ("Everybody's", ANA, BEN)
    assert (found.created_at, found.updated_at, found.revision) == (NOW, LATER, 2)
    assert found.is_changed_by(ANA)
    assert not found.is_changed_by(BEN)
    assert found.is_changed_by(BEN, is_admin=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [("stra\u00dfe@example.com", "strasse@example.com"), ("\u212aay@e.org", "kay@e.org")],
)
def test_two_people_whose_addresses_only_look_alike_share_nothing(home, one, other):
    kept = keep(home, who=one)
    remember(home, "sql=1", who=one)

    assert names(home, one.replace("e.", "E.")) == ["Paying"]
    assert names(home, other) == []
    assert history(home, who=other) == []
    with pytest.raises(TeamRefused):
        remove(home, kept.id, who=other)


def test_a_view_somebody_changed_meanwhile_is_not_overwritten(home):
    ours = keep(home, "Ours", who=ANA, scope="team")
    change(home, ours.id, revision=1, who=BEN, is_admin=True, query="tier=free", now=LATER)

    with pytest.raises(ViewChanged, match=rf"{BEN} on 2026-03-10 at 09:35 UTC.*another name"):
        change(home, ours.id, revision=1, who=ANA, query="tier=trial")
    assert [view.query for view in views(home)] == ["tier=free"]

    assert change(home, ours.id, revision=2, who=ANA, query="tier=trial").revision == 3
    assert [view.query for view in views(home)] == ["tier=trial"]


def test_every_part_of_a_view_can_be_changed(home):
    kept = keep(home, who=ANA)
    change(
        home,
        kept.id,
        revision=1,
        who=ANA,
        name="Other",
        description="Else",
        scope="team",
        page="funnels",
        query="?span=7d",
        dates="frozen",
    )

    (found,) = views(home, who=BEN)
    said = (found.name, found.description, found.scope, found.page, found.query, found.dates)
    assert said == ("Other", "Else", "team", "funnels", "span=7d", "frozen")


def test_a_name_is_taken_once_in_the_team_and_once_per_person_whatever_its_case(home):
    keep(home, "Straße", who=ANA, scope="team")
    keep(home, "Mine", who=ANA)
    keep(home, "Mine", who=BEN)
    keep(home, "Mine", kind="query", page="explore", query="sql=1", who=ANA)
    keep(home, "STRASSE", who=BEN)  # personal, beside the team's

    with pytest.raises(TeamRefused, match=f"a team view “Straße” already, saved by {ANA} on 2026"):
        keep(home, "STRASSE", who=BEN, scope="team")
    with pytest.raises(TeamRefused, match="a personal view “Mine” already"):
        keep(home, "\uff2dINE", who=ANA)
    other = keep(home, "Other", who=BEN)
    with pytest.raises(TeamRefused, match="already"):
        change(home, other.id, revision=1, who=BEN, name="mine")
    with pytest.raises(TeamRefused, match="a team view"):
        change(home, other.id, revision=1, who=BEN, name="strasse", scope="team")
    assert change(home, other.id, revision=1, who=BEN, name="OTHER").revision == 2


def test_a_view_taken_away_comes_back_unless_its_name_is_taken(home):
    first = keep(home, who=ANA)
    remove(home, first.id, who=ANA, now=NOW)
    remove(home, first.id, who=ANA, now=NOW)
    assert names(home, ANA) == []
    assert saved(home, first.id, who=ANA) is None
    with pytest.raises(TeamRefused, match="was removed"):
        change(home, first.id, revision=1, who=ANA, query="")

    assert restore(home, first.id, who=ANA).id == first.id
    assert names(home, ANA) == ["Paying"]

    remove(home, first.id, who=ANA, now=NOW)
    second = keep(home, who=ANA)
    with pytest.raises(TeamRefused, match="already"):
        restore(home, first.id, who=ANA)

    remove(home, second.id, who=ANA, now=NOW + KEPT_AFTER_REMOVAL + timedelta(seconds=1))
    with pytest.raises(TeamRefused, match="not there"):
        restore(home, first.id, who=ANA)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": " \n\u202e "}, "needs a name"),
        ({"name": "x" * (VIEW_NAME_CHARS_MAX + 1)}, "longer than 80"),
        ({"page": "../etc"}, "is no page"),
        ({"page": "javascript:alert(1)"}, "is no page"),
        ({"page": ""}, "is no page"),
        ({"query": "x" * (VIEW_QUERY_CHARS_MAX + 1)}, "longer than 64,000"),
        ({"kind": "note"}, "kind cannot be 'note'; it is one of view, query"),
        ({"scope": "world"}, "scope cannot be 'world'; it is one of personal, team"),
        ({"dates": "sometimes"}, "one of relative, frozen"),
        ({"who": "x" * 255}, "longer than any real one"),
    ],
)
def test_what_cannot_be_kept_says_why(home, wrong, said):
    with pytest.raises(TeamRefused, match=said):
        save_view(home, **{"name": "Fine", "page": "overview", "query": "", **wrong})
    assert views(home) == []


def test_hostile_words_are_kept_as_words(home):
    keep(home, "'; DROP TABLE saved; --", description="<script>\x00\ud800\u202e", query="a=%00%22'")

    (found,) = views(home)
    assert found.name == "'; DROP TABLE saved; --"
    assert found.description == "<script> ?"
    assert found.query == "a=%00%22'"


@pytest.mark.slow
def test_nobody_fills_the_list_for_ever(home):
    for number in range(PERSONAL_MAX):
        keep(home, f"View {number}", who=ANA)
    with pytest.raises(TeamRefused, match="200 personal views already"):
        keep(home, "One more", who=ANA)
    ours = keep(home, "One more", who=ANA, scope="team")
    keep(home, "One more", who=BEN)
    with pytest.raises(TeamRefused, match="200 personal views already"):
        change(home, ours.id, revision=1, who=ANA, scope="personal")


def test_a_query_has_a_list_of_its_own(home):
    keep(home, "View")
    keep(home, "Query", kind="query", page="explore", query="sql=SELECT%201")

    assert names(home) == ["View"]
    assert [(one.kind, one.name, one.page) for one in queries(home)] == [
        ("query", "Query", "explore")
    ]


# --- what was asked --------------------------------------------------------------------------


def test_a_question_asked_again_moves_up_instead_of_standing_twice(home):
    for minute, query in enumerate(("sql=1", "sql=2", "sql=1")):
        at = NOW + timedelta(minutes=minute)
        remember(home, query, who=ANA, label=f"SELECT {query[-1]}", now=at)
    remember(home, "sql=3", who=BEN, now=NOW)

    assert history(home, who=ANA) == [
        PastQuestion("sql=1", "SELECT 1", NOW + timedelta(minutes=2), 2),
        PastQuestion("sql=2", "SELECT 2", NOW + timedelta(minutes=1), 1),
    ]
    assert len(history(home, who=ANA, limit=1)) == 1

    assert forget(home, "sql=1", who=ANA) == 1
    assert forget(home, "sql=3", who=ANA) == 0
    assert [one.query for one in history(home, who=ANA)] == ["sql=2"]
    assert forget(home, who=ANA) == 1
    assert history(home, who=ANA) == []
    assert len(history(home, who=BEN)) == 1


@pytest.mark.slow
def test_history_keeps_the_latest_and_only_so_much(home):
    for number in range(HISTORY_MAX + 3):
        remember(home, f"sql={number}", now=NOW + timedelta(seconds=number))
    remember(home, "sql=b", who=BEN, now=NOW)

    kept = [one.query for one in history(home)]
    assert len(kept) == HISTORY_MAX
    assert kept[0] == f"sql={HISTORY_MAX + 2}"
    assert kept[-1] == "sql=3"
    assert len(history(home, who=BEN)) == 1

    long = VIEW_QUERY_CHARS_MAX - 2
    for number in range(HISTORY_CHARS_MAX // long + 2):
        remember(home, f"{number:02}" + "x" * long, who=BEN, now=NOW + timedelta(hours=number))
    assert len(history(home, who=BEN)) == HISTORY_CHARS_MAX // (long + 2)


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00", "soon", ""])
def test_a_time_another_tool_wrote_can_be_told_in_every_place(home, when):
    remember(home, "sql=1", now=NOW)
    with closing(sqlite3.connect(file(home))) as connection, connection:
        connection.execute("UPDATE history SET asked_at = ?", (when,))

    [found] = history(home)

    for place in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        assert found.asked_at.astimezone(ZoneInfo(place))


# --- the file --------------------------------------------------------------------------------


def test_the_file_is_its_owner_s_alone(home):
    keep(home)

    for path in (home / "team").glob("views.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(file(home))) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (VIEWS_SCHEMA,)


def test_a_single_file_or_no_home_has_no_room_and_says_where_there_is(home, tmp_path):
    alone = tmp_path / "lines.jsonl"
    alone.write_text("{}\n")

    with pytest.raises(TeamRefused, match=r"no room for saved views.*inbox"):
        keep(alone)
    with pytest.raises(TeamRefused, match="There is no telemetry"):
        keep(tmp_path / "nowhere")
    assert views(alone) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_says_so_and_shows_what_it_has(home):
    keep(home)
    file(home).chmod(0o400)
    (home / "team").chmod(0o500)
    try:
        assert names(home) == ["Paying"]
        with pytest.raises(TeamRefused, match="cannot be written"):
            keep(home, "Other")
    finally:
        (home / "team").chmod(0o700)


def test_a_team_folder_that_is_a_file_is_said(home):
    (home / "team").write_text("")

    with pytest.raises(TeamRefused, match="cannot be written"):
        keep(home)


def test_a_damaged_file_is_said_and_takes_nothing_else_down(home, load_lines):
    add_note(home, "A note", at="2026-03-01")
    file(home).write_bytes(b"not a database " * 500)

    with pytest.raises(TeamRefused, match="Move it aside"):
        keep(home)
    with pytest.raises(DataUnavailable, match="cannot be read"):
        views(home)
    assert [problem.where for problem in problems(home)] == ["team/views.db"]


def test_a_folder_that_cannot_be_looked_into_is_said(home):
    keep(home)
    program = (
        "import os, sys; from data_access import DataUnavailable, views; "
        "os.geteuid() == 0 and os.setuid(65534)\n"
        "try: print(views(sys.argv[1]))\n"
        "except DataUnavailable as error: print(error)"
    )
    for folder in (home.parent, *home.parents):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o755)
    (home / "team").chmod(0o000)
    try:
        run = subprocess.run(
            [sys.executable, "-c", program, str(home)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        (home / "team").chmod(0o700)
    assert "cannot be read" in run.stdout, run.stderr


def test_a_file_of_a_later_version_is_left_alone(home):
    keep(home)
    with closing(sqlite3.connect(file(home))) as connection:
        connection.execute(f"PRAGMA user_version = {VIEWS_SCHEMA + 1}")

    with pytest.raises(TeamRefused, match="later Betascope"):
        keep(home, "Other")
    with pytest.raises(DataUnavailable, match="later Betascope"):
        views(home)


def test_whoever_waits_for_a_file_too_long_is_told_so(home, monkeypatch):
    keep(home)
    monkeypatch.setattr("ingest.views.BUSY_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(file(home), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TeamRefused, match=r"by somebody else\. Nothing was saved"):
            keep(home, "Other")
        assert names(home) == ["Paying"]


# --- several at once -------------------------------------------------------------------------

SAVES = """
import json, sys, time
from ingest.team import TeamRefused
from ingest.views import ViewChanged, change, remember, save_view
from data_access import saved
home, me, shared, starts_at = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
time.sleep(max(0.0, starts_at - time.time()))
said = {"saved": 0, "taken": 0, "changed": 0, "refused": 0}
for number in range(8):
    save_view(home, f"{me} {number}", page="overview", query="", who=me, scope="team")
    said["saved"] += 1
    try:
        save_view(home, f"first come {number}", page="overview", query=me, who=me, scope="team")
        said["saved"] += 1
    except TeamRefused:
        said["taken"] += 1
    remember(home, f"sql={number}", who=me)
    before = saved(home, shared, who=me)
    try:
        change(
            home, shared, revision=before.revision, who=me, is_admin=True,
            description=str(int(before.description) + 1),
        )
        said["changed"] += 1
    except ViewChanged:
        said["refused"] += 1
print(json.dumps(said))
"""


def test_several_processes_save_at_once_and_nothing_is_lost(home):
    """Each adds one to a number in a shared view: the number is how many were told it worked."""
    people, rounds = 4, 8
    shared = save_view(home, "Shared", page="overview", query="", description="0", scope="team")
    starts_at = str(time.time() + 1.5)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SAVES, str(home), f"p{one}@x.org", shared.id, starts_at],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for one in range(people)
    ]
    told = []
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        told.append(json.loads(out))
    total = {name: sum(one[name] for one in told) for name in told[0]}

    assert total["saved"] == people * rounds + rounds
    assert total["taken"] == (people - 1) * rounds
    assert len(views(home)) == total["saved"] + 1
    now = saved(home, shared.id)
    assert now.description == str(total["changed"])
    assert now.revision == total["changed"] + 1
    assert total["changed"] + total["refused"] == people * rounds
    assert len(history(home, who="p0@x.org")) == rounds


def test_several_processes_make_the_file_at_once(home):
    program = (
        "import sys, time; from ingest.views import save_view; "
        "time.sleep(max(0.0, float(sys.argv[3]) - time.time())); "
        "save_view(sys.argv[1], sys.argv[2], page='overview', query='')"
    )
    starts_at = str(time.time() + 1)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(home), f"View {one}", starts_at],
            cwd=ROOT,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for one in range(6)
    ]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err

    assert len(views(home)) == 6


def test_a_process_killed_while_saving_leaves_the_file_whole(home):
    keep(home)
    program = (
        "import sys; from ingest.views import save_view\n"
        "print('ready', flush=True)\n"
        "for n in range(200): save_view(sys.argv[1], f'V{n}', page='x', query='')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(home)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.readline()
        time.sleep(0.15)
        process.kill()

    keep(home, "After")
    assert {"After", "Paying"} <= set(names(home))
    with closing(sqlite3.connect(file(home))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
