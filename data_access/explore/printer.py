"""Prints a checked query: its SELECTs, where they read from, and what they call things.

Names are quoted; a metadata key and a part of time become columns that `frames` adds. What a
SELECT computes is printed by `phrases`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from data_access.explore import kinds
from data_access.explore.nodes import SNIPPET_CHARS, only, refuse, refuse_node, snippet, where_of
from data_access.explore.phrases import PRINTERS
from data_access.explore.question import BUCKET_COLUMN, BUCKETS, HIDDEN, KEY_COLUMN, is_name
from data_access.explore.refused import QueryRefused
from data_access.metadata import METADATA_COLUMN, is_key
from data_access.schema import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

PRINTED_CHARS_MAX: Final = 500_000  # of one expression: some print a part of theirs twice
KEYS_MAX: Final = 30
TABLES_WORDS: Final = f"The tables are {', '.join(SCHEMAS)}."
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JOINS: Final = ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI")


@dataclass(slots=True)
class _Scope:
    """One SELECT's own: its sources by name (the table, or None), the names it gives, windows.

    `kinds` has those of the sources' columns, and under "" those of the columns it gives.
    """

    sources: dict[str, str | None] = field(default_factory=dict)
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    windows: dict[str, exp.Expr] = field(default_factory=dict)


@dataclass(slots=True)
class Printer:
    """Prints one query and remembers what it needs."""

    now: datetime
    today: str
    names: dict[str, str]
    tables: set[str] = field(default_factory=set)
    keys: dict[str, None] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=set)
    scopes: list[_Scope] = field(default_factory=list)
    ctes: list[dict[str, dict[str, str]]] = field(default_factory=list)
    kinds: dict[int, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)  # the columns of the query printed last
    own_names: set[str] = field(default_factory=set)
    unnamed: int = 0

    # names

    def name(self, node: exp.Expr | str | None) -> str:
        """Return a name in quotes."""
        if not isinstance(node, exp.Identifier):
            if isinstance(node, exp.Expr):
                refuse("A name was expected:", node)
            raise QueryRefused("A name was expected.", str(node)[:SNIPPET_CHARS])
        text = node.name
        if not is_name(text):
            refuse("This cannot be a name:", node, "Use letters, digits and underscores.")
        if not node.args.get("quoted") and not _PLAIN_NAME.fullmatch(text):
            refuse("This cannot be a name:", node, 'Put it in double quotes: "a name".')
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
            only(node, "this")
            return f"({self.query(node.this, outermost=outermost)})"
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outermost=outermost)
        if isinstance(node, exp.Select):
            return self._select(node, outermost=outermost)
        word = snippet(node).split()[0].upper()
        raise QueryRefused(
            f"Only SELECT can be run here, not {word[:40]}:",
            where_of(node),
            "Nothing can be changed from here. Write SELECT ... FROM events.",
        )

    def _with(self, node: exp.Expr) -> str:
        clause = node.args.get("with_")
        self.ctes.append({})
        if clause is None:
            return ""
        only(clause, "expressions")
        return f"WITH {', '.join(self._cte(one) for one in clause.expressions)} "

    def _cte(self, node: exp.Expr) -> str:
        only(node, "this", "alias")
        alias = node.args["alias"]
        only(alias, "this")
        name = self.source_name(alias.this)
        taken = (one.lower() for names in self.ctes for one in names)  # the engine's small letters
        if name.lower() in SCHEMAS or name.lower() in taken:
            refuse("This name is taken already:", alias, "Call that part of the query otherwise.")
        printed = f'"{name}" AS ({self.query(node.this)})'
        self.ctes[-1][name] = self.made
        return printed

    def _set_operation(self, node: exp.SetOperation, *, outermost: bool) -> str:
        only(node, "with_", "this", "expression", "distinct", "order", "limit", "offset")
        words = {exp.Union: "UNION", exp.Except: "EXCEPT", exp.Intersect: "INTERSECT"}
        word = words.get(type(node))
        if word is None:
            refuse_node(node)
        first = self._with(node)
        every = "" if node.args.get("distinct") else " ALL"
        left = self.query(node.this, outermost=outermost)
        made = self.made
        right = self.query(node.expression)
        self.scopes.append(_Scope())
        tail = self._tail(node)
        self.made = made
        self.scopes.pop()
        self.ctes.pop()
        return f"{first}{left} {word}{every} {right}{tail}"

    def _select(self, node: exp.Select, *, outermost: bool) -> str:
        only(
            node,
            *("with_", "expressions", "distinct", "from_", "joins", "where", "group", "having"),
            *("qualify", "windows", "order", "limit", "offset"),
        )
        first = self._with(node)
        self.scopes.append(_Scope())
        origin = self._from(node)
        scope = self.scopes[-1]
        scope.windows = {one.name.lower(): one for one in node.args.get("windows") or []}
        scope.given |= {one.alias.lower() for one in node.expressions if isinstance(one, exp.Alias)}
        items = f"SELECT {self._distinct(node)}{self._items(node, outermost=outermost)}"
        made = self._made(node)
        scope.kinds.setdefault("", made)
        parts = [
            items,
            origin,
            self._clause(node, "where", "WHERE"),
            self._group(node.args.get("group")),
            self._clause(node, "having", "HAVING"),
            self._clause(node, "qualify", "QUALIFY"),
        ]
        printed = first + " ".join(part for part in parts if part) + self._tail(node)
        self.made = made
        self.scopes.pop()
        self.ctes.pop()
        return printed

    def _made(self, node: exp.Select) -> dict[str, str]:
        """Return the kinds of the columns a SELECT gives, by their small letters."""
        made: dict[str, str] = {}
        for number, one in enumerate(node.expressions):
            if one.is_star:
                before = one.args.get("table")
                several = self.scopes[-1].kinds
                for name in [*several] if before is None else [self.source_name(before)]:
                    made |= several.get(name, {})
            else:
                made[one.alias_or_name.lower() or f"({number})"] = self.kind(one)
        return made

    def _distinct(self, node: exp.Select) -> str:
        distinct = node.args.get("distinct")
        if distinct is None:
            return ""
        only(distinct, "on")
        on = distinct.args.get("on")
        if on is None:
            return "DISTINCT "
        several = on.expressions if isinstance(on, exp.Tuple) else [on]
        return f"DISTINCT ON ({self.several(several)}) "

    def _items(self, node: exp.Select, *, outermost: bool) -> str:
        if not node.expressions:
            refuse("The SELECT names no columns:", node, "Name some, or write *.")
        return ", ".join(self._item(one, outermost=outermost) for one in node.expressions)

    def _item(self, node: exp.Expr, *, outermost: bool) -> str:
        if isinstance(node, exp.Alias):
            only(node, "this", "alias")
            printed = self.expression(node.this)
            self.kinds[id(node)] = self.kind(node.this)
            return f"{printed} AS {self.name(node.args['alias'])}"
        if isinstance(node, exp.Star) or (
            isinstance(node, exp.Column) and isinstance(node.this, exp.Star)
        ):
            return self._star(node)
        printed = self.expression(node)
        hidden = re.fullmatch(rf'(?:"[^"]*"\.)?"({KEY_COLUMN}|{BUCKET_COLUMN})(.*)"', printed)
        if hidden:
            name = hidden[2] if is_name(hidden[2]) else f"{METADATA_COLUMN}.{hidden[2]}"
            return f'{printed} AS "{name}"'
        if isinstance(node, exp.Column) or not outermost:
            return printed
        return f'{printed} AS "{self._own_name(snippet(node))}"'

    def _own_name(self, words: str) -> str:
        """Return a name for what has none in the answer: its words, told apart."""
        plain = name = words.replace('"', "").removeprefix(HIDDEN)
        number = 1
        while name in self.own_names:
            number += 1
            name = f"{plain} ({number})"
        self.own_names.add(name)
        return name

    def _star(self, node: exp.Expr) -> str:
        star = node if isinstance(node, exp.Star) else node.this
        before = ""
        if isinstance(node, exp.Column):
            only(node, "this", "table")
            before = f'"{self.known_source(node.args["table"])}".'
        only(star, "except_")
        left_out = star.args.get("except_") or []
        names = ", ".join(
            self.column_name(one.this if isinstance(one, exp.Column) else one) for one in left_out
        )
        return f"{before}* EXCLUDE ({names})" if names else f"{before}*"

    def _from(self, node: exp.Select) -> str:
        origin = node.args.get("from_")
        if origin is None:
            return ""
        only(origin, "this")
        first = self._source(origin.this)
        return " ".join(
            [f"FROM {first}", *(self._join(one) for one in node.args.get("joins") or [])]
        )

    def _source(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Table):
            return self._table(node)
        if isinstance(node, exp.Subquery):
            only(node, "this", "alias")
            inner = self.query(node.this)
            return f'({inner}) AS "{self._alias(node, None, made=self.made)}"'
        if not isinstance(node, exp.Values):
            refuse("Only tables can be read, nothing else:", node, TABLES_WORDS)
        return self._values(node)

    def _table(self, node: exp.Table) -> str:
        if not isinstance(node.this, exp.Identifier):
            refuse("Only tables can be read, not files or functions:", node, TABLES_WORDS)
        only(node, "this", "alias")
        name = self.source_name(node.this)
        for names in reversed(self.ctes):
            if name in names:
                return f'"{name}" AS "{self._alias(node, None, name, made=names[name])}"'
        if name.lower() not in SCHEMAS:
            refuse("There is no such table:", node, TABLES_WORDS)
        self.tables.add(name.lower())
        name, made = name.lower(), kinds.of_table(name.lower())
        return f'"{name}" AS "{self._alias(node, name, name, made=made)}"'

    def _alias(
        self, node: exp.Expr, table: str | None, name: str = "", *, made: dict[str, str]
    ) -> str:
        """Return what a source is called in this SELECT, and remember it."""
        alias = node.args.get("alias")
        if alias is not None:
            only(alias, "this")
            name = self.source_name(alias.this)
        elif not name:
            self.unnamed += 1
            name = f"part_{self.unnamed}"
        if name in self.scopes[-1].sources:
            refuse("Two tables have the same name here:", node, "Call one otherwise: events AS e.")
        self.scopes[-1].sources[name], self.scopes[-1].kinds[name] = table, made
        return name

    def _values(self, node: exp.Values) -> str:
        only(node, "expressions", "alias")
        alias = node.args.get("alias")
        if alias is None:
            refuse("VALUES needs a name:", node, "Write (VALUES (1, 2)) AS v(a, b).")
        only(alias, "this", "columns")
        rows = []
        for one in node.expressions:
            if not isinstance(one, exp.Tuple):
                refuse_node(one)
            rows.append(f"({self.several(one.expressions)})")
        columns = ", ".join(self.name(one) for one in alias.args.get("columns") or [])
        name = self.source_name(alias.this)
        named = alias.args.get("columns") or []
        made = dict(zip(named, node.expressions[0].expressions, strict=False))
        self.scopes[-1].sources[name] = None
        self.scopes[-1].kinds[name] = {one.name.lower(): self.kind(made[one]) for one in made}
        return f'(VALUES {", ".join(rows)}) AS "{name}"' + (f" ({columns})" if columns else "")

    def _join(self, node: exp.Expr) -> str:
        only(node, "this", "side", "kind", "on", "using")
        side, kind = (str(node.args.get(part) or "").upper() for part in ("side", "kind"))
        on, using = node.args.get("on"), node.args.get("using")
        if side not in ("", "LEFT", "RIGHT", "FULL") or kind not in _JOINS:
            refuse("This kind of join is not available here:", node, "Use JOIN or LEFT JOIN.")
        if on is None and not using:
            if side or kind not in ("", "CROSS"):
                refuse("This join does not say what belongs together:", node, "Write ON a.x = b.x.")
            kind = "CROSS"
        if using and side in ("RIGHT", "FULL"):
            refuse(
                f"A {side} JOIN needs ON here, not USING:",
                node,
                "Write ON a.x = b.x, and COALESCE(a.x, b.x) for what either of them has.",
            )
        words = f"{side} {kind}".strip()
        printed = f"{words} JOIN {self._source(node.this)}".strip()
        if using:
            return f"{printed} USING ({', '.join(self.column_name(one) for one in using)})"
        return printed if on is None else f"{printed} ON {self.expression(on)}"

    def _clause(self, node: exp.Expr, part: str, word: str) -> str:
        clause = node.args.get(part)
        if clause is None:
            return ""
        only(clause, "this")
        return f"{word} {self.expression(clause.this)}"

    def _group(self, node: exp.Expr | None) -> str:
        if node is None:
            return ""
        only(node, "expressions", "all")
        if node.args.get("all"):
            return "GROUP BY ALL"
        return f"GROUP BY {', '.join(self._grouped(one) for one in node.expressions)}"

    def _grouped(self, node: exp.Expr) -> str:
        if not isinstance(node, exp.Rollup):
            return self.expression(node)
        only(node, "expressions")
        return f"ROLLUP ({self.several(node.expressions)})"

    def _tail(self, node: exp.Expr) -> str:
        """Return ORDER BY, LIMIT and OFFSET."""
        parts = []
        order = node.args.get("order")
        if order is not None:
            parts.append(self.order(order))
        for part, word in (("limit", "LIMIT"), ("offset", "OFFSET")):
            clause = node.args.get(part)
            if clause is None:
                continue
            number = self._number_of(clause)
            if not isinstance(number, exp.Literal) or not number.name.isdigit():
                refuse(f"{word} takes a whole number:", clause, f"Write {word} 10.")
            parts.append(f"{word} {self.expression(number)}")
        return "".join(f" {part}" for part in parts)

    def _number_of(self, node: exp.Expr) -> object:
        """Return the number of a LIMIT, an OFFSET or a FETCH FIRST 10 ROWS ONLY."""
        if not isinstance(node, exp.Fetch):
            only(node, "expression")
            return node.expression
        only(node, "direction", "count", "limit_options")
        options = node.args.get("limit_options")
        if options is not None:
            only(options, "rows")
        return node.args.get("count")

    def order(self, node: exp.Expr) -> str:
        """Return ORDER BY with what is null last, unless the query says otherwise."""
        only(node, "expressions")
        return self.ordered(node.expressions)

    def ordered(self, nodes: Iterable[exp.Expr]) -> str:
        """Return ORDER BY with these in it."""
        return f"ORDER BY {', '.join(self._ordered(one) for one in nodes)}"

    def _ordered(self, node: exp.Expr) -> str:
        only(node, "this", "desc", "nulls_first")
        way = "DESC" if node.args.get("desc") else "ASC"
        nulls = "FIRST" if node.args.get("nulls_first") else "LAST"
        printed = self.expression(node.this)
        inner = node.this.unnest()
        if isinstance(inner, exp.Case | exp.If) and self.kind(kinds.first(inner)) == kinds.NUMBER:
            printed = f"CAST({printed} AS DOUBLE)"  # it has no type of its own to be ordered by
        return f"{printed} {way} NULLS {nulls}"

    # expressions

    def expression(self, node: exp.Expr | None) -> str:
        """Return an expression, in brackets where it is an operation."""
        if not isinstance(node, exp.Expr):
            raise QueryRefused("Something is missing in the query.", "", "Look for a stray comma.")
        printer = PRINTERS.get(type(node))
        if printer is None:
            refuse_node(node)
        printed = printer(self, node)
        if len(printed) > PRINTED_CHARS_MAX:
            refuse("This part of the query is too long written out:", node, "Make it simpler.")
        self.kinds.setdefault(id(node), kinds.of_node(node, self.kinds))
        return printed

    def kind(self, node: exp.Expr | None) -> str:
        """Return the kind of an expression that was printed, as `kinds` has it; "" for most."""
        return self.kinds.get(id(node), "")

    def several(self, nodes: Iterable[exp.Expr]) -> str:
        """Return expressions with commas between them."""
        return ", ".join(self.expression(one) for one in nodes)

    def known_source(self, node: exp.Expr) -> str:
        """Return the name of a table this SELECT, or one around it, reads."""
        name = self.source_name(node)
        if not any(name in scope.sources for scope in self.scopes):
            refuse("There is no table of this name in the query:", node, TABLES_WORDS)
        return name

    def column(self, node: exp.Expr) -> str:
        """Return a column, a metadata key or a part of time."""
        only(node, "this", "table", "db")
        table, database = node.args.get("table"), node.args.get("db")
        if database is not None:
            if table is None or table.name.lower() != METADATA_COLUMN:
                refuse("A column has one table before it at most:", node, "Write e.column.")
            return self.key(node.this.name, node, f'"{self.known_source(database)}".')
        if table is None:
            self.kinds[id(node)] = self._column_kind(node.this.name, None)
            return self._bucket(node) or self.column_name(node.this)
        name = self.source_name(table)
        if name == METADATA_COLUMN and not any(name in scope.sources for scope in self.scopes):
            return self.key(node.this.name, node)
        source = self.known_source(table)
        of_table = [one.sources[source] for one in reversed(self.scopes) if source in one.sources]
        self.kinds[id(node)] = self._column_kind(node.this.name, source)
        bucket = self._bucket(node) if of_table[0] is not None else ""
        return f'"{source}".{bucket or self.column_name(node.this)}'

    def _column_kind(self, name: str, source: str | None) -> str:
        """Return the kind of a column: of the source named, or the first that has it."""
        name = name.lower()
        for scope in reversed(self.scopes):
            # a name given in the SELECT stands before a part of time, and behind a column
            given_first = source is None and name in BUCKETS and name in scope.given
            for one in ["", *scope.kinds] if given_first else scope.kinds:
                if source in (None, one) and name in scope.kinds.get(one, {}):
                    return scope.kinds[one][name]
        return ""

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
            refuse("This cannot be a metadata key:", node, "Write metadata ->> 'ide'.")
        self.keys[key] = None
        if len(self.keys) > KEYS_MAX:
            refuse(f"More than {KEYS_MAX} metadata keys are used:", node, "Use fewer.")
        return f'{before}"{KEY_COLUMN}{key}"'
