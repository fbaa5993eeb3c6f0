"""SQL read, checked and printed anew: what runs is never the text that was typed.

The tree sqlglot makes of the text is printed node by node in the words the engine knows. A kind of
node, a function, or a part of one that nobody taught `printer` and `phrases` cannot be printed and
is refused, so nothing has to be thought of to be kept out.

It opens no file and runs nothing.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_access.config import Limits
from data_access.explore.nodes import DIALECT, SNIPPET_CHARS, WRITTEN, too_deep
from data_access.explore.printer import Printer
from data_access.explore.question import BUCKET_COLUMN, BUCKETS, HIDDEN, KEY_COLUMN
from data_access.explore.refused import QueryRefused
from data_access.schema import SCHEMAS

if TYPE_CHECKING:
    from data_access.window import Window

NODES_MAX: Final = 3_000
DEPTH_MAX: Final = 240  # of the tree
BRACKETS_MAX: Final = 30  # one in another: the parser calls itself some twenty times for each
_UNSEEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_CLASS: Final = re.compile(r"<class '(?:\w+\.)*(\w+)'>")  # the parser's name of a function
_COLUMNS: Final = frozenset(name for schema in SCHEMAS.values() for name in schema)

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what is then refused


@dataclass(frozen=True, slots=True)
class Checked:
    """A query that may run.

    `sql` is what runs; `tables` are those it names; `keys` and `buckets` are the metadata keys and
    the parts of time that have to be columns of them.
    """

    sql: str
    tables: tuple[str, ...]
    keys: tuple[str, ...]
    buckets: tuple[str, ...]

    def is_hidden(self, name: str) -> bool:
        """Return whether a column of the answer is one nobody named."""
        return name.startswith(HIDDEN)

    def as_written(self, text: str) -> str:
        """Return a text of the engine in the words of the query."""
        for key in self.keys:
            text = text.replace(KEY_COLUMN + key, f"metadata.{key}")
        return text.replace(BUCKET_COLUMN, "")


def check(
    sql: str,
    *,
    chars_max: int = Limits().query_chars,
    now: datetime | None = None,
    window: Window | None = None,
) -> Checked:
    """Return the query to run, or refuse it.

    Parameters
    ----------
    sql : one SELECT over events, errors, traces and sessions.
    chars_max : of the text.
    now : what NOW() says; the start of 1970 when not given.
    window : whose timezone CURRENT_DATE is told in.

    Raises
    ------
    QueryRefused : with what was refused, where it is, and what to do instead.
    """
    _check_text(sql, chars_max)
    tree = _parsed(sql)
    _check_size(tree)
    for node in tree.find_all(exp.Func):
        if "start" in node.meta:
            node.meta[WRITTEN] = sql[node.meta["start"] : node.meta["end"] + 1].upper()
    moment = now or datetime.fromtimestamp(0, UTC)
    zone = ZoneInfo(window.timezone) if window is not None else UTC
    printer = Printer(moment, moment.astimezone(zone).date().isoformat(), _aliases(tree))
    try:
        printed = printer.query(tree, outermost=True)
    except RecursionError:
        too_deep()
    return Checked(
        printed,
        tuple(name for name in SCHEMAS if name in printer.tables),
        tuple(printer.keys),
        tuple(name for name in BUCKETS if name in printer.buckets),
    )


# --- before there is a tree ------------------------------------------------------------------


def _check_text(sql: str, chars_max: int) -> None:
    if len(sql) > chars_max:
        raise QueryRefused(
            f"The query is {len(sql):,} characters long.",
            "",
            f"{chars_max:,} is the limit: make it shorter.",
        )
    if not sql.strip():
        raise QueryRefused(
            "There is no query.", "", "Write one, such as SELECT COUNT(*) FROM events."
        )
    for place, letter in enumerate(sql):
        if letter not in "\n\r\t" and unicodedata.category(letter) in _UNSEEN:
            raise QueryRefused(
                f"There is a character nobody can see (U+{ord(letter):04X})",
                f"in line {sql.count(chr(10), 0, place) + 1}.",
                "Delete it, or type the line anew.",
            )
    depth = 0
    for letter in sql:
        depth += (letter in "([{") - (letter in ")]}")
        if depth > BRACKETS_MAX:
            too_deep()


def _parsed(sql: str) -> exp.Expr:
    try:
        trees = [one for one in sqlglot.parse(sql, read=DIALECT) if one is not None]
    except RecursionError:
        too_deep()
    except SqlglotError as error:
        raise _not_understood(error) from None
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        # the parser's own slips on what is no SQL
        raise QueryRefused(
            "The query cannot be read as SQL.", f"({type(error).__name__})", "Check its words."
        ) from None
    if len(trees) != 1:
        raise QueryRefused(
            f"There are {len(trees)} statements.",
            "",
            "Write one SELECT and nothing after it.",
        )
    return trees[0]


def _not_understood(error: SqlglotError) -> QueryRefused:
    found = getattr(error, "errors", None) or [{}]
    first = found[0]
    what = str(first.get("description") or str(error).partition("\n")[0])[:200]
    what = _CLASS.sub(lambda found: found[1].upper(), what)
    where = ""
    if first.get("line"):
        near = str(first.get("highlight") or "").strip()
        where = f"Line {first['line']}, near {near[:SNIPPET_CHARS]!r}."
    return QueryRefused(
        f"The query cannot be read as SQL: {what.rstrip('.')}.",
        where,
        "Check the words and brackets around it.",
    )


def _check_size(tree: exp.Expr) -> None:
    level, count, depth = [tree], 0, 0
    while level:
        count += len(level)
        depth += 1
        if count > NODES_MAX:
            raise QueryRefused(
                f"The query has more than {NODES_MAX:,} parts.", "", "Make it shorter."
            )
        if depth > DEPTH_MAX:
            too_deep()
        level = [child for node in level for child in node.iter_expressions()]


def _aliases(tree: exp.Expr) -> dict[str, str]:
    """Return the names a query gives and the columns there are, by their small letters."""
    known = {name: name for name in (*_COLUMNS, *BUCKETS)}
    for node in tree.walk():
        if isinstance(node, exp.Alias):
            known.setdefault(node.alias.lower(), node.alias)
        elif isinstance(node, exp.TableAlias):
            for column in node.args.get("columns") or []:
                known.setdefault(column.name.lower(), column.name)
    return known
