"""The kinds of notebook: the same cells written for Jupyter, and for marimo."""

from __future__ import annotations

import json
import symtable
from dataclasses import dataclass, replace
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, Final

from data_access.notebook.carried import third_parties
from data_access.notebook.cells import Cell, cells_of
from data_access.notebook.literals import literal, text_of
from data_access.notebook.picture import SHOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data_access.notebook.story import Story

PYTHON: Final = ">=3.11"
RUNNERS: Final = {"ipynb": ("ipykernel", "nbconvert"), "marimo": ("marimo",)}
MARIMO_TRIED: Final = "0.25.2"
_SHOWN: Final = ("polars", "plotly")  # every notebook computes and draws
# no button that sends the chart and its data to somebody else's server
_CONFIG: Final = '{"showSendToCloud": False, "displaylogo": False}'


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
        f'app = marimo.App(width="medium", app_title={literal(story.title)})',
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
    quoted = text_of(text)
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
