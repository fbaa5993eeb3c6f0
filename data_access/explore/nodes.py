"""What is said of a part of a query that cannot be printed: its words, its line, what to do."""

from __future__ import annotations

import difflib
from typing import Final, NoReturn

from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_access.explore.refused import QueryRefused
from data_access.explore.words import FUNCTIONS

DIALECT: Final = "duckdb"  # what is read; what is written is the engine's own
SNIPPET_CHARS: Final = 80


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
    refuse("This part of SQL is not available here:", node, "See the help for what there is.")


def refuse_function(name: str, node: exp.Expr) -> NoReturn:
    """Refuse a function, with one of a similar name if there is."""
    like = difflib.get_close_matches(name, [one.name for one in FUNCTIONS], 1, 0.75)
    instead = f"Did you mean {like[0]}?" if like else "See the help for the functions there are."
    refuse(f"The function {name[:40]} is not available here:", node, instead)


def only(node: exp.Expr, *allowed: str) -> None:
    """Refuse a node that says more than the parts that are printed."""
    for name, value in node.args.items():
        if value not in (None, False, "", []) and name not in allowed:
            refuse(
                "This part of SQL is not available here:",
                value if isinstance(value, exp.Expr) else node,
                "See the help for what there is.",
            )
