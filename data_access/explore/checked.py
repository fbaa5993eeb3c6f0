"""SQL read, checked and printed anew: what runs is never the text that was typed.

The tree sqlglot makes of the text is printed by the table below, node by node, in the words the
engine knows. A kind of node, a function, or a part of one that is not in the table cannot be
printed and is refused, so nothing has to be thought of to be kept out. Names are quoted, texts are
escaped, operations are put in brackets: the engine reads the tree that was checked.

It opens no file and runs nothing.
"""

from __future__ import annotations

import difflib
import logging
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn
from zoneinfo import ZoneInfo

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_access.config import Limits
from data_access.explore.question import BUCKET_COLUMN, BUCKETS, HIDDEN, KEY_COLUMN
from data_access.explore.refused import QueryRefused
from data_access.explore.words import FUNCTIONS
from data_access.metadata import METADATA_COLUMN, is_key
from data_access.schema import SCHEMAS
from data_access.window import known_timezone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from data_access.window import Window

DIALECT: Final = "duckdb"  # what is read; what is written is the engine's own
NODES_MAX: Final = 3_000
DEPTH_MAX: Final = 60  # of the tree
BRACKETS_MAX: Final = 30  # one in another: the parser calls itself some twenty times for each
NAME_CHARS_MAX: Final = 200
DIGITS_MAX: Final = 30
KEYS_MAX: Final = 30
SNIPPET_CHARS: Final = 80
TABLES_WORDS: Final = f"The tables are {', '.join(SCHEMAS)}."

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER: Final = re.compile(r"\d+(\.\d*)?([eE][+-]?\d{1,3})?|\.\d+([eE][+-]?\d{1,3})?")
_UNITS: Final = (
    *("microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month"),
    *("quarter", "year"),
)
_PARTS: Final = (*_UNITS, "dow", "isodow", "doy", "isoyear", "epoch", "decade", "century")
_INTERVAL: Final = re.compile(
    rf"\d{{1,9}} ?({'|'.join(_UNITS)})s?( \d{{1,9}} ?({'|'.join(_UNITS)})s?){{0,5}}"
)
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
    moment = now or datetime.fromtimestamp(0, UTC)
    zone = ZoneInfo(window.timezone) if window is not None else UTC
    printer = _Printer(moment, moment.astimezone(zone).date().isoformat(), _aliases(tree))
    try:
        printed = printer.query(tree, outermost=True)
    except RecursionError:
        _too_deep()
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
        if letter not in "\n\r\t" and unicodedata.category(letter)[0] == "C":
            raise QueryRefused(
                f"There is a character nobody can see (U+{ord(letter):04X})",
                f"in line {sql.count(chr(10), 0, place) + 1}.",
                "Delete it, or type the line anew.",
            )
    depth = 0
    for letter in sql:
        depth += (letter in "([{") - (letter in ")]}")
        if depth > BRACKETS_MAX:
            _too_deep()


def _too_deep() -> NoReturn:
    raise QueryRefused(
        "The query is nested too deeply.",
        "",
        "Take its inner parts out: WITH step AS (SELECT ...) SELECT ... FROM step.",
    ) from None


def _parsed(sql: str) -> exp.Expr:
    try:
        trees = [one for one in sqlglot.parse(sql, read=DIALECT) if one is not None]
    except RecursionError:
        _too_deep()
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
        if depth > DEPTH_MAX * 4:
            _too_deep()
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


# --- refusing --------------------------------------------------------------------------------


def _snippet(node: exp.Expr) -> str:
    """Return the words a node stands for, or as much of them as can be told."""
    try:
        words = " ".join(node.sql(dialect=DIALECT, comments=False).split())
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError):
        words = type(node).__name__.upper()
    return words if len(words) <= SNIPPET_CHARS else f"{words[: SNIPPET_CHARS - 3]}..."


def _where(node: exp.Expr) -> str:
    lines = [one.meta["line"] for one in node.walk() if "line" in one.meta]
    return f"{_snippet(node)} (line {lines[0]})." if lines else f"{_snippet(node)}."


def _refuse(what: str, node: exp.Expr, what_to_do: str = "") -> NoReturn:
    raise QueryRefused(what, _where(node), what_to_do)


def _refuse_node(node: exp.Expr) -> NoReturn:
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        _refuse_function(str(name).upper(), node)
    _refuse("This part of SQL is not available here:", node, "See the help for what there is.")


def _refuse_function(name: str, node: exp.Expr) -> NoReturn:
    like = difflib.get_close_matches(name, [one.name for one in FUNCTIONS], 1, 0.75)
    instead = f"Did you mean {like[0]}?" if like else "See the help for the functions there are."
    _refuse(f"The function {name[:40]} is not available here:", node, instead)


def _only(node: exp.Expr, *allowed: str) -> None:
    """Refuse a node that says more than the parts that are printed."""
    for name, value in node.args.items():
        if value not in (None, False, "", []) and name not in allowed:
            _refuse(
                "This part of SQL is not available here:",
                value if isinstance(value, exp.Expr) else node,
                "See the help for what there is.",
            )


# --- printing --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Scope:
    """One SELECT's own: its sources by name (the table, or None), and the names it gives."""

    sources: dict[str, str | None] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Printer:
    """Prints one query and remembers what it needs."""

    now: datetime
    today: str
    names: dict[str, str]
    tables: set[str] = field(default_factory=set)
    keys: dict[str, None] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=set)
    scopes: list[_Scope] = field(default_factory=list)
    ctes: list[set[str]] = field(default_factory=list)
    unnamed: int = 0

    # names

    def name(self, node: exp.Expr | str | None) -> str:
        """Return a name in quotes."""
        if not isinstance(node, exp.Identifier):
            if isinstance(node, exp.Expr):
                _refuse("A name was expected:", node)
            raise QueryRefused("A name was expected.", str(node)[:SNIPPET_CHARS])
        text = node.name
        if not 0 < len(text) <= NAME_CHARS_MAX or '"' in text or text.startswith(HIDDEN):
            _refuse("This cannot be a name:", node, "Use letters, digits and underscores.")
        if not node.args.get("quoted") and not _PLAIN_NAME.fullmatch(text):
            _refuse("This cannot be a name:", node, 'Put it in double quotes: "a name".')
        return f'"{text}"'

    def source_name(self, node: exp.Expr | str | None) -> str:
        """Return the name of a table or of a part of the query, without quotes."""
        quoted = self.name(node)
        plain = quoted[1:-1]
        assert isinstance(node, exp.Identifier)  # noqa: S101 - else it had no name
        return plain if node.args.get("quoted") else plain.lower()

    def column_name(self, node: exp.Expr | str | None) -> str:
        """Return the name of a column, in quotes; unquoted ones in any case of letters."""
        quoted = self.name(node)
        assert isinstance(node, exp.Identifier)  # noqa: S101 - else it had no name
        if node.args.get("quoted") or quoted[1:-1] in self.names.values():
            return quoted
        return f'"{self.names.get(quoted[1:-1].lower(), quoted[1:-1])}"'

    # queries

    def query(self, node: exp.Expr, *, outermost: bool = False) -> str:
        """Return a SELECT, or several put together."""
        if isinstance(node, exp.Subquery):
            _only(node, "this")
            return f"({self.query(node.this, outermost=outermost)})"
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outermost=outermost)
        if isinstance(node, exp.Select):
            return self._select(node, outermost=outermost)
        word = _snippet(node).split()[0].upper()
        raise QueryRefused(
            f"Only SELECT can be run here, not {word[:40]}:",
            _where(node),
            "Nothing can be changed from here. Write SELECT ... FROM events.",
        )

    def _with(self, node: exp.Expr) -> str:
        clause = node.args.get("with_")
        self.ctes.append(set())
        if clause is None:
            return ""
        _only(clause, "expressions")
        return f"WITH {', '.join(self._cte(one) for one in clause.expressions)} "

    def _cte(self, node: exp.Expr) -> str:
        _only(node, "this", "alias")
        alias = node.args["alias"]
        _only(alias, "this")
        name = self.source_name(alias.this)
        if name.lower() in SCHEMAS or any(name in names for names in self.ctes):
            _refuse("This name is taken already:", alias, "Call that part of the query otherwise.")
        printed = f'"{name}" AS ({self.query(node.this)})'
        self.ctes[-1].add(name)
        return printed

    def _set_operation(self, node: exp.SetOperation, *, outermost: bool) -> str:
        _only(node, "with_", "this", "expression", "distinct", "order", "limit", "offset")
        words = {exp.Union: "UNION", exp.Except: "EXCEPT", exp.Intersect: "INTERSECT"}
        word = words.get(type(node))
        if word is None:
            _refuse_node(node)
        first = self._with(node)
        every = "" if node.args.get("distinct") else " ALL"
        left = self.query(node.this, outermost=outermost)
        right = self.query(node.expression)
        self.scopes.append(_Scope())
        tail = self._tail(node)
        self.scopes.pop()
        self.ctes.pop()
        return f"{first}{left} {word}{every} {right}{tail}"

    def _select(self, node: exp.Select, *, outermost: bool) -> str:
        _only(
            node,
            *("with_", "expressions", "distinct", "from_", "joins", "where", "group", "having"),
            *("qualify", "order", "limit", "offset"),
        )
        first = self._with(node)
        self.scopes.append(_Scope())
        origin = self._from(node)
        scope = self.scopes[-1]
        scope.given |= {one.alias.lower() for one in node.expressions if isinstance(one, exp.Alias)}
        parts = [
            f"SELECT {self._distinct(node)}{self._items(node, outermost=outermost)}",
            origin,
            self._clause(node, "where", "WHERE"),
            self._group(node.args.get("group")),
            self._clause(node, "having", "HAVING"),
            self._clause(node, "qualify", "QUALIFY"),
        ]
        printed = first + " ".join(part for part in parts if part) + self._tail(node)
        self.scopes.pop()
        self.ctes.pop()
        return printed

    def _distinct(self, node: exp.Select) -> str:
        distinct = node.args.get("distinct")
        if distinct is None:
            return ""
        _only(distinct, "on")
        on = distinct.args.get("on")
        if on is None:
            return "DISTINCT "
        several = on.expressions if isinstance(on, exp.Tuple) else [on]
        return f"DISTINCT ON ({self.several(several)}) "

    def _items(self, node: exp.Select, *, outermost: bool) -> str:
        if not node.expressions:
            _refuse("The SELECT names no columns:", node, "Name some, or write *.")
        return ", ".join(self._item(one, outermost=outermost) for one in node.expressions)

    def _item(self, node: exp.Expr, *, outermost: bool) -> str:
        if isinstance(node, exp.Alias):
            _only(node, "this", "alias")
            return f"{self.expression(node.this)} AS {self.name(node.args['alias'])}"
        if isinstance(node, exp.Star) or (
            isinstance(node, exp.Column) and isinstance(node.this, exp.Star)
        ):
            return self._star(node)
        printed = self.expression(node)
        hidden = re.fullmatch(rf'(?:"[^"]*"\.)?"({KEY_COLUMN}|{BUCKET_COLUMN})(.*)"', printed)
        if hidden:
            return f'{printed} AS "{hidden[2]}"'
        if isinstance(node, exp.Column) or not outermost:
            return printed
        name = _snippet(node).replace('"', "").removeprefix(HIDDEN)
        return f'{printed} AS "{name}"'

    def _star(self, node: exp.Expr) -> str:
        star = node if isinstance(node, exp.Star) else node.this
        before = ""
        if isinstance(node, exp.Column):
            _only(node, "this", "table")
            before = f'"{self._known_source(node.args["table"])}".'
        _only(star, "except_")
        left_out = star.args.get("except_") or []
        names = ", ".join(
            self.column_name(one.this if isinstance(one, exp.Column) else one) for one in left_out
        )
        return f"{before}* EXCLUDE ({names})" if names else f"{before}*"

    def _from(self, node: exp.Select) -> str:
        origin = node.args.get("from_")
        if origin is None:
            return ""
        _only(origin, "this")
        first = self._source(origin.this)
        return " ".join(
            [f"FROM {first}", *(self._join(one) for one in node.args.get("joins") or [])]
        )

    def _source(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Table):
            return self._table(node)
        if isinstance(node, exp.Subquery):
            _only(node, "this", "alias")
            inner = self.query(node.this)
            return f'({inner}) AS "{self._alias(node, None)}"'
        if isinstance(node, exp.Values):
            return self._values(node)
        if isinstance(node, exp.Func):
            _refuse("Only tables can be read, not functions:", node, TABLES_WORDS)
        _refuse("This cannot be read from:", node, TABLES_WORDS)

    def _table(self, node: exp.Table) -> str:
        if not isinstance(node.this, exp.Identifier):
            _refuse("Only tables can be read, not files or functions:", node, TABLES_WORDS)
        _only(node, "this", "alias")
        name = self.source_name(node.this)
        if any(name in names for names in self.ctes):
            return f'"{name}" AS "{self._alias(node, None, name)}"'
        if name.lower() not in SCHEMAS:
            _refuse("There is no such table:", node, TABLES_WORDS)
        self.tables.add(name.lower())
        return f'"{name.lower()}" AS "{self._alias(node, name.lower(), name.lower())}"'

    def _alias(self, node: exp.Expr, table: str | None, name: str = "") -> str:
        """Return what a source is called in this SELECT, and remember it."""
        alias = node.args.get("alias")
        if alias is not None:
            _only(alias, "this")
            name = self.source_name(alias.this)
        elif not name:
            self.unnamed += 1
            name = f"part_{self.unnamed}"
        if name in self.scopes[-1].sources:
            _refuse("Two tables have the same name here:", node, "Call one otherwise: events AS e.")
        self.scopes[-1].sources[name] = table
        return name

    def _values(self, node: exp.Values) -> str:
        _only(node, "expressions", "alias")
        alias = node.args.get("alias")
        if alias is None:
            _refuse("VALUES needs a name:", node, "Write (VALUES (1, 2)) AS v(a, b).")
        _only(alias, "this", "columns")
        rows = []
        for one in node.expressions:
            if not isinstance(one, exp.Tuple):
                _refuse_node(one)
            rows.append(f"({self.several(one.expressions)})")
        columns = ", ".join(self.name(one) for one in alias.args.get("columns") or [])
        name = self.source_name(alias.this)
        self.scopes[-1].sources[name] = None
        return f'(VALUES {", ".join(rows)}) AS "{name}"' + (f" ({columns})" if columns else "")

    def _join(self, node: exp.Expr) -> str:
        _only(node, "this", "side", "kind", "on", "using")
        side, kind = (str(node.args.get(part) or "").upper() for part in ("side", "kind"))
        on, using = node.args.get("on"), node.args.get("using")
        if side not in ("", "LEFT", "RIGHT", "FULL") or kind not in _JOINS:
            _refuse("This kind of join is not available here:", node, "Use JOIN or LEFT JOIN.")
        if on is None and not using:
            side, kind = "", "CROSS"
        words = f"{side} {kind}".strip()
        printed = f"{words} JOIN {self._source(node.this)}".strip()
        if using:
            return f"{printed} USING ({', '.join(self.column_name(one) for one in using)})"
        return printed if on is None else f"{printed} ON {self.expression(on)}"

    def _clause(self, node: exp.Expr, part: str, word: str) -> str:
        clause = node.args.get(part)
        if clause is None:
            return ""
        _only(clause, "this")
        return f"{word} {self.expression(clause.this)}"

    def _group(self, node: exp.Expr | None) -> str:
        if node is None:
            return ""
        _only(node, "expressions", "all", "rollup")
        if node.args.get("all"):
            return "GROUP BY ALL"
        parts = [self.expression(one) for one in node.expressions]
        for one in node.args.get("rollup") or []:
            _only(one, "expressions")
            parts.append(f"ROLLUP ({self.several(one.expressions)})")
        return f"GROUP BY {', '.join(parts)}"

    def _tail(self, node: exp.Expr) -> str:
        """Return ORDER BY, LIMIT and OFFSET."""
        parts = []
        order = node.args.get("order")
        if order is not None:
            parts.append(self._order(order))
        for part, word in (("limit", "LIMIT"), ("offset", "OFFSET")):
            clause = node.args.get(part)
            if clause is None:
                continue
            if not isinstance(clause, exp.Limit | exp.Offset):
                _refuse("This part of SQL is not available here:", clause, "Write LIMIT 10.")
            _only(clause, "expression")
            number = clause.expression
            if not isinstance(number, exp.Literal) or not number.name.isdigit():
                _refuse(f"{word} takes a whole number:", clause, f"Write {word} 10.")
            parts.append(f"{word} {self.expression(number)}")
        return "".join(f" {part}" for part in parts)

    def _order(self, node: exp.Expr) -> str:
        _only(node, "expressions")
        return f"ORDER BY {', '.join(self._ordered(one) for one in node.expressions)}"

    def _ordered(self, node: exp.Expr) -> str:
        _only(node, "this", "desc", "nulls_first")
        way = "DESC" if node.args.get("desc") else "ASC"
        nulls = "FIRST" if node.args.get("nulls_first") else "LAST"
        return f"{self.expression(node.this)} {way} NULLS {nulls}"

    # expressions

    def expression(self, node: exp.Expr) -> str:
        """Return an expression, in brackets where it is an operation."""
        printer = _PRINTERS.get(type(node))
        if printer is None:
            _refuse_node(node)
        return printer(self, node)

    def several(self, nodes: Iterable[exp.Expr]) -> str:
        """Return expressions with commas between them."""
        return ", ".join(self.expression(one) for one in nodes)

    def _known_source(self, node: exp.Expr) -> str:
        name = self.source_name(node)
        if not any(name in scope.sources for scope in self.scopes):
            _refuse("There is no table of this name in the query:", node, TABLES_WORDS)
        return name

    def column(self, node: exp.Expr) -> str:
        """Return a column, a metadata key or a part of time."""
        _only(node, "this", "table", "db")
        table, database = node.args.get("table"), node.args.get("db")
        if database is not None:
            if table is None or table.name.lower() != METADATA_COLUMN:
                _refuse("A column has one table before it at most:", node, "Write e.column.")
            return self.key(node.this.name, node, f'"{self._known_source(database)}".')
        if table is None:
            return self._bucket(node) or self.column_name(node.this)
        name = self.source_name(table)
        if name == METADATA_COLUMN and not any(name in scope.sources for scope in self.scopes):
            return self.key(node.this.name, node)
        source = self._known_source(table)
        of_table = [one.sources[source] for one in reversed(self.scopes) if source in one.sources]
        bucket = self._bucket(node) if of_table[0] is not None else ""
        return f'"{source}".{bucket or self.column_name(node.this)}'

    def _bucket(self, node: exp.Expr) -> str:
        """Return the column of a part of time, if the name means one in this SELECT."""
        self.name(node.this)
        name = node.this.name.lower()
        scope = self.scopes[-1]
        reads = any(table is not None for table in scope.sources.values())
        if name not in BUCKETS or not reads or name in scope.given:
            return ""
        self.buckets.add(name)
        return f'"{BUCKET_COLUMN}{name}"'

    def key(self, key: str, node: exp.Expr, before: str = "") -> str:
        """Return the column of a metadata key."""
        if not is_key(key) or not key.isprintable():
            _refuse("This cannot be a metadata key:", node, "Write metadata ->> 'ide'.")
        self.keys[key] = None
        if len(self.keys) > KEYS_MAX:
            _refuse(f"More than {KEYS_MAX} metadata keys are used:", node, "Use fewer.")
        return f'{before}"{KEY_COLUMN}{key}"'


_JOINS: Final = ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI")


def _call(name: str, *parts: str, ignore: tuple[str, ...] = ()) -> Callable[..., str]:
    """Return how to print a function: its name, and the parts that are its arguments, in order."""

    def call(printer: _Printer, node: exp.Expr) -> str:
        _only(node, *parts, *ignore)
        return f"{name}({printer.several(_given(node, parts))})"

    return call


def _given(node: exp.Expr, parts: tuple[str, ...]) -> Iterator[exp.Expr]:
    for part in parts:
        value = node.args.get(part)
        if isinstance(value, list):
            yield from value
        elif value is not None and not isinstance(value, bool):
            yield value


def _between(word: str, *, chain: bool = False) -> Callable[..., str]:
    """Return how to print an operation of two sides; a chain of the same one needs no brackets."""

    def operation(printer: _Printer, node: exp.Expr) -> str:
        sides = []
        while True:
            _only(node, "this", "expression", "typed", "safe")
            sides.append(node.expression)
            if not (chain and type(node.this) is type(node)):
                sides.append(node.this)
                break
            node = node.this
        return f"({f' {word} '.join(printer.expression(one) for one in reversed(sides))})"

    return operation


def _literal(printer: _Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    _only(node, "this", "is_string")
    text = str(node.this)
    if node.args.get("is_string"):
        return "'" + text.replace("'", "''") + "'"
    if not _NUMBER.fullmatch(text) or len(text) > DIGITS_MAX:
        _refuse("This is no number:", node)
    # with an exponent it is a float; without, the engine reads it as an exact decimal
    return text if text.isdigit() or "e" in text.lower() else f"{text}e0"


def _text_of(node: exp.Expr | None) -> str | None:
    """Return the text of a literal."""
    return str(node.this) if isinstance(node, exp.Literal) and node.is_string else None


def _not(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    inner = node.this
    if isinstance(inner, exp.Paren) and isinstance(inner.this, exp.In | exp.Exists):
        inner = inner.this
    if isinstance(inner, exp.In):
        return _in(printer, inner, "NOT IN")
    if isinstance(inner, exp.Exists):
        return f"(NOT {_exists(printer, inner)})"
    return f"(NOT {printer.expression(inner)})"


def _in(printer: _Printer, node: exp.Expr, word: str = "IN") -> str:
    _only(node, "this", "expressions", "query")
    query = node.args.get("query")
    if query is not None:
        inner = query.this if isinstance(query, exp.Subquery) else query
        if isinstance(query, exp.Subquery):
            _only(query, "this")
        return f"({printer.expression(node.this)} {word} ({printer.query(inner)}))"
    return f"({printer.expression(node.this)} {word} ({printer.several(node.expressions)}))"


def _exists(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    return f"EXISTS ({printer.query(node.this)})"


def _subquery(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    return f"({printer.query(node.this)})"


def _is(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    if not isinstance(node.expression, exp.Null | exp.Boolean):
        _refuse_node(node)
    return f"({printer.expression(node.this)} IS {printer.expression(node.expression)})"


def _like(word: str) -> Callable[..., str]:
    def like(printer: _Printer, node: exp.Expr) -> str:
        _only(node, "this", "expression", "negate")
        negated = "NOT " if node.args.get("negate") else ""
        sides = printer.expression(node.this), printer.expression(node.expression)
        return f"({sides[0]} {negated}{word} {sides[1]})"

    return like


def _span(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "low", "high")
    this, low, high = (printer.expression(node.args[part]) for part in ("this", "low", "high"))
    return f"({this} BETWEEN {low} AND {high})"


def _case(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "ifs", "default")
    of = node.args.get("this")
    parts = ["CASE" if of is None else f"CASE {printer.expression(of)}"]
    for one in node.args["ifs"]:
        _only(one, "this", "true")
        then = printer.expression(one.args["true"])
        parts.append(f"WHEN {printer.expression(one.this)} THEN {then}")
    default = node.args.get("default")
    if default is not None:
        parts.append(f"ELSE {printer.expression(default)}")
    return f"({' '.join(parts)} END)"


def _if(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "true", "false")
    this, yes = printer.expression(node.this), printer.expression(node.args["true"])
    no = node.args.get("false")
    otherwise = "" if no is None else f" ELSE {printer.expression(no)}"
    return f"(CASE WHEN {this} THEN {yes}{otherwise} END)"


_TYPES: Final = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT", "INT128"), "BIGINT"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINT", "UBIGINT"), "BIGINT"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "DOUBLE"),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NVARCHAR", "NCHAR"), "VARCHAR"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_MS", "DATETIME"), "TIMESTAMPTZ"),
    **{name: name for name in ("BOOLEAN", "DATE", "TIME")},
}


def _cast(word: str) -> Callable[..., str]:
    def cast(printer: _Printer, node: exp.Expr) -> str:
        _only(node, "this", "to", "safe")
        to = node.args["to"]
        kind = _TYPES.get(to.this.name if isinstance(to.this, exp.DataType.Type) else "")
        if not isinstance(to, exp.DataType) or kind is None or to.args.get("nested"):
            _refuse(
                "This type is not available here:",
                node,
                "Use BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP.",
            )
        return f"{word}({printer.expression(node.this)} AS {kind})"

    return cast


def _unit(node: exp.Expr | None, allowed: tuple[str, ...], of: exp.Expr) -> str:
    name = str(node.this if node is not None else "").lower()
    name = name.removesuffix("s") if name.removesuffix("s") in allowed else name
    if name not in allowed:
        _refuse("This part of time is not known:", of, f"Use one of {', '.join(allowed)}.")
    return name


def _truncated(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "unit", "input_type_preserved")
    unit = _unit(node.args.get("unit"), _UNITS, node)
    return f"DATE_TRUNC('{unit}', {printer.expression(node.this)})"


def _extract(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    unit = _unit(node.this, _PARTS, node)
    return f"EXTRACT({unit} FROM {printer.expression(node.expression)})"


def _part(unit: str) -> Callable[..., str]:
    def part(printer: _Printer, node: exp.Expr) -> str:
        _only(node, "this")
        return f"EXTRACT({unit} FROM {printer.expression(node.this)})"

    return part


def _interval(printer: _Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    _only(node, "this", "unit")
    amount, unit = node.this, node.args.get("unit")
    text = str(amount.this) if isinstance(amount, exp.Literal) else ""
    if unit is not None:
        text = f"{text} {unit.name}"
    text = " ".join(text.lower().split())
    if not _INTERVAL.fullmatch(text):
        _refuse("This length of time cannot be read:", node, "Write INTERVAL '7 days'.")
    return f"INTERVAL '{text}'"


def _date(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    return f"CAST({printer.expression(node.this)} AS DATE)"


def _today(printer: _Printer, node: exp.Expr) -> str:
    _only(node)
    return f"CAST('{printer.today}' AS DATE)"


def _now(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "expressions")
    if isinstance(node, exp.Anonymous) and node.expressions:
        _refuse("NOW takes nothing in its brackets:", node)
    moment = printer.now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"CAST('{moment}' AS TIMESTAMPTZ)"


def _at_zone(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "zone")
    zone = _text_of(node.args.get("zone"))
    if zone is None or known_timezone(zone) != zone:
        _refuse("This timezone is not known:", node, "Write AT TIME ZONE 'Europe/Berlin'.")
    return f"({printer.expression(node.this)} AT TIME ZONE '{zone}')"


def _count(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "big_int")
    if isinstance(node.this, exp.Star):
        _only(node.this)
        return "COUNT(*)"
    if node.this is None:
        return "COUNT(*)"
    return f"COUNT({_maybe_distinct(printer, node.this)})"


def _maybe_distinct(printer: _Printer, node: exp.Expr) -> str:
    if not isinstance(node, exp.Distinct):
        return printer.expression(node)
    _only(node, "expressions")
    if len(node.expressions) != 1:
        _refuse("DISTINCT takes one column:", node, "Join several with ||.")
    return f"DISTINCT {printer.expression(node.expressions[0])}"


def _sum(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    return f"SUM({_maybe_distinct(printer, node.this)})"


def _count_if(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "big_int")
    return f"COUNT(*) FILTER (WHERE {printer.expression(node.this)})"


def _every(word: str) -> Callable[..., str]:
    def every(printer: _Printer, node: exp.Expr) -> str:
        _only(node, "this")
        of = printer.expression(node.this)
        return f"({word}(CASE WHEN {of} THEN 1 WHEN (NOT {of}) THEN 0 END) = 1)"

    return every


def _ignoring_nulls(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    if not isinstance(node.this, exp.AnyValue):
        _refuse_node(node)
    return printer.expression(node.this)


def _quantile(word: str, share: str) -> Callable[..., str]:
    def quantile(printer: _Printer, node: exp.Expr) -> str:
        _only(node, "this", share)
        return _quantile_of(printer, word, node.this, node.args.get(share), node)

    return quantile


def _quantile_of(
    printer: _Printer,
    word: str,
    of: exp.Expr,
    share: exp.Expr | None,
    node: exp.Expr,
) -> str:
    if not isinstance(share, exp.Literal) or not 0 <= _number(share) <= 1:
        _refuse("The share has to be a number from 0 to 1:", node, f"Write {word}(column, 0.95).")
    return f"{word}({printer.expression(of)}, {printer.expression(share)})"


def _number(node: exp.Literal) -> float:
    try:
        return float(node.this)
    except ValueError:
        return -1.0


def _within_group(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    words = {exp.PercentileCont: "QUANTILE_CONT", exp.PercentileDisc: "QUANTILE_DISC"}
    word, order = words.get(type(node.this)), node.expression
    if word is None or not isinstance(order, exp.Order) or len(order.expressions) != 1:
        _refuse_node(node)
    _only(node.this, "this")
    _only(order, "expressions")
    [ordered] = order.expressions
    _only(ordered, "this", "nulls_first")
    return _quantile_of(printer, word, ordered.this, node.this.this, node)


def _joined_texts(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "separator")
    separator = node.args.get("separator")
    between = "','" if separator is None else printer.expression(separator)
    return f"STRING_AGG({printer.expression(node.this)}, {between})"


def _filtered(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    if type(node.this) not in _AGGREGATES:
        _refuse("FILTER belongs after a count, a sum or the like:", node)
    _only(node.expression, "this")
    inner, condition = printer.expression(node.this), printer.expression(node.expression.this)
    return f"{inner} FILTER (WHERE {condition})"


def _window(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "partition_by", "order", "spec", "over")
    if node.args.get("over") != "OVER" or type(node.this) not in _OVER:
        _refuse("This cannot be told over other rows:", node, "See the help for what can.")
    parts = []
    if node.args.get("partition_by"):
        parts.append(f"PARTITION BY {printer.several(node.args['partition_by'])}")
    if node.args.get("order") is not None:
        parts.append(printer._order(node.args["order"]))  # noqa: SLF001 - a part of the printer
    if node.args.get("spec") is not None:
        parts.append(_frame(node.args["spec"]))
    return f"{printer.expression(node.this)} OVER ({' '.join(parts)})"


def _frame(node: exp.Expr) -> str:
    _only(node, "kind", "start", "start_side", "end", "end_side")
    if node.args.get("kind") != "ROWS":
        _refuse("Only ROWS can be counted in a window:", node, "Write ROWS BETWEEN ...")
    edges = []
    for edge, default in (("start", "UNBOUNDED PRECEDING"), ("end", "CURRENT ROW")):
        value, side = node.args.get(edge), str(node.args.get(f"{edge}_side") or "")
        if value is None:
            edges.append(default)
            continue
        text = value.name if isinstance(value, exp.Literal) else str(value)
        if text not in ("UNBOUNDED", "CURRENT ROW") and not text.isdigit():
            _refuse("The edge of a window is a whole number of rows:", node)
        if side not in ("", "PRECEDING", "FOLLOWING"):
            _refuse_node(node)
        edges.append(f"{text} {side}".strip())
    return f"ROWS BETWEEN {edges[0]} AND {edges[1]}"


def _json_key(printer: _Printer, node: exp.Expr) -> str:
    """Print `metadata ->> 'ide'`: the one JSON there is."""
    _only(node, "this", "expression", "only_json_types", "scalar_only")
    column, path = node.this, node.expression
    if not isinstance(column, exp.Column) or column.name.lower() != METADATA_COLUMN:
        _refuse("Only metadata has keys:", node, "Write metadata ->> 'ide'.")
    parts = path.expressions if isinstance(path, exp.JSONPath) else []
    if len(parts) != 2 or not isinstance(parts[1], exp.JSONPathKey):  # noqa: PLR2004 - $ and a key
        _refuse("One key of the metadata can be read:", node, "Write metadata ->> 'ide'.")
    _only(column, "this", "table")
    table = column.args.get("table")
    before = "" if table is None else f'"{printer._known_source(table)}".'  # noqa: SLF001 - the same
    return printer.key(str(parts[1].this), node, before)


def _anonymous(printer: _Printer, node: exp.Expr) -> str:
    """Print a function sqlglot has no kind of node for."""
    name = str(node.this).upper()
    if name == "NOW":
        return _now(printer, node)
    if name == "DATE_PART" and len(node.expressions) == 2:  # noqa: PLR2004 - a part and a time
        unit = _unit(node.expressions[0], _PARTS, node)
        return f"EXTRACT({unit} FROM {printer.expression(node.expressions[1])})"
    if name not in _ANONYMOUS:
        _refuse_function(name, node)
    _only(node, "this", "expressions")
    return f"{_ANONYMOUS[name]}({printer.several(node.expressions)})"


def _log(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    if node.args.get("expression") is None:
        return f"LOG10({printer.expression(node.this)})"
    base = node.this.name if isinstance(node.this, exp.Literal) else ""
    of = printer.expression(node.expression)
    if base in ("2", "10"):
        return f"LOG{base}({of})"
    return f"(LN({of}) / LN({printer.expression(node.this)}))"


def _trim(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "position", "expression")
    words = {"": "TRIM", "BOTH": "TRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}
    word = words[str(node.args.get("position") or "").upper()]
    what = node.args.get("expression")
    more = "" if what is None else f", {printer.expression(what)}"
    return f"{word}({printer.expression(node.this)}{more})"


def _regexp(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this", "expression", "flag")
    pattern = _text_of(node.expression)
    if pattern is None:
        _refuse("A pattern has to be written out:", node, "Write REGEXP_LIKE(column, '^a').")
    flags = _text_of(node.args.get("flag")) or ("i" if isinstance(node, exp.RegexpILike) else "")
    if not set(flags) <= set("ims"):
        _refuse("These flags are not known:", node, "Use 'i' for any case of letters.")
    more = f", '{flags}'" if flags else ""
    return (
        f"REGEXP_LIKE({printer.expression(node.this)}, {printer.expression(node.expression)}{more})"
    )


def _paren(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    return printer.expression(node.this)


def _negative(printer: _Printer, node: exp.Expr) -> str:
    _only(node, "this")
    return f"(- {printer.expression(node.this)})"


def _boolean(printer: _Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    return "TRUE" if node.this else "FALSE"


def _null(printer: _Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    return "NULL"


_ANONYMOUS: Final = {"LOG1P": "LOG1P", "MEAN": "AVG"}
_AGGREGATE_PRINTERS: Final[dict[type[exp.Expr], Callable[..., str]]] = {
    exp.Count: _count,
    exp.Sum: _sum,
    exp.Avg: _call("AVG", "this"),
    exp.Min: _call("MIN", "this"),
    exp.Max: _call("MAX", "this"),
    exp.Median: _call("MEDIAN", "this"),
    exp.Stddev: _call("STDDEV", "this"),
    exp.StddevSamp: _call("STDDEV", "this"),
    exp.Variance: _call("VARIANCE", "this"),
    exp.First: _call("FIRST", "this"),
    exp.Last: _call("LAST", "this"),
    exp.AnyValue: _call("FIRST", "this"),
    exp.PercentileCont: _quantile("QUANTILE_CONT", "expression"),
    exp.PercentileDisc: _quantile("QUANTILE_DISC", "expression"),
    exp.Quantile: _quantile("QUANTILE_CONT", "quantile"),
}
_AGGREGATES: Final = frozenset(_AGGREGATE_PRINTERS)
_OVER_PRINTERS: Final[dict[type[exp.Expr], Callable[..., str]]] = {
    exp.RowNumber: _call("ROW_NUMBER"),
    exp.Rank: _call("RANK"),
    exp.DenseRank: _call("DENSE_RANK"),
    exp.PercentRank: _call("PERCENT_RANK"),
    exp.CumeDist: _call("CUME_DIST"),
    exp.Ntile: _call("NTILE", "this"),
    exp.Lag: _call("LAG", "this", "offset", "default"),
    exp.Lead: _call("LEAD", "this", "offset", "default"),
    exp.FirstValue: _call("FIRST_VALUE", "this"),
    exp.LastValue: _call("LAST_VALUE", "this"),
    exp.NthValue: _call("NTH_VALUE", "this", "offset"),
}
_OVER: Final = frozenset(_OVER_PRINTERS) | _AGGREGATES
_PRINTERS: Final[dict[type[exp.Expr], Callable[..., str]]] = {
    **_AGGREGATE_PRINTERS,
    **_OVER_PRINTERS,
    exp.Column: _Printer.column,
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Paren: _paren,
    exp.Neg: _negative,
    exp.Not: _not,
    exp.And: _between("AND", chain=True),
    exp.Or: _between("OR", chain=True),
    exp.Add: _between("+", chain=True),
    exp.Sub: _between("-", chain=True),
    exp.Mul: _between("*", chain=True),
    exp.Div: _between("/"),
    exp.IntDiv: _between("//"),
    exp.Mod: _between("%"),
    exp.DPipe: _between("||", chain=True),
    exp.EQ: _between("="),
    exp.NEQ: _between("<>"),
    exp.GT: _between(">"),
    exp.GTE: _between(">="),
    exp.LT: _between("<"),
    exp.LTE: _between("<="),
    exp.NullSafeEQ: _between("IS NOT DISTINCT FROM"),
    exp.NullSafeNEQ: _between("IS DISTINCT FROM"),
    exp.Is: _is,
    exp.In: _in,
    exp.Exists: _exists,
    exp.Subquery: _subquery,
    exp.Like: _like("LIKE"),
    exp.ILike: _like("ILIKE"),
    exp.Between: _span,
    exp.Case: _case,
    exp.If: _if,
    exp.Cast: _cast("CAST"),
    exp.TryCast: _cast("TRY_CAST"),
    exp.Coalesce: _call("COALESCE", "this", "expressions"),
    exp.Nullif: _call("NULLIF", "this", "expression"),
    exp.Greatest: _call("GREATEST", "this", "expressions", ignore=("ignore_nulls",)),
    exp.Least: _call("LEAST", "this", "expressions", ignore=("ignore_nulls",)),
    exp.CountIf: _count_if,
    exp.LogicalAnd: _every("MIN"),
    exp.LogicalOr: _every("MAX"),
    exp.IgnoreNulls: _ignoring_nulls,
    exp.WithinGroup: _within_group,
    exp.GroupConcat: _joined_texts,
    exp.Corr: _call("CORR", "this", "expression"),
    exp.Filter: _filtered,
    exp.Window: _window,
    exp.JSONExtract: _json_key,
    exp.JSONExtractScalar: _json_key,
    exp.Anonymous: _anonymous,
    exp.TimestampTrunc: _truncated,
    exp.DateTrunc: _truncated,
    exp.Extract: _extract,
    exp.Year: _part("year"),
    exp.Quarter: _part("quarter"),
    exp.Month: _part("month"),
    exp.Week: _part("week"),
    exp.Day: _part("day"),
    exp.Hour: _part("hour"),
    exp.Minute: _part("minute"),
    exp.Second: _part("second"),
    exp.DayOfWeek: _part("dow"),
    exp.DayOfYear: _part("doy"),
    exp.Interval: _interval,
    exp.Date: _date,
    exp.CurrentDate: _today,
    exp.CurrentTimestamp: _now,
    exp.AtTimeZone: _at_zone,
    exp.TimeToStr: _call("STRFTIME", "this", "format"),
    exp.StrToTime: _call("STRPTIME", "this", "format"),
    exp.Lower: _call("LOWER", "this"),
    exp.Upper: _call("UPPER", "this"),
    exp.Length: _call("LENGTH", "this"),
    exp.Left: _call("LEFT", "this", "expression"),
    exp.Right: _call("RIGHT", "this", "expression"),
    exp.Substring: _call("SUBSTR", "this", "start", "length"),
    exp.Trim: _trim,
    exp.Replace: _call("REPLACE", "this", "expression", "replacement"),
    exp.Reverse: _call("REVERSE", "this"),
    exp.Initcap: _call("INITCAP", "this", ignore=("expression",)),
    exp.Concat: _call("CONCAT", "expressions", ignore=("safe", "coalesce")),
    exp.ConcatWs: _call("CONCAT_WS", "expressions", ignore=("safe", "coalesce")),
    exp.StartsWith: _call("STARTS_WITH", "this", "expression"),
    exp.EndsWith: _call("ENDS_WITH", "this", "expression"),
    exp.StrPosition: _call("STRPOS", "this", "substr"),
    exp.SplitPart: _call("SPLIT_PART", "this", "delimiter", "part_index"),
    exp.RegexpLike: _regexp,
    exp.RegexpILike: _regexp,
    exp.Round: _call("ROUND", "this", "decimals"),
    exp.Abs: _call("ABS", "this"),
    exp.Ceil: _call("CEIL", "this"),
    exp.Floor: _call("FLOOR", "this"),
    exp.Trunc: _call("TRUNC", "this"),
    exp.Sign: _call("SIGN", "this"),
    exp.Sqrt: _call("SQRT", "this"),
    exp.Cbrt: _call("CBRT", "this"),
    exp.Exp: _call("EXP", "this"),
    exp.Ln: _call("LN", "this"),
    exp.Log: _log,
    exp.Pow: _call("POW", "this", "expression"),
    exp.Pi: _call("PI"),
}
