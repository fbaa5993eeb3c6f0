"""Which errors share a group: the worked cases, and the laws a hash has to keep on any input."""

import json
import random
import re
import sqlite3
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ingest
from ingest.stack_hash import culprit, explain, message_template, public_path, stack_hash

# the package offers the function under the module's own name
module = sys.modules["ingest.stack_hash"]

CASES = Path(__file__).parent / "cases"
LEGACY = Path(__file__).parent / "data" / "v2.db"

# Recommendations we knowingly do not follow, each with its reason.
POLICY_DEVIATIONS = {
    "gp-212": "no backtrace: only the panic's file is known; by file alone functions would merge",
}


def load(name: str, key: str) -> list[dict]:
    """Read the cases of a file, without the marker that hides them from secret scanners."""
    raw = json.loads((CASES / name).read_text(encoding="utf-8"))
    marker = raw["meta"].get("break_marker")
    return json.loads(json.dumps(raw[key]).replace(marker, "")) if marker else raw[key]


PAIRS = load("grouping_pairs.json", "pairs")
TEMPLATES = load("message_templates.json", "cases")
TRACES = [pytest.param(pair[side], id=f"{pair['id']}{side}") for pair in PAIRS for side in "ab"]


def hashed(report: dict) -> str:
    return stack_hash(report["stack"], error_type=report["error_type"], message=report["message"])


@pytest.mark.parametrize(
    "pair", PAIRS, ids=lambda pair: f"{pair['id']}-{pair['level']}-{pair['verdict']}"
)
def test_a_worked_pair_gets_its_verdict(pair: dict) -> None:
    together = hashed(pair["a"]) == hashed(pair["b"])

    assert together == ((pair["verdict"] == "same") ^ (pair["id"] in POLICY_DEVIATIONS)), pair[
        "why"
    ]


def test_only_policy_cases_may_deviate() -> None:
    assert {pair["level"] for pair in PAIRS if pair["id"] in POLICY_DEVIATIONS} == {"policy"}


@pytest.mark.parametrize("case", TEMPLATES, ids=lambda case: f"{case['id']}-{case['kind']}")
def test_a_worked_message_gets_its_template(case: dict) -> None:
    templates = [message_template(text) for text in case["messages"]]

    assert len(set(templates)) == (1 if case["expect"] == "share" else len(templates))
    assert not set(templates) & {
        message_template(text) for text in case.get("must_differ_from", [])
    }


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["id"])
def test_the_language_of_a_worked_trace_is_recognised(pair: dict) -> None:
    assert explain(pair["a"]["stack"]).language == pair["lang"]


# What must not matter -----------------------------------------------------------------------------


@pytest.mark.parametrize("report", TRACES)
def test_line_numbers_do_not_count(report: dict) -> None:
    moved = re.sub(r"(line |ligne |Zeile )\d+", r"\g<1>98765", report["stack"])
    moved = re.sub(
        r"(\.(?:py|js|ts|go|rs|java|cs|html)):\d+(:\d+)?",
        lambda m: m[1] + ":31" + (":7" if m[2] else ""),
        moved,
    )

    assert hashed({**report, "stack": moved}) == hashed(report)


@pytest.mark.parametrize("report", TRACES)
@pytest.mark.parametrize("home", ["/Users/zoë.smith", "/root", "~", "/mnt/c/Users/bob"])
def test_the_home_directory_does_not_count(report: dict, home: str) -> None:
    assert hashed({**report, "stack": report["stack"].replace("/home/alice", home)}) == hashed(
        report
    )


@pytest.mark.parametrize("report", TRACES)
def test_carriage_returns_and_colours_do_not_count(report: dict) -> None:
    painted = "\x1b[31m" + report["stack"].replace("\n", "\r\n") + "\x1b[0m"

    assert hashed({**report, "stack": painted}) == hashed(report)


def paths_shortened(stack: str, shorten: Callable[[str], str]) -> str:
    """Scrub the way ingest does: an absolute path becomes what `shorten` leaves of it."""
    return re.sub(
        r"(?<![\w.:/])(?:[A-Z]:[\\/]|/)[^\s:\"'()<>]*[\w.]", lambda m: shorten(m[0]), stack
    )


@pytest.mark.parametrize("report", TRACES)
def test_a_scrubbed_trace_has_the_raw_traces_hash_when_library_paths_keep_their_marker(
    report: dict,
) -> None:
    scrubbed = {
        "error_type": report["error_type"],
        "message": paths_shortened(report["message"], public_path),
        "stack": paths_shortened(report["stack"], public_path),
    }

    assert hashed(scrubbed) == hashed(report)


# A bare file name hides that a third-party Python or JavaScript frame is a library's.
LOST_WITH_BASENAMES = {"gp-078", "gp-117", "gp-086"}


@pytest.mark.parametrize("report", [p for p in TRACES if str(p.id)[:-1] not in LOST_WITH_BASENAMES])
def test_a_trace_scrubbed_to_base_names_has_the_raw_traces_hash(report: dict) -> None:
    def basename(path: str) -> str:
        return re.split(r"[\\/]", path)[-1]

    assert hashed({**report, "stack": paths_shortened(report["stack"], basename)}) == hashed(report)


FRAMES = st.lists(
    st.tuples(
        st.text(string.ascii_lowercase, min_size=3, max_size=9),
        st.text(string.ascii_lowercase + "_", min_size=3, max_size=12),
        st.integers(1, 99_999),
    ),
    min_size=1,
    max_size=12,
)


def python_trace(frames: list, prefix: str = "/home/alice/shop/", separator: str = "/") -> str:
    root = prefix.replace("/", separator)
    body = "".join(
        f'  File "{root}{file}.py", line {line}, in {function}\n    {function}()\n'
        for file, function, line in frames
    )
    return f"Traceback (most recent call last):\n{body}ValueError: bad row {frames[0][2]}\n"


@given(FRAMES, st.integers(0, 5_000))
def test_a_python_trace_keeps_its_hash_on_another_machine_with_edited_files(
    frames: list, shift: int
) -> None:
    moved = [(file, function, line + shift) for file, function, line in frames]

    assert stack_hash(python_trace(frames)) == stack_hash(
        python_trace(moved, "C:/Users/carol/", "\\")
    )


@given(FRAMES, FRAMES)
def test_who_called_in_far_from_the_crash_does_not_count(outer: list, inner: list) -> None:
    inner = inner + [(f"core{n}", f"step{n}", n) for n in range(module.FRAMES_MAX)]
    inner_only, whole = (
        python_trace(inner),
        python_trace([("zz", "entry", inner[0][2]), *outer, *inner]),
    )

    assert stack_hash(whole, message="m") == stack_hash(inner_only, message="m")


def test_a_python_trace_cut_to_two_kilobytes_keeps_its_hash() -> None:
    trace = python_trace([(f"file{n}", f"function{n}", n) for n in range(60)])

    assert stack_hash(trace[-2_000:]) == stack_hash(trace)


# Pairs of our own: shapes that the worked cases do not hold ---------------------------------------

JAVA = "java.lang.IllegalStateException: no cart\n\tat {}\n\tat com.acme.Svc.run(Svc.java:9)\n"
JS = "TypeError: bad\n    at {}\n    at main (/srv/app/main.js:9:1)\n"
GO = "panic: boom\n\ngoroutine 7 [running]:\n{}\n\t/home/a/m.go:4 +0x1d\n"
RUST = "thread 'main' panicked at src/main.rs:5:6:\nboom\nstack backtrace:\n   0: {}\n"
CSHARP = "System.Exception: boom\n   at {}\n   at Acme.App.Run() in C:\\a\\App.cs:line 3\n"
PYTHON = (
    'Traceback (most recent call last):\n  File "/srv/a.py", line 1, in go\n{}ValueError: bad\n'
)
SAME = {
    "java lambda number": (
        JAVA,
        "com.acme.A.lambda$go$0(A.java:5)",
        "com.acme.A.lambda$go$7(A.java:50)",
    ),
    "java anonymous class number": (
        JAVA,
        "com.acme.A$1.go(A.java:5)",
        "com.acme.A$4.go(A.java:50)",
    ),
    "java without source": (JAVA, "com.acme.A.go(A.java:5)", "com.acme.A.go(Unknown Source)"),
    "java proxy": (
        JAVA,
        "com.acme.A.go(A.java:5)",
        "com.acme.A.go(A.java:5)\n\tat com.acme.A$$EnhancerBySpringCGLIB$$1f.go(<generated>)",
    ),
    "java lambda class": (
        JAVA,
        "com.acme.A.go(A.java:5)",
        "com.acme.A.go(A.java:5)\n\tat com.acme.A$$Lambda$14/0x0000800c03000.run(Unknown Source)",
    ),
    "webpack query": (
        JS,
        "total (webpack:///./src/cart.ts?1a2b:4:5)",
        "async Cart.total (webpack://app/./src/cart.ts:9:9)",
    ),
    "vite hash": (
        JS,
        "total (https://a/index-BxK3a9Qz.js:1:22)",
        "total (https://b/index-D0kPqXv1.js:1:23)",
    ),
    "minified name": (
        JS,
        "t.a (https://a/main.3f2a1b9c.js:1:22222)",
        "e.b (https://a/main.99aa01cd.js:1:11111)",
    ),
    "go closure number": (
        GO,
        "main.load.func1(0x1)",
        "main.load.func2.1(0xc000012345, {0x1, 0x2})",
    ),
    "go generic": (GO, "main.Map[...](0x1)", "main.Map[go.shape.int]({0x1?})"),
    "rust hash suffix": (RUST, "app::load::h0123456789abcdef", "app::load"),
    "rust closure": (RUST, "app::load::{{closure}}", "app::load::{closure#2}"),
    "csharp async": (
        CSHARP,
        "A.B.<LoadAsync>d__5.MoveNext() in C:\\B.cs:line 12",
        "A.B.LoadAsync() in /src/B.cs:line 9",
    ),
    "csharp lambda": (
        CSHARP,
        "A.B.<>c__DisplayClass3_0.<Send>b__0()",
        "A.B.<>c__DisplayClass5_1.<Send>b__2(Object x)",
    ),
    "python library": (
        PYTHON,
        '  File "/v/lib/python3.11/site-packages/requests/api.py", line 5, in get\n',
        '  File "/v/lib/python3.12/site-packages/requests/sessions.py", line 9, in send\n',
    ),
    "python comprehension": (PYTHON, "", '  File "/srv/a.py", line 1, in <listcomp>\n'),
    "python frozen importlib": (
        PYTHON,
        "",
        '  File "<frozen importlib._bootstrap>", line 1, in _load\n',
    ),
}
DIFFERENT = {
    "java method": (JAVA, "com.acme.A.go(A.java:5)", "com.acme.A.stop(A.java:5)"),
    "javascript function": (JS, "total (/srv/cart.js:4:5)", "price (/srv/cart.js:4:5)"),
    "go function": (GO, "main.(*Store).Get(0x1)", "main.(*Store).Put(0x1)"),
    "rust function": (RUST, "app::load", "app::save"),
    "csharp method": (CSHARP, "A.B.Load()", "A.B.Save()"),
    "python file": (
        PYTHON,
        '  File "/srv/b.py", line 1, in f\n',
        '  File "/srv/c.py", line 1, in f\n',
    ),
}


@pytest.mark.parametrize(("trace", "one", "other"), SAME.values(), ids=SAME)
def test_what_a_build_or_a_runtime_generates_does_not_count(
    trace: str, one: str, other: str
) -> None:
    assert stack_hash(trace.format(one)) == stack_hash(trace.format(other))


@pytest.mark.parametrize(("trace", "one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_crashing_function_is_another_group(trace: str, one: str, other: str) -> None:
    assert stack_hash(trace.format(one)) != stack_hash(trace.format(other))


def test_a_type_counts_without_its_module() -> None:
    trace = PYTHON.format("")

    assert stack_hash(trace, error_type="ValueError") == stack_hash(
        trace, error_type="builtins.ValueError"
    )
    assert stack_hash(trace, error_type="ValueError") != stack_hash(trace, error_type="TypeError")


def test_what_was_suppressed_on_the_way_out_does_not_count() -> None:
    trace = JAVA.format("com.acme.A.go(A.java:5)")
    aside = "\tSuppressed: java.io.IOException: close\n\t\tat com.acme.R.close(R.java:9)\n"
    cause = "\tCaused by: java.io.EOFException\n\t\tat com.acme.R.flush(R.java:9)\n"

    assert stack_hash(trace + aside + cause) == stack_hash(trace)


def test_another_root_cause_is_another_group() -> None:
    node = (
        "Error: outer\n    at load (/a/m.js:1:1) {\n"
        "  [cause]: TypeError: inner\n      at %s (/a/m.js:2:2)\n}"
    )
    dotnet = (
        "System.InvalidOperationException: outer\n ---> System.FormatException: inner\n"
        "   at A.B.%s(String s) in /a/B.cs:line 1\n"
        "   --- End of inner exception stack trace ---\n   at A.B.Load() in /a/B.cs:line 2\n"
    )

    for trace in (node, dotnet):
        assert stack_hash(trace % "parse") != stack_hash(trace % "scan")


def test_type_and_message_are_read_from_the_trace_when_not_given() -> None:
    trace = PYTHON.format("")

    assert stack_hash(trace) == stack_hash(trace, error_type="ValueError", message="bad")


# Showing it ---------------------------------------------------------------------------------------


def test_the_culprit_is_the_innermost_in_app_function_and_its_file() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/srv/app/engine.py", line 5, in search\n'
        '  File "/usr/lib/python3.11/json/decoder.py", line 5, in decode\n'
        "ValueError: bad\n"
    )

    assert culprit(trace) == "search (engine.py)"
    assert culprit("it broke") == ""


def test_an_explanation_shows_what_made_the_hash() -> None:
    trace = PYTHON.format('  File "/srv/b.py", line 2, in load\n')
    shown = explain(trace, error_type="ValueError", message="row 17 of '/srv/x.csv' is bad")

    assert shown.frames == ("load (b.py)", "go (a.py)")
    assert shown.template == "row <n> of <path> is bad"
    assert (shown.language, shown.culprit) == ("python", "load (b.py)")
    assert shown.hash == stack_hash(
        trace, error_type="ValueError", message="row 17 of '/srv/x.csv' is bad"
    )


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("HTTP Error 404: Not Found", "HTTP Error 404: Not Found"),
        (
            "[Errno 2] No such file or directory: '/x/y.csv'",
            "[Errno 2] No such file or directory: <path>",
        ),
        ("no module named 'left-pad'", "no module named 'left-pad'"),
        ("user 'alice' not found", "user <str> not found"),
        ("заказ 5 не найден", "заказ <n> не найден"),
        ('rejected {"id": 1, "tags": ["a"]}', "rejected <json>"),
        ("GET https://a.example/v1?q=secret timed out after 1.5s", "GET <url> timed out after <n>"),
        ("", ""),
    ],
)
def test_data_is_masked_and_code_and_codes_are_kept(message: str, template: str) -> None:
    assert message_template(message) == template


# Laws ---------------------------------------------------------------------------------------------

SHAPES = st.sampled_from([JAVA, JS, GO, RUST, CSHARP, PYTHON])
MESSY = st.text(
    alphabet=st.sampled_from(string.printable + "éβ你\u0301\ud800«“<>'\""), max_size=120
)


@given(
    st.one_of(
        st.text(), MESSY, st.builds(lambda shape, text: shape.replace("{}", text), SHAPES, MESSY)
    ),
    MESSY,
    MESSY,
)
def test_any_text_gets_sixteen_hex_characters(stack: str, error_type: str, message: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", stack_hash(stack, error_type=error_type, message=message))


@given(st.one_of(st.text(), MESSY))
def test_a_template_is_its_own_template(message: str) -> None:
    once = message_template(message)

    assert message_template(once) == once


@pytest.mark.parametrize("mistake", [None, b"panic: \xff", 7, ["x"]], ids=repr)
def test_a_wrong_argument_is_hashed_rather_than_refused(mistake: object) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", stack_hash(mistake, error_type=mistake, message=mistake))


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "\n",
        " ",
        "(",
        "at ",
        "\tat x(",
        "@",
        "a.",
        "1:",
        "-1",
        "<",
        "'",
        '"',
        "{",
        "/",
        "\\",
        "::",
        "1-a",
        '  File "',
        "a@b.",
        "::1",
        "\x1b[",
    ],
)
def test_a_megabyte_of_anything_is_finished(unit: str) -> None:
    hostile = unit * (1_000_000 // len(unit))

    for shape in ("{}", PYTHON, JS, RUST):
        text = shape.replace("{}", hostile)
        assert len(stack_hash(text, error_type=hostile, message=hostile)) == 16
    assert len(message_template(hostile)) <= module.TEMPLATE_CHARS_MAX


def test_every_process_gives_the_same_hash() -> None:
    code = (
        "from ingest.stack_hash import stack_hash;"
        "print(stack_hash('boom at 0x1', error_type='E', message='m 1'))"
    )
    root = Path(__file__).parent.parent
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": str(random.randrange(1, 999)), "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
            cwd=root,
            text=True,
        ).stdout
        for _ in range(2)
    }

    assert runs == {stack_hash("boom at 0x1", error_type="E", message="m 1") + "\n"}


def test_the_older_systems_three_hundred_errors_are_four_groups() -> None:
    with sqlite3.connect(f"file:{LEGACY}?mode=ro&immutable=1", uri=True) as connection:
        rows = connection.execute(
            "SELECT stack_trace, error_type, error_message FROM telemetry_errors"
        ).fetchall()
    connection.close()

    assert len(rows) == 300
    assert (
        len({stack_hash(stack, error_type=kind, message=text) for stack, kind, text in rows}) == 4
    )


def test_the_package_offers_the_functions_by_the_names_that_stay():
    assert ingest.stack_hash is stack_hash
    assert ingest.message_template is message_template
