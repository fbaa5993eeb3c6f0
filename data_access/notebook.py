"""A cell as a notebook that runs: the data access, the filters, the metric's code, chart and prose.

It carries the modules it needs as source, because this package is on no registry: a fresh
environment with the packages its header names is enough. The numbers are computed, never written
in; the last cell says whether they are those that were exported. Nothing is run here.
"""

from __future__ import annotations

import ast
import json
import re
import symtable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from importlib.metadata import version as version_of
from pprint import pformat
from typing import TYPE_CHECKING, Any, Final

from data_access.carried import carried, imports_of, third_parties
from data_access.compute import with_events
from data_access.explore.question import HIDDEN
from data_access.filters import DIMENSIONS, Filters
from data_access.fingerprint import fingerprint
from data_access.home import HOME_VARIABLE
from data_access.measures import MEASURES
from data_access.metrics import METRICS
from ingest.vocabulary import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import polars as pl

__all__ = [
    "KINDS",
    "CannotTell",
    "Cell",
    "Kind",
    "Part",
    "Story",
    "cells_of",
    "to_ipynb",
    "to_marimo",
    "unlinked",
]

PYTHON: Final = ">=3.11"
RUNNERS: Final = {"ipynb": ("ipykernel", "nbconvert"), "marimo": ("marimo",)}
_LINKS: Final = re.compile(r"[\\`\[\]|$]")  # what begins more in markdown than emphasis
_SHOWN: Final = ("polars", "plotly")  # every notebook computes and draws


class CannotTell(ValueError):  # noqa: N818 - names the situation
    """Something in a cell has no form in source. The message says what."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question in SQL, as it ran: over which tables, and which hidden columns it reads.

    `asked` is what the reader wrote or put together; `rows` how many were kept of the answer.
    """

    asked: str
    ran: str
    tables: tuple[str, ...]
    keys: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    all_history: bool = False
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One frame of a cell: which metric, with which options, and the numbers it gave.

    `name` is what the cell calls it; `is_before` when it is of the period before. With `query` it
    is no metric's but the answer to a question.
    """

    name: str
    metric: str
    frame: pl.DataFrame
    options: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None
    is_before: bool = False
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Everything a notebook tells.

    `words` are paragraphs of markdown: what the cell says. `facts` are further lines by name.
    `picture` is the code of the chart, over the parts' variables; a plain one where it is empty.
    """

    title: str
    words: Sequence[str]
    parts: Sequence[Part]
    filters: Filters
    home: str
    version: str
    facts: Mapping[str, str] = field(default_factory=dict)
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: "markdown" or "code"; `is_hidden` is code that is there to run first."""

    kind: str
    source: str
    is_hidden: bool = False
    modules: tuple[str, ...] = ()  # the sources it carries


# --- literals --------------------------------------------------------------------------------


def _literal(value: object) -> str:
    """Return a plain value as source; whatever it holds, it stays one literal."""
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool | int | float):
        return _number(value) if isinstance(value, float) else repr(value)
    if isinstance(value, datetime):
        return f"datetime.fromisoformat({quoted(value.isoformat())})"
    if isinstance(value, date):
        return f"date({value.year}, {value.month}, {value.day})"
    if isinstance(value, tuple):
        inner = ", ".join(map(_literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    raise CannotTell(f"A {type(value).__name__} among the options has no form in a notebook.")


def quoted(value: str) -> str:
    """Return a text as a literal in double quotes where that needs no escapes, else as Python's."""
    said = repr(value)
    return f'"{said[1:-1]}"' if said[0] == "'" and '"' not in said and "\\" not in said else said


def _number(value: float) -> str:
    return repr(value) if value - value == 0 else f'float("{value}")'


def _text(value: str) -> str:
    """Return a long text as readable source: raw where nothing in it ends the quotes."""
    for quote in ('"""', "'''"):
        is_safe = quote not in value and not value.endswith((quote[0], "\\"))
        if is_safe and "\r" not in value and "\x00" not in value:
            return f"r{quote}{value}{quote}"
    return repr(value)


def _markdown(value: str) -> str:
    """Return markdown in which text from the data is no HTML; Streamlit's icons are left out."""
    plain = value.replace("&", "&amp;").replace("<", "&lt;")
    words = plain.split(" ")
    return " ".join(one for one in words if not one.startswith(":material/"))


def unlinked(value: str) -> str:
    """Return text from the data in which markdown finds no image, link, code or table.

    An image would tell its server who opened the notebook, before a cell of it is run.
    """
    return _LINKS.sub(r"\\\g<0>", " ".join(value.split()))


def _name_of(words: str, taken: set[str]) -> str:
    """Return a variable for a frame, like no other name there is."""
    plain = "".join(one if one.isascii() and one.isalnum() else "_" for one in words.lower())
    plain = "_".join(filter(None, plain.split("_"))) or "all"
    base = f"{plain}_rows" if plain[0].isalpha() else f"of_{plain}_rows"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name


def variables(parts: Sequence[Part]) -> list[str]:
    """Return each part's variable, in order."""
    if len(parts) == 1:
        return ["rows"]
    taken: set[str] = set()
    return [_name_of(f"{one.name} before" if one.is_before else one.name, taken) for one in parts]


# --- the cells -------------------------------------------------------------------------------


def cells_of(story: Story) -> list[Cell]:
    """Return the notebook's cells, top to bottom.

    Raises
    ------
    CannotTell : when an option of a part has no form in source.
    """
    names = variables(story.parts)
    shown = _shown([part.metric for part in story.parts if part.query is None])
    asked = [part.query for part in story.parts if part.query is not None]
    roots = _roots(story, shown)
    modules = carried(roots)
    computed = [_computed(part, name) for part, name in zip(story.parts, names, strict=True)]
    drawn = story.picture or plain_picture(story.parts, names)
    compared = _compared(story, names)
    code = "\n".join([*(one.source for one in shown.values()), *computed, drawn, compared])
    return [
        Cell("markdown", _opening(story)),
        Cell("markdown", "## Where the data is\n\n" + _WHERE),
        Cell("code", _home(story.home)),
        Cell(
            "markdown",
            "## The library\n\nThe modules that read a home and that the metric is built on, as "
            "they were when this was exported. They are source, to read and to change; below is "
            "what makes them importable.",
        ),
        Cell("code", _modules(modules), is_hidden=True, modules=tuple(modules.values())),
        Cell("code", _IMPORTER),
        Cell("code", _imports(story, shown, code)),
        Cell("markdown", "## The filters\n\n" + _filters_said(story)),
        Cell("code", _filters(story)),
        *([Cell("markdown", "## The metric\n\n" + _metric_said(shown))] if shown else []),
        *(Cell("markdown", "## The question\n\n" + _question_said(one)) for one in asked),
        *(Cell("code", one.source) for one in shown.values() if one.is_shown),
        Cell("markdown", "## The numbers"),
        *(Cell("code", one) for one in computed),
        Cell("markdown", "## The chart"),
        Cell("code", drawn),
        Cell("markdown", "## The same numbers?\n\n" + _SAME),
        Cell("code", compared),
    ]


_WHERE: Final = (
    f"The telemetry home it was exported from. Set `{HOME_VARIABLE}` to read another one, or a "
    "copy on this machine."
)
_SAME: Final = (
    "A fingerprint of what was exported, against what was computed above. Newer data, another "
    "period or a metric you changed give other numbers; then it says which."
)


def _opening(story: Story) -> str:
    lines = [f"# {_markdown(unlinked(story.title))}", *map(_markdown, story.words)]
    facts = "\n".join(
        f"- {_markdown(name)}: {_markdown(unlinked(value))}"
        for name, value in story.facts.items()
        if value
    )
    return "\n\n".join([*lines, facts] if facts else lines)


def _home(home: str) -> str:
    return f"import os\n\nHOME = os.environ.get({quoted(HOME_VARIABLE)}) or {quoted(home)}"


def _modules(modules: Mapping[str, str]) -> str:
    lines = [f"    {quoted(name)}: {_text(source)}," for name, source in modules.items()]
    return "\n".join(["MODULES = {", *lines, "}"])


_IMPORTER: Final = '''\
import importlib.abc
import importlib.util
import sys


class Carried(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Import the modules above, and no others of their name on this machine."""

    def find_spec(self, name, path=None, target=None):
        if name not in MODULES:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))

    def is_package(self, name):
        return any(other.startswith(f"{name}.") for other in MODULES)

    def get_source(self, name):
        return MODULES[name]


for _name in [one for one in sys.modules if one.partition(".")[0] in ("data_access", "ingest")]:
    del sys.modules[_name]
sys.meta_path[:] = [one for one in sys.meta_path if type(one).__name__ != "Carried"]
importer = Carried()
sys.meta_path.insert(0, importer)'''


@dataclass(frozen=True, slots=True)
class _Function:
    """A metric's function as a cell: its source, private imports first; `public` the others."""

    source: str
    public: dict[str, str]
    module: str
    is_shown: bool = True


def _shown(metrics: Iterable[str]) -> dict[str, _Function]:
    """Return the function of every metric asked for, by its name.

    Two whose modules call different things the same cannot both be shown: the second is imported.
    """
    found: dict[str, _Function] = {}
    public: dict[str, str] = {}
    asked = list(dict.fromkeys(metrics))
    for name in asked:
        compute = METRICS[name].compute if name in METRICS else MEASURES[name].compute
        source, names = imports_of(compute)
        module = compute.__module__
        private = [line for one, line in names.items() if one.startswith("_")]
        # what another cell defines comes from there
        others = {
            one: line for one, line in names.items() if not one.startswith("_") and one not in asked
        }
        clash = any(public.get(one, line) != line for one, line in others.items())
        if clash:
            found[name] = _Function(
                "", {name: f"from {module} import {name}"}, module, is_shown=False
            )
        else:
            text = "\n".join([*_merged(private), "", "", source]) if private else source
            found[name] = _Function(text.rstrip("\n"), others, module)
        public |= found[name].public
    return found


def _roots(story: Story, shown: Mapping[str, _Function]) -> set[str]:
    roots = {one.module for one in shown.values()}
    roots |= {"data_access.sources", "data_access.filters", "data_access.window"}
    roots |= {"data_access.fingerprint", "data_access.metrics.registry"}
    if any(part.query is not None for part in story.parts):
        roots.add("data_access.explore.frames")
    if any(part.split is not None for part in story.parts):
        roots.add("data_access.compute")
    if any(_typed(part) for part in story.parts):
        roots.add("data_access.metrics.steps")
    return roots


_OURS: Final = {
    "Filters": "from data_access.filters import Filters",
    "METRICS": "from data_access.metrics.registry import METRICS",
    "Window": "from data_access.window import Window",
    "compute": "from data_access.compute import compute",
    "date": "from datetime import date",
    "datetime": "from datetime import datetime",
    "differences": "from data_access.fingerprint import differences",
    "go": "import plotly.graph_objects as go",
    "pipeline": "from data_access.pipeline import pipeline",
    "pl": "import polars as pl",
    "replace": "from dataclasses import replace",
    "scan": "from data_access.sources import scan",
    "with_named": "from data_access.explore.frames import with_named",
    "step_of": "from data_access.metrics.steps import step_of",
    "version": "from data_access.sources import version",
}


def _imports(story: Story, shown: Mapping[str, _Function], code: str) -> str:
    """Return one cell with every public import of the others: marimo takes a name once."""
    used = _globals(code + "\n" + _filters(story))
    lines = {line for name, line in _OURS.items() if name in used}
    lines |= {line for one in shown.values() for line in one.public.values()}
    first = "importer  # the cell above makes what follows importable"
    rows = "_config = pl.Config.set_tbl_rows(40)"  # enough to see most tables whole
    return "\n".join([first, "", *_merged(lines | {_OURS["pl"]}), "", rows])


def _merged(lines: Iterable[str]) -> list[str]:
    """Return import lines in order, those of one module as one."""
    plain = sorted(line for line in set(lines) if line.startswith("import "))
    names: dict[str, list[str]] = {}
    for line in sorted(set(lines) - set(plain)):
        module, _, name = line.removeprefix("from ").partition(" import ")
        names.setdefault(module, []).append(name)
    return [*plain, *(_import_of(module, taken) for module, taken in names.items())]


def _import_of(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= LINE_CHARS:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


LINE_CHARS: Final = 88


def _globals(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def _filters(story: Story) -> str:
    window = story.filters.window
    lines = [f"        {_literal(window.start)},", f"        {_literal(window.end)},"]
    for name in ("timezone", "week_starts_on", "start_at", "end_at"):
        value = getattr(window, name)
        if value is not None:
            lines.append(f"        {name}={_literal(value)},")
    chosen = [f"    {name}={_literal(values)}," for name, values in story.filters.chosen().items()]
    made = ["filters = Filters(", "    window=Window(", *lines, "    ),", *chosen, ")"]
    before = any(part.is_before for part in story.parts)
    return "\n".join([*made, *(["before = filters.previous()"] if before else [])])


def _filters_said(story: Story) -> str:
    window = story.filters.window
    said = f"{window.start} to {window.end - timedelta(days=1)}, days of {window.timezone}"
    chosen = "; ".join(
        f"{DIMENSIONS[name].query_name} {', '.join(values)}"
        for name, values in story.filters.chosen().items()
    )
    narrowed = _markdown(unlinked(chosen)) if chosen else "nothing is filtered"
    return f"{said}; {narrowed}. The window's end is the day after the last one."


def _metric_said(shown: Mapping[str, _Function]) -> str:
    names = ", ".join(f"`{name}`" for name in shown)
    return (
        f"{names}: the definition is in the docstring. Change the code, run the cells below, and "
        "the numbers and the chart follow."
    )


def _question_said(query: Query) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", query.asked)), default=0))
    return f"As it was asked:\n\n{fence}sql\n{query.asked}\n{fence}"


def _answered(query: Query, name: str) -> str:
    """Return the cell that asks a question of the rows the filters leave."""
    lines = []
    for table in query.tables:
        since = "None" if query.all_history else "filters.window.opens_at"
        rows = f"scan({quoted(table)}, HOME, since={since}, filters=filters)"
        if not query.all_history:
            rows += f".filter(filters.window.contains({quoted(TABLES[table].time_column)}))"
        named = f"keys={_literal(query.keys)}, buckets={_literal(query.buckets)}"
        given = [rows, quoted(table), "filters.window", named]
        lines.append(f"_{table} = {_call('with_named', given)}")
    frames = ", ".join(f"{quoted(table)}: _{table}" for table in query.tables)
    kept = [
        f"# as it was printed from the question after it was checked, {query.rows:,} rows at most",
        f"SQL = {_text(query.ran)}",
        f"_answer = pl.SQLContext(frames={{{frames}}}, eager=False).execute(SQL)",
        f"_hidden = [one for one in _answer.collect_schema() if one.startswith({quoted(HIDDEN)})]",
        f"{name} = _answer.drop(_hidden).head({query.rows}).collect()",
    ]
    return "\n".join([*lines, *kept, name])


def _typed(part: Part) -> bool:
    """Tell whether an option is an event a person typed, which `step_of` reads."""
    return part.split is None and any(
        isinstance(value, str) and _event(value) != repr(value)
        for name, value in _events_in(part.options)
    )


def _events_in(options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = [(name, options[name]) for name in ("start", "back", "goal") if name in options]
    found += [("steps", one) for one in options.get("steps", ())]
    return found + [("exclude", one[0]) for one in options.get("exclude", ())]


def _event(said: object) -> str:
    """Return an event as source: a plain name as it is, anything else as `step_of` reads it."""
    if isinstance(said, str) and with_events({"start": said})["start"] is not said:
        stripped = with_events({"start": said})["start"]
        return quoted(stripped) if isinstance(stripped, str) else f"step_of({quoted(said)})"
    return _literal(said)


def _option(name: str, value: Any, *, as_typed: bool) -> str:  # noqa: ANN401 - any plain value
    if as_typed:
        return f"{name}={_literal(value)}"
    if name in {"start", "back", "goal"}:
        return f"{name}={_event(value)}"
    if name == "steps":
        return f"{name}=({', '.join(map(_event, value))},)"
    if name == "exclude":
        each = [f"({_event(event)}, {', '.join(map(_literal, rest))})" for event, *rest in value]
        return f"{name}=({''.join(f'{one}, ' for one in each)})"
    return f"{name}={_literal(value)}"


def _computed(part: Part, name: str) -> str:
    """Return the cell that computes a part's frame and shows it."""
    if part.query is not None:
        return _answered(part.query, name)
    filters = "before" if part.is_before else "filters"
    as_typed = part.split is not None
    options = [_option(key, value, as_typed=as_typed) for key, value in part.options.items()]
    if part.metric in MEASURES:
        read = f"pipeline(HOME, since={filters}.window.start)"
        return f"{name} = {part.metric}({read}, {filters}.window)\n{name}"
    if as_typed:
        first = f"replace(METRICS[{quoted(part.metric)}], compute={part.metric})"
        given = [first, filters, "HOME", f"split={quoted(part.split or '')}", *options]
        return f"{name} = {_call('compute', given)}.collect()\n{name}"
    metric = METRICS[part.metric]
    since = f"METRICS[{quoted(part.metric)}].since({filters}.window)"
    scans = [
        f"_{table} = scan({quoted(table)}, HOME, since={since}, filters={filters})"
        for table in metric.sources
    ]
    given = [*(f"_{table}" for table in metric.sources), f"{filters}.window", *options]
    return "\n".join([*scans, f"{name} = {_call(part.metric, given)}.collect()", name])


def _call(function: str, given: Sequence[str]) -> str:
    return "\n".join([f"{function}(", *(f"    {one}," for one in given), ")"])


def _compared(story: Story, names: Sequence[str]) -> str:
    expected = [
        f"    {quoted(name)}: {_laid_out(fingerprint(part.frame))},"
        for part, name in zip(story.parts, names, strict=True)
    ]
    frames = ", ".join(f"{quoted(name)}: {name}" for name in names)
    return "\n".join(
        [
            "EXPORTED = {",
            *expected,
            "}",
            f"_frames = {{{frames}}}",
            "differs = {",
            "    name: found",
            "    for name, frame in _frames.items()",
            "    if (found := differences(EXPORTED[name], frame))",
            "}",
            f"is_same_data = version(HOME) == {quoted(story.version)}",
            "if not differs:",
            '    said = "The same numbers as exported."',
            "elif is_same_data:",
            '    said = f"Other numbers than exported, of the same data: {differs}"',
            "else:",
            '    said = f"The data has changed since it was exported, and so have: {differs}"',
            "print(said)",
        ]
    )


def _laid_out(value: object) -> str:
    """Return plain values as source over several lines."""
    said = pformat(value, width=88, sort_dicts=False)
    return said.replace("\n", "\n    ")


def plain_picture(parts: Sequence[Part], names: Sequence[str]) -> str:
    """Return the code of a plain chart of the first frame: what it counts, along its first key."""
    frame, rows = parts[0].frame, names[0]
    every = [name for name, kind in frame.schema.items() if kind.is_numeric()]
    floats = [name for name in every if frame.schema[name].is_float()]
    numbers = floats or every
    keys = [name for name in frame.columns if name not in numbers]
    head = [f"figure = go.Figure(layout={LOOK})"]
    if not numbers:
        return "\n".join([*head, SHOW])
    if not keys or frame.height == 1:
        of = ", ".join(map(quoted, numbers))
        body = [f"_names = [{of}]", f"figure.add_bar(x=_names, y={rows}.select(_names).row(0))"]
        return "\n".join([*head, *body, SHOW])
    over = next((name for name in keys if frame.schema[name].is_temporal()), keys[0])
    groups = [name for name in keys if name != over and not frame.schema[name].is_temporal()]
    kind = "scatter" if frame.schema[over].is_temporal() else "bar"
    values = f"x={_PART}[{quoted(over)}].to_list(), y={_PART}[{quoted(numbers[0])}].to_list()"
    titles = f"xaxis_title={quoted(over)}, yaxis_title={quoted(numbers[0])}"
    head.append(f"figure.update_layout({titles})")
    if groups:
        body = [
            f"_groups = {rows}.group_by([{quoted(groups[0])}], maintain_order=True)",
            f"for (_name,), {_PART} in _groups:",
            f"    figure.add_{kind}({values}, name=str(_name))",
        ]
    else:
        body = [f"{_PART} = {rows}", f"figure.add_{kind}({values})"]
    return "\n".join([*head, *body, SHOW])


_PART: Final = "_part"
LOOK: Final = '{"template": "plotly_white", "height": 420}'
SHOW: Final = "figure"  # replaced by what shows a figure in this kind of notebook
# no button that sends the chart and its data to somebody else's server
_CONFIG: Final = '{"showSendToCloud": False, "displaylogo": False}'


# --- kinds of notebook -----------------------------------------------------------------------


def requirements(cells: Sequence[Cell], kind: str) -> list[str]:
    """Return what has to be installed, with the exact versions these numbers were made with."""
    sources = [one.source for one in cells if one.kind == "code" and not one.is_hidden]
    carried_in = [one for cell in cells for one in cell.modules]
    found = {*third_parties(sources), *third_parties(carried_in), *_SHOWN}
    pinned = [f"{name}=={version_of(name)}" for name in sorted(found)]
    # Windows has no time zones of its own
    return [*pinned, "tzdata; sys_platform == 'win32'", *RUNNERS[kind]]


def _header(cells: Sequence[Cell], kind: str) -> str:
    """Return the requirements as a script's header (PEP 723), which pip's and uv's tools read."""
    lines = ["# /// script", f'# requires-python = "{PYTHON}"', "# dependencies = ["]
    lines += [f"#     {json.dumps(one)}," for one in requirements(cells, kind)]
    return "\n".join([*lines, "# ]", "# ///"])


def to_ipynb(story: Story) -> bytes:
    """Return the story as a Jupyter notebook (nbformat 4.5)."""
    cells = cells_of(story)
    first = Cell("code", _header(cells, "ipynb"))
    shown = [
        replace(one, source=_showing(one.source, f"figure.show(config={_CONFIG})")) for one in cells
    ]
    made = [_ipynb_cell(one, at) for at, one in enumerate([shown[0], first, *shown[1:]])]
    notebook = {
        "cells": made,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "file_extension": ".py"},
            "betascope": {"requirements": requirements(cells, "ipynb"), **dict(story.facts)},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(notebook, ensure_ascii=False, indent=1) + "\n").encode()


def _ipynb_cell(cell: Cell, at: int) -> dict[str, Any]:
    hidden = {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]} if cell.is_hidden else {}
    made: dict[str, Any] = {
        "cell_type": cell.kind,
        "id": f"cell-{at:02}",
        "metadata": hidden,
        "source": cell.source.splitlines(keepends=True),
    }
    return made | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {})


def _showing(source: str, how: str) -> str:
    """Replace the last line of a cell that only names the figure by what shows it."""
    return f"{source.removesuffix(SHOW)}{how}" if source.endswith(f"\n{SHOW}") else source


def to_marimo(story: Story) -> bytes:
    """Return the story as a marimo notebook, which is also a script that runs by itself."""
    cells = cells_of(story)
    shown = [
        replace(one, source=_showing(one.source, f"mo.ui.plotly(figure, config={_CONFIG})"))
        for one in cells
    ]
    tables = {at: _names_in(one.source) for at, one in enumerate(shown) if one.kind == "code"}
    owners = {name for defined, _ in tables.values() for name in defined} | {"mo"}
    parts = [
        _header(cells, "marimo"),
        "",
        "import marimo",
        "",
        f'__generated_with = "{version_if_there("marimo")}"',
        f'app = marimo.App(width="medium", app_title={_literal(story.title)})',
        "",
        "",
        "@app.cell(hide_code=True)\ndef _():\n    import marimo as mo\n    return (mo,)",
    ]
    for at, cell in enumerate(shown):
        parts += ["", "", _marimo_cell(cell, tables.get(at), owners)]
    parts += ["", "", 'if __name__ == "__main__":', "    app.run()", ""]
    return "\n".join(parts).encode()


def version_if_there(package: str) -> str:
    """Return a package's version, or the one this was tried with."""
    try:
        return version_of(package)
    except ModuleNotFoundError:
        return MARIMO_TRIED


MARIMO_TRIED: Final = "0.25.2"


def _marimo_cell(cell: Cell, names: tuple[set[str], set[str]] | None, owners: set[str]) -> str:
    if names is None:
        source, defined, used = f"mo.md({_md(cell.source)})", set[str](), {"mo"}
    else:
        source, (defined, used) = cell.source, names
    needs = sorted((used & owners) - defined)
    is_quiet = cell.is_hidden or cell.kind == "markdown"
    head = "@app.cell(hide_code=True)" if is_quiet else "@app.cell"
    given = ", ".join(sorted(defined))
    back = f"return ({given},)" if len(defined) == 1 else f"return {given}".rstrip()
    body = "\n".join(f"    {line}" if line.strip() else "" for line in source.split("\n"))
    return f"{head}\ndef _({', '.join(needs)}):\n{body}\n    {back}"


def _md(text: str) -> str:
    quoted = _text(text)
    if quoted.startswith(('r"""', "r'''")):
        return f"{quoted[:4]}\n{quoted[4:-3]}\n{quoted[-3:]}"
    return quoted


def _names_in(source: str) -> tuple[set[str], set[str]]:
    """Return the names a cell gives to the others, and those it may take from them."""
    top = symtable.symtable(source, "cell", "exec")
    defined = {
        one.get_name()
        for one in top.get_symbols()
        if (one.is_assigned() or one.is_imported()) and not one.get_name().startswith("_")
    }
    used = {one.get_name() for one in top.get_symbols() if one.is_referenced()}
    waiting = list(top.get_children())
    while waiting:
        table = waiting.pop()
        used |= {one.get_name() for one in table.get_symbols() if one.is_global()}
        waiting += table.get_children()
    return defined, used


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of notebook: what it is called, how it is written, its file's ending and MIME type."""

    label: str
    write: Callable[[Story], bytes]
    ending: str
    mime: str


KINDS: Final = {
    "ipynb": Kind("Jupyter", to_ipynb, "ipynb", "application/x-ipynb+json"),
    "marimo": Kind("marimo", to_marimo, "py", "text/x-python"),
}
