"""A notebook's cells, top to bottom: the data, the library, filters, metric, numbers and chart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pprint import pformat
from typing import TYPE_CHECKING, Final

from data_access.filters import DIMENSIONS
from data_access.fingerprint import fingerprint
from data_access.home import HOME_VARIABLE
from data_access.notebook.carried import carried
from data_access.notebook.computed import computed
from data_access.notebook.functions import imported, roots_of, shown_functions
from data_access.notebook.literals import literal, markdown, quoted, text_of, unlinked
from data_access.notebook.picture import plain_picture
from data_access.notebook.story import variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data_access.notebook.functions import Function
    from data_access.notebook.story import Query, Story

_WHERE: Final = (
    f"The telemetry home it was exported from. Set `{HOME_VARIABLE}` to read another one, or a "
    "copy on this machine."
)
_SAME: Final = (
    "A fingerprint of what was exported, against what was computed above. Newer data, another "
    "period or a metric you changed give other numbers; then it says which."
)
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
class Cell:
    """One cell: "markdown" or "code"; `is_hidden` is code that is there to run first."""

    kind: str
    source: str
    is_hidden: bool = False
    modules: tuple[str, ...] = ()  # the sources it carries


def cells_of(story: Story) -> list[Cell]:
    """Return the notebook's cells, top to bottom.

    Raises
    ------
    CannotTell : when an option of a part has no form in source.
    """
    names = variables(story.parts)
    shown = shown_functions([part.metric for part in story.parts if part.query is None])
    asked = [part.query for part in story.parts if part.query is not None]
    modules = carried(roots_of(story.parts, shown))
    numbers = [computed(part, name) for part, name in zip(story.parts, names, strict=True)]
    filters = _filters(story)
    drawn = story.picture or plain_picture(story.parts, names)
    compared = _compared(story, names)
    functions = [one.source for one in shown.values()]
    code = "\n".join([*functions, filters, *numbers, drawn, compared])
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
        Cell("code", imported(shown, code)),
        Cell("markdown", "## The filters\n\n" + _filters_said(story)),
        Cell("code", filters),
        *([Cell("markdown", "## The metric\n\n" + _metric_said(shown))] if shown else []),
        *(Cell("markdown", "## The question\n\n" + _question_said(one)) for one in asked),
        *(Cell("code", one.source) for one in shown.values() if one.is_shown),
        Cell("markdown", "## The numbers"),
        *(Cell("code", one) for one in numbers),
        Cell("markdown", "## The chart"),
        Cell("code", drawn),
        Cell("markdown", "## The same numbers?\n\n" + _SAME),
        Cell("code", compared),
    ]


def _opening(story: Story) -> str:
    lines = [f"# {markdown(unlinked(story.title))}", *map(markdown, story.words)]
    facts = "\n".join(
        f"- {markdown(name)}: {markdown(unlinked(value))}"
        for name, value in story.facts.items()
        if value
    )
    return "\n\n".join([*lines, facts] if facts else lines)


def _home(home: str) -> str:
    return f"import os\n\nHOME = os.environ.get({quoted(HOME_VARIABLE)}) or {quoted(home)}"


def _modules(modules: Mapping[str, str]) -> str:
    lines = [f"    {quoted(name)}: {text_of(source)}," for name, source in modules.items()]
    return "\n".join(["MODULES = {", *lines, "}"])


def _filters(story: Story) -> str:
    window = story.filters.window
    lines = [f"        {literal(window.start)},", f"        {literal(window.end)},"]
    for name in ("timezone", "week_starts_on", "start_at", "end_at"):
        value = getattr(window, name)
        if value is not None:
            lines.append(f"        {name}={literal(value)},")
    chosen = [f"    {name}={literal(values)}," for name, values in story.filters.chosen().items()]
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
    narrowed = markdown(unlinked(chosen)) if chosen else "nothing is filtered"
    return f"{said}; {narrowed}. The window's end is the day after the last one."


def _metric_said(shown: Mapping[str, Function]) -> str:
    names = ", ".join(f"`{name}`" for name in shown)
    return (
        f"{names}: the definition is in the docstring. Change the code, run the cells below, and "
        "the numbers and the chart follow."
    )


def _question_said(query: Query) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", query.asked)), default=0))
    return f"As it was asked:\n\n{fence}sql\n{query.asked}\n{fence}"


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
