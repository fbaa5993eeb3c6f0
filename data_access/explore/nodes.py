"""What is said of a part of a query that cannot be printed: its words, its line, what to do."""

from __future__ import annotations

import difflib
from typing import Final, NoReturn

from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_access.explore.refused import QueryRefused
from data_access.explore.words import FUNCTIONS, INSTEAD

DIALECT: Final = "duckdb"  # what is read; what is written is the engine's own
SNIPPET_CHARS: Final = 80
WRITTEN: Final = "written"  # in the meta of a function: the name as it was typed
_SEE_HELP: Final = "See the help for what there is."
_INSTEAD_OF: Final[dict[type[exp.Expr], str]] = {
    exp.Any: "Write IN (...).",
    exp.All: "Compare with (SELECT MAX(...) FROM ...), or MIN.",
    exp.SimilarTo: "Write REGEXP_LIKE(column, '^(a|b)$').",
    exp.Escape: "STRPOS(column, '100%') > 0 finds a text as it is.",
    exp.Tuple: "Compare one by one, or join several with ||.",
    exp.Cube: "Write ROLLUP, or UNION ALL of several.",
    exp.GroupingSets: "Write ROLLUP, or UNION ALL of several.",
    exp.TableSample: "Write LIMIT 1000.",
    exp.Star: "Name the columns; * EXCLUDE (metadata) leaves some out.",
    exp.Join: "Write JOIN ... USING (session_id), or ON.",
    exp.Ordered: "Write ORDER BY and the column alone.",
    exp.Unnest: "A list in the metadata cannot be taken apart here.",
}


def too_deep() -> NoReturn:
    """Refuse a query whose parts lie in each other like Russian dolls."""
    raise QueryRefused(
        "The query is nested too deeply.",
        "",
        "Take its inner parts out: WITH step AS (SELECT ...) SELECT ... FROM step.",
    ) from None


def snippet(node: exp.Expr) -> str:
    """Return the words a node stands for, or as much of them as can be told."""
    try:
        words = " ".join(node.sql(dialect=DIALECT, comments=False).split())
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError):
        words = type(node).__name__.upper()
    return words if len(words) <= SNIPPET_CHARS else f"{words[: SNIPPET_CHARS - 3]}..."


def where_of(node: exp.Expr) -> str:
    """Return the words of a node and the line they are in."""
    lines = [one.meta["line"] for one in node.walk() if "line" in one.meta]
    return f"{snippet(node)} (line {lines[0]})." if lines else f"{snippet(node)}."


def refuse(what: str, node: exp.Expr, what_to_do: str = "") -> NoReturn:
    """Refuse a node, in these words."""
    raise QueryRefused(what, where_of(node), what_to_do)


def refuse_node(node: exp.Expr) -> NoReturn:
    """Refuse a kind of node nobody knows how to print."""
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        refuse_function(str(name).upper(), node)
    _refuse_part(node)


def _refuse_part(node: exp.Expr) -> NoReturn:
    instead = _INSTEAD_OF.get(type(node), _SEE_HELP)
    refuse("This part of SQL is not available here:", node, instead)


def refuse_function(name: str, node: exp.Expr) -> NoReturn:
    """Refuse a function, with one of a similar name if there is."""
    name = node.meta.get(WRITTEN, name)
    like = difflib.get_close_matches(name, [one.name for one in FUNCTIONS], 1, 0.76)
    instead = f"Did you mean {like[0]}?" if like else "See the help for the functions there are."
    instead = INSTEAD.get(name, instead)
    refuse(f"The function {name[:40]} is not available here:", node, instead)


def only(node: exp.Expr, *allowed: str) -> None:
    """Refuse a node that says more than the parts that are printed."""
    for name, value in node.args.items():
        if value not in (None, False, "", []) and name not in allowed:
            _refuse_part(value if isinstance(value, exp.Expr) else node)
