"""Questions put together or written in SQL: the answers, their limits, and what stops them."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from data_access import Filters, Window
from data_access.config import Limits
from data_access.explore import (
    FUNCTIONS,
    QueryRefused,
    QueryStopped,
    Question,
    ask,
    child,
    close,
    limits,
    sandbox,
    start,
    warm,
)
from data_access.explore import running as runner
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data_access.explore import Running

END = date(2026, 6, 1)
WINDOW = Window(date(2026, 5, 1), END)
ROOT = Path(__file__).parent.parent
# hundreds of millions of texts put together and looked through: minutes, and never too many rows
HEAVY = """
SELECT COUNT(*) AS n
FROM events a CROSS JOIN events b CROSS JOIN (SELECT event_id FROM events LIMIT 300) c
WHERE REGEXP_LIKE(a.event_id || b.event_id || c.event_id, 'nothing[0-9]+such')
"""
HEAPED = "SELECT STRING_AGG(a.metadata || b.metadata, '') AS t FROM events a, events b"
ENDLESS = "SELECT COUNT(*) FROM events a, events b, events c, events d, events e"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ONE_PLACE = Limits(queries_at_once=1)


def close_all() -> None:
    """End the process that waits, and have no query start another."""
    for thread in threading.enumerate():
        if thread.name == "explore-query":
            thread.join()
    close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("explored") / "home"
    write_demo(place, events=3_000, days=60, end=END)
    yield place
    close_all()


def asked(home: Path, sql: str, **limits: float) -> pl.DataFrame:
    limit = Limits(**limits)
    return ask(Question(sql=sql), Filters(WINDOW), home, limit, now=NOW).frame


def endless(home: Path) -> Running:
    """Return a query that has a place and a process, and will not end."""
    slow = start(Question(sql=HEAVY), Filters(WINDOW), home, ONE_PLACE)
    while slow._process is None and not slow.done():
        time.sleep(0.01)
    return slow


def test_a_query_sees_the_rows_of_the_page(demo):
    [[count, first]] = asked(demo, "SELECT COUNT(*), MIN(timestamp) FROM events").rows()

    assert 0 < count < 3_000
    assert first >= datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("counting", [True, False])
def test_every_function_of_the_help_can_be_used(demo, counting):
    listed = [one for one in FUNCTIONS if (one.kind == "Counting") == counting]
    items = ", ".join(f"{one.example} AS f{number}" for number, one in enumerate(listed))

    assert asked(demo, f"SELECT {items} FROM events").width == len(listed) > 10


@pytest.mark.slow
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


def test_more_rows_on_the_way_than_the_engine_counts_are_said_in_plain_words(demo):
    with pytest.raises(QueryRefused, match="4 billion rows") as refused:
        asked(demo, "SELECT COUNT(*) FROM events a, events b, events c", query_seconds=60)

    assert "Join on a column" in str(refused.value)


def test_a_time_that_no_calendar_reaches_is_refused_and_leaves_no_file(demo, tmp_path):
    far = Question(sql="SELECT timestamp + INTERVAL '999999999 days' AS t FROM events")
    into = tmp_path / "rows.parquet"

    for file in (None, into):
        with pytest.raises(QueryRefused, match="too far away to be shown: t"):
            ask(far, Filters(WINDOW), demo, into=file)

    assert not into.exists()
    assert asked(demo, "SELECT timestamp + INTERVAL '90000000 days' AS t FROM events").height > 0


def test_a_query_can_be_cancelled(demo):
    asked_for = start(Question(sql=ENDLESS), Filters(WINDOW), demo)
    assert not asked_for.wait(0.5)

    asked_for.cancel()

    assert asked_for.wait(1.0)
    with pytest.raises(QueryRefused, match="cancelled"):
        asked_for.answer()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["user_id_hash", "session_id"])
@pytest.mark.parametrize("table", ["events", "errors", "traces", "sessions"])
def test_where_no_lists_of_people_are_wanted_nobody_can_be_recognised(demo, table, name):
    people = f"SELECT {name}, COUNT(*) AS n FROM {table} GROUP BY {name} ORDER BY n, 1"
    open_to_all = asked(demo, people)
    (demo / "telemetry.toml").write_text("people_lists = false\n")
    try:
        disguised, again = asked(demo, people), asked(demo, people)
    finally:
        (demo / "telemetry.toml").unlink()

    assert disguised["n"].sort().to_list() == open_to_all["n"].sort().to_list()
    assert disguised[name].null_count() == open_to_all[name].null_count()
    names = [set(frame[name].drop_nulls()) for frame in (open_to_all, disguised, again)]
    assert not names[0] & names[1]
    assert not names[1] & names[2]


@pytest.mark.slow
def test_who_finds_no_place_in_time_is_told_so(demo, monkeypatch):
    slow = endless(demo)
    monkeypatch.setattr(limits, "WAIT_SECONDS_MAX", 0.2)
    try:
        with pytest.raises(QueryRefused, match="running already") as refused:
            ask(Question(sql="SELECT 1"), Filters(WINDOW), demo, ONE_PLACE)
    finally:
        slow.cancel()

    assert refused.value.kind == "busy"


@pytest.mark.slow
def test_one_that_waits_for_its_place_can_be_cancelled_too(demo):
    slow = endless(demo)
    waiting = start(Question(sql="SELECT 1"), Filters(WINDOW), demo, ONE_PLACE)
    try:
        assert not waiting.wait(0.3)
        waiting.cancel()
        assert waiting.wait(1.0)
    finally:
        slow.cancel()

    with pytest.raises(QueryStopped, match="cancelled"):
        waiting.answer()


@pytest.mark.slow
def test_the_next_takes_the_place_of_the_one_before(demo, monkeypatch):
    monkeypatch.setattr(limits, "WAIT_SECONDS_MAX", 60)  # however slow the machine is
    several = [
        start(Question(sql=f"SELECT {number} AS n"), Filters(WINDOW), demo, ONE_PLACE)
        for number in range(3)
    ]

    assert [one.answer().frame.item() for one in several] == [0, 1, 2]


@pytest.mark.slow
def test_an_answer_does_not_wait_for_the_tidying_up(demo, monkeypatch):
    tidied, renew = threading.Event(), runner._spares.renew
    monkeypatch.setattr(runner._spares, "renew", lambda folder: tidied.wait() and renew(folder))
    asked_for = start(Question(sql="SELECT 1 AS one"), Filters(WINDOW), demo, ONE_PLACE)
    try:
        assert asked_for.wait(60)
        assert asked_for.answer().frame.item() == 1
        monkeypatch.setattr(limits, "WAIT_SECONDS_MAX", 0.2)
        with pytest.raises(QueryRefused, match="running already"):  # its place is not free yet
            ask(Question(sql="SELECT 1"), Filters(WINDOW), demo, ONE_PLACE)
    finally:
        tidied.set()
        asked_for._thread.join()


def test_time_is_limited(demo):
    with pytest.raises(QueryStopped, match=r"after 0\.5 seconds") as stopped:
        asked(demo, ENDLESS, query_seconds=0.5)

    assert stopped.value.kind == "time"


@pytest.mark.slow
def test_a_child_that_is_killed_says_so_and_the_next_query_works(demo):
    warm(demo, wait=True)
    killed = endless(demo)
    assert not killed.wait(0.5)
    os.kill(killed._process._process.pid, signal.SIGSEGV)

    with pytest.raises(QueryStopped, match="The engine stopped") as stopped:
        killed.answer()

    assert stopped.value.kind == "crashed"
    assert asked(demo, "SELECT 1 AS one").item() == 1


@pytest.mark.slow
def test_a_system_that_cannot_keep_it_from_files_is_told_of_and_its_limits_hold(demo, monkeypatch):
    close_all()
    old_kernel = "from data_access.explore import child, sandbox; sandbox._CREATE = 44_444; "
    boot = runner._BOOT.replace("from data_access.explore import child; ", old_kernel)
    monkeypatch.setattr(runner, "_BOOT", boot)
    try:
        assert not ask(Question(sql="SELECT 1"), Filters(WINDOW), demo).guarded
        with pytest.raises(QueryStopped, match="memory"):
            asked(demo, HEAPED, query_memory_mb=200)
    finally:
        close_all()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")
def test_a_query_steps_back_behind_the_server(demo):
    warm(demo, wait=True)
    asked_for = endless(demo)
    try:
        assert not asked_for.wait(1.0)
        tasks = Path(f"/proc/{asked_for._process._process.pid}/task").glob("*/stat")
        told = [task.read_text().rpartition(")")[2].split() for task in tasks]
    finally:
        asked_for.cancel()

    user_time, nice = 11, 16  # of proc_pid_stat(5), behind the name
    busiest = max(told, key=lambda one: int(one[user_time]))
    assert int(busiest[nice]) == os.nice(0) + sandbox.NICE


SERVER = """
import sys; sys.path[:0] = [{root!r}]
from datetime import date
from data_access import Filters, Window
from data_access.config import Limits
from data_access.explore import Question, start
asked = start(
    Question(sql={sql!r}),
    Filters(Window(date(2026, 5, 1), date(2026, 6, 1))),
    {home!r},
    Limits(query_seconds=600),
)
while asked._process is None or asked._process._stdin.closed is False:
    assert not asked.wait(0.01)
print(asked._process._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a server is told to end in another way there")
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_query_ends_with_its_server_however_that_ends(demo, how):
    code = SERVER.format(root=str(ROOT), sql=HEAVY, home=str(demo))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as server:
        child = int(server.stdout.readline())
        assert is_running(child)
        server.send_signal(getattr(signal, how))

        until = time.monotonic() + 60  # of the ten minutes it may take
        while is_running(child) and time.monotonic() < until:
            time.sleep(0.05)

        assert not is_running(child)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_an_answer_that_is_too_large_is_refused(demo, monkeypatch):
    large = "SELECT a.*, b.* FROM events a, errors b, traces c, traces d"

    with pytest.raises(QueryRefused, match=r"MB large|columns") as refused:
        asked(demo, large, query_rows=200_000, query_memory_mb=2_000)

    assert refused.value.kind == "size"


@pytest.mark.slow
def test_the_child_knows_nothing_of_the_server_s_secrets(demo, monkeypatch):
    monkeypatch.setenv("STREAMLIT_SERVER_COOKIE_SECRET", "hush")
    monkeypatch.setenv("TELEMETRY_SALT", "hush")
    close_all()
    asked_for = endless(demo)
    try:
        assert not asked_for.wait(0.5)
        process = Path(f"/proc/{asked_for._process._process.pid}")
        environment = (process / "environ").read_bytes()
        command = (process / "cmdline").read_bytes()
    finally:
        asked_for.cancel()

    assert b"hush" not in environment + command
    assert {line.partition(b"=")[0] for line in environment.split(b"\0") if line} <= {
        b"LANG",
        b"TZ",
        b"POLARS_MAX_THREADS",
    }


@pytest.mark.slow
def test_the_server_never_loads_the_parser(demo):
    code = (
        "import sys; from data_access.explore import Question, ask\n"
        "from data_access import Filters, Window; from datetime import date\n"
        f"ask(Question(), Filters(Window(date(2026, 5, 1), date(2026, 6, 1))), {str(demo)!r})\n"
        "print('sqlglot' in sys.modules)"
    )

    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert run.stdout == "False\n"


def test_the_plan_names_no_file(demo):
    answer = ask(Question(), Filters(WINDOW), demo)

    assert "SCAN" in answer.plan
    assert str(demo) not in answer.plan
    assert ".parquet" not in answer.plan


@pytest.mark.slow
def test_a_query_reads_on_after_the_copy_was_made_anew(demo, tmp_path):
    place = tmp_path / "home"
    write_demo(place, events=2_500, days=60, end=END)
    question, filters = Question(measure="rows", all_history=True), Filters(WINDOW)
    before = ask(question, filters, place).frame.item()
    warm(place, wait=True)  # a process that may read the folder that is there now
    shutil.rmtree(place / "columnar")

    assert ask(question, filters, place).frame.item() == before == 2_500


def test_rows_that_are_not_in_the_copy_yet_are_seen(demo, load_lines, home):
    load_lines(
        {
            "event_id": "e1",
            "timestamp": "2026-05-05T10:00:00Z",
            "event_name": "session_started",
            "user_id_hash": "ada",
            "metadata": {"ide": "vim", "top_k": 3},
        }
    )

    frame = asked(home, "SELECT user_id_hash, metadata.ide, metadata ->> 'top_k' AS k FROM events")

    assert frame.rows() == [("ada", "vim", "3")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "what", "where"),
    [
        ("SELECT user_id FROM events", "no such column", "user_id_hash"),
        ("SELECT ide FROM events", "no such column", "metadata.ide"),
        ("SELECT 1,\n  IDES\nFROM events", "no such column: IDES (line 2)", "metadata.IDES"),
        ("SELECT durationms FROM events", "no such column", "duration_ms"),
        ("SELECT 1 FROM evnts", "no such table", "evnts"),
        ("SELECT MEDAIN(weight) FROM events", "MEDAIN", "MEDIAN"),
        ("DROP TABLE events", "Only SELECT", "DROP"),
        ("SELECT FROM events", "", ""),
        ("SELECT CONCAT() FROM events", "'expressions' missing for CONCAT", "brackets"),
        ("SELECT COUNT(*) FROM events WHERE", "", ""),
        ("SELECT weight FROM events GROUP BY channel", "GROUP BY", "weight"),
        ("SELECT SUM(event_name) FROM events", "cannot be answered", "CAST"),
        ("SELECT metadata -> 'a' ->> 'b' FROM events", "metadata", "metadata ->> 'ide'"),
        ("SELECT release AS r FROM events WHERE r = '1'", "no such column", "write out what it"),
        ("SELECT x FROM (SELECT channel AS x FROM events) WHERE release = '1'", "", "SELECT it"),
        ("SELECT release, release FROM events", "the same name: release (line 1)", "otherwise"),
        ("SELECT AVG(weight) OVER (ROWS 1 FOLLOWING) FROM events", "frame", "CURRENT ROW"),
        ("SELECT CAST(release AS BOOLEAN) FROM events", "to Boolean", "Compare it"),
        (
            "SELECT 1 FROM events e WHERE EXISTS (SELECT 1 FROM errors r WHERE r.day - e.day < 3)",
            "not currently supported",
            "Write IN",
        ),
    ],
)
def test_what_is_wrong_is_said_with_where_and_what_to_do(demo, sql, what, where):
    with pytest.raises(QueryRefused) as refused:
        asked(demo, sql)

    said = str(refused.value)
    assert what in said
    assert where in said
    assert refused.value.what_to_do
    assert "~" not in said
    assert "Resolved plan" not in said
    assert "Span(" not in said


def test_a_whole_answer_goes_into_a_file_as_it_comes(demo, tmp_path):
    question = Question(measure="", all_history=True, columns=("event_id", "metadata.ide"))
    file = tmp_path / "whole.parquet"

    answer = ask(question, Filters(WINDOW), demo, Limits(query_rows=10), into=file)

    assert (answer.rows, answer.truncated, answer.frame.height) == (3_000, False, 0)
    assert answer.lazy().collect().height == 3_000
    assert pl.read_parquet(file).columns == answer.frame.columns == ["event_id", "ide"]


@pytest.mark.slow
def test_a_whole_answer_that_is_cut_or_fails_says_so_and_leaves_no_half(demo, tmp_path):
    file = tmp_path / "whole.parquet"
    cut = ask(Question(measure=""), Filters(WINDOW), demo, Limits(export_rows=5), into=file)
    assert (cut.rows, cut.truncated, cut.lazy().collect().height) == (5, True, 5)

    with pytest.raises(QueryRefused):
        ask(Question(sql="SELECT x FROM events"), Filters(WINDOW), demo, into=file)
    assert not file.exists()


def test_an_answer_there_is_no_memory_to_pack_says_so(monkeypatch):
    class Full(io.BytesIO):  # as the limit makes it, now and then
        def write(self, _part: object) -> int:
            raise MemoryError

    monkeypatch.setattr(io, "BytesIO", Full)

    with pytest.raises(MemoryError):
        child._packed(pl.DataFrame({"n": [1]}))


@pytest.mark.slow
def test_a_process_that_cannot_start_says_why(demo, monkeypatch):
    close_all()
    monkeypatch.setattr(runner, "_BOOT", "import no_such_engine")

    with pytest.raises(QueryStopped, match=r"could not be started: .*no_such_engine") as stopped:
        asked(demo, "SELECT 1")

    assert stopped.value.kind == "crashed"
    close_all()


def test_a_metadata_key_is_a_number_where_one_is_needed(demo):
    number = "TRY_CAST(metadata ->> 'top_k' AS DOUBLE)"
    plain = asked(
        demo,
        "SELECT SUM(metadata.top_k) AS a, AVG(metadata['top_k']) AS b, COUNT(*) AS c, "
        "MAX(metadata.top_k * 2 - 1) AS d FROM events WHERE metadata.top_k >= 5",
    )
    cast = asked(
        demo,
        f"SELECT SUM({number}) AS a, AVG({number}) AS b, COUNT(*) AS c, MAX({number} * 2 - 1) AS d "
        f"FROM events WHERE {number} >= 5",
    )

    assert plain.rows() == cast.rows()
    assert plain["c"].item() > 0
