"""The metrics' functions a notebook shows, and what it has to import and carry for them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from data_access.measures import MEASURES
from data_access.metrics import METRICS
from data_access.notebook.carried import imports_of
from data_access.notebook.computed import is_typed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from data_access.notebook.story import Part

LINE_CHARS: Final = 88
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


@dataclass(frozen=True, slots=True)
class Function:
    """A metric's function as a cell: its source, private imports first; `public` the others."""

    source: str
    public: dict[str, str]
    module: str
    is_shown: bool = True


def shown_functions(metrics: Iterable[str]) -> dict[str, Function]:
    """Return the function of every metric asked for, by its name.

    Two whose modules call different things the same cannot both be shown: the second is imported.
    """
    found: dict[str, Function] = {}
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
            found[name] = Function(
                "", {name: f"from {module} import {name}"}, module, is_shown=False
            )
        else:
            text = "\n".join([*_merged(private), "", "", source]) if private else source
            found[name] = Function(text.rstrip("\n"), others, module)
        public |= found[name].public
    return found


def roots_of(parts: Sequence[Part], shown: Mapping[str, Function]) -> set[str]:
    """Return the modules it needs; those that these import come with them."""
    roots = {one.module for one in shown.values()}
    roots |= {"data_access.sources", "data_access.filters", "data_access.window"}
    roots |= {"data_access.fingerprint", "data_access.metrics.registry"}
    if any(part.query is not None for part in parts):
        roots.add("data_access.explore.frames")
    if any(part.split is not None for part in parts):
        roots.add("data_access.compute")
    if any(is_typed(part) for part in parts):
        roots.add("data_access.metrics.steps")
    return roots


def imported(shown: Mapping[str, Function], code: str) -> str:
    """Return one cell with every public import of the others: marimo takes a name once."""
    used = _globals(code)
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


def _globals(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
