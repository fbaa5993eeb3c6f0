"""How each operation and function is printed: the list of what SQL may say here.

A kind of node that is not in `PRINTERS` is refused, and so is one that says more than its printer
prints. Operations come in brackets, so that the engine reads the tree that was checked whatever
it thinks of precedence; texts are escaped.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from data_access.explore import kinds
from data_access.explore.nodes import only, refuse, refuse_function, refuse_node
from data_access.explore.question import KEY_COLUMN
from data_access.metadata import METADATA_COLUMN
from data_access.window import known_timezone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from data_access.explore.printer import Printer

DIGITS_MAX: Final = 30
PLACES_MAX: Final = 12  # of ROUND
_NUMBER: Final = re.compile(r"\d+(\.\d*)?([eE][+-]?\d{1,3})?|\.\d+([eE][+-]?\d{1,3})?", re.ASCII)
_UNITS: Final = (
    *("microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month"),
    *("quarter", "year"),
)
_PARTS: Final = (*_UNITS, "dow", "isodow", "doy", "isoyear", "epoch", "decade", "century")
_INTERVAL: Final = re.compile(
    rf"\d{{1,9}} ?({'|'.join(_UNITS)})s?( \d{{1,9}} ?({'|'.join(_UNITS)})s?){{0,5}}"
)


def _column(printer: Printer, node: exp.Expr) -> str:
    return printer.column(node)


_KEY: Final = re.compile(rf'(?:"[^"]*"\.)?"{KEY_COLUMN}[^"]*"')
_FLAG_OF_KEY: Final = re.compile(rf"\(({_KEY.pattern}) \S+ (TRUE|FALSE)\)")


def _number_from(printer: Printer, node: exp.Expr | None) -> str:
    """Return an expression; a metadata key, which is text, as the number it says."""
    printed = printer.expression(node)
    return f"TRY_CAST({printed} AS DOUBLE)" if _KEY.fullmatch(printed) else printed


def _of_number(name: str) -> Callable[..., str]:
    """Return how to print a function of one number."""

    def call(printer: Printer, node: exp.Expr) -> str:
        only(node, "this")
        return f"{name}({_number_from(printer, node.this)})"

    return call


def _call(name: str, *parts: str, ignore: tuple[str, ...] = ()) -> Callable[..., str]:
    """Return how to print a function: its name, and the parts that are its arguments, in order."""

    def call(printer: Printer, node: exp.Expr) -> str:
        only(node, *parts, *ignore)
        return f"{name}({printer.several(_given(node, parts))})"

    return call


def _given(node: exp.Expr, parts: tuple[str, ...]) -> Iterator[exp.Expr]:
    for part in parts:
        value = node.args.get(part)
        if isinstance(value, list):
            yield from value
        elif value is not None and not isinstance(value, bool):
            yield value


def _reckoned(word: str, *, chain: bool = False) -> Callable[..., str]:
    """Return how to print an operation on numbers."""
    return _between(word, chain=chain, side=_number_from)


def _compared(word: str) -> Callable[..., str]:
    """Return how to print a comparison: a metadata key is of the kind it is compared with."""
    texts, numbers = _between(word), _between(word, side=_number_from)

    def compared(printer: Printer, node: exp.Expr) -> str:
        sides = (node.this, node.expression)
        printed = (numbers if any(_is_number(one) for one in sides) else texts)(printer, node)
        kinds.check_compared(node, *(printer.kind(one) for one in sides))
        flag = _FLAG_OF_KEY.fullmatch(printed)
        return f"({flag[1]} {word} '{flag[2].lower()}')" if flag else printed

    return compared


def _is_number(node: exp.Expr | None) -> bool:
    while isinstance(node, exp.Paren | exp.Neg):
        node = node.this
    arithmetic = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod)
    return isinstance(node, arithmetic) or (isinstance(node, exp.Literal) and not node.is_string)


def _print(printer: Printer, node: exp.Expr | None) -> str:
    return printer.expression(node)


def _between(
    word: str, *, chain: bool = False, side: Callable[..., str] = _print
) -> Callable[..., str]:
    """Return how to print an operation of two sides; a chain of the same one needs no brackets."""

    def operation(printer: Printer, node: exp.Expr) -> str:
        sides = reversed(_sides(node, chain=chain))
        return f"({f' {word} '.join(side(printer, one) for one in sides)})"

    return operation


def _sides(node: exp.Expr, *, chain: bool) -> list[exp.Expr]:
    """Return the sides of an operation, of a chain of them if need be, the last one first."""
    sides = []
    while True:
        only(node, "this", "expression", "typed", "safe")
        sides.append(node.expression)
        if not (chain and type(node.this) is type(node)):
            return [*sides, node.this]
        node = node.this


def _summed(word: str) -> Callable[..., str]:
    """Return how to print a sum or a difference: of days, moments and lengths of time too."""

    def summed(printer: Printer, node: exp.Expr) -> str:
        *others, first = _sides(node, chain=True)
        total, kind = _number_from(printer, first), printer.kind(first)
        for one in reversed(others):
            side, other = _number_from(printer, one), printer.kind(one)
            if kinds.NUMBER in (kind, other) and {kind, other} & {kinds.MOMENT, kinds.LENGTH}:
                refuse("A number is no length of time:", node, "Write INTERVAL '7 days'.")
            made = kinds.of_sum(kind, other, minus=word == "-")
            if word == "-" and kind == other == kinds.DAY:
                total = _periods("day", total, side)
            else:
                if kind == kinds.DAY and _is_part_of_day(other, side):
                    total, made = f"CAST({total} AS TIMESTAMPTZ)", kinds.MOMENT
                elif other == kinds.DAY and _is_part_of_day(kind, total):
                    side, made = f"CAST({side} AS TIMESTAMPTZ)", kinds.MOMENT
                total = f"{total} {word} {side}"
            kind = made
        printer.kinds[id(node)] = kind
        return f"({total})"

    return summed


def _is_part_of_day(kind: str, printed: str) -> bool:
    """Return whether a length is, or may be, no whole number of days."""
    return kind == kinds.LENGTH and (
        "INTERVAL" not in printed or any(unit in printed for unit in kinds.SUB_DAY)
    )


def _literal(printer: Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    only(node, "this", "is_string")
    text = str(node.this)
    if node.args.get("is_string"):
        return "'" + text.replace("'", "''") + "'"
    if not _NUMBER.fullmatch(text) or len(text) > DIGITS_MAX:
        refuse("This is no number:", node)
    # with an exponent it is a float; without, the engine reads it as an exact decimal
    return text if text.isdigit() or "e" in text.lower() else f"{text}e0"


def _text_of(node: exp.Expr | None) -> str | None:
    """Return the text of a literal."""
    return str(node.this) if isinstance(node, exp.Literal) and node.is_string else None


def _not(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    inner = node.this
    if isinstance(inner, exp.Paren) and isinstance(inner.this, exp.In | exp.Exists):
        inner = inner.this
    if isinstance(inner, exp.In):
        return _in(printer, inner, "NOT IN")
    if isinstance(inner, exp.Exists):
        return f"(NOT {_exists(printer, inner)})"
    return f"(NOT {printer.expression(inner)})"


def _in(printer: Printer, node: exp.Expr, word: str = "IN") -> str:
    only(node, "this", "expressions", "query")
    query = node.args.get("query")
    if query is not None:
        inner = query.this if isinstance(query, exp.Subquery) else query
        if isinstance(query, exp.Subquery):
            only(query, "this")
        return f"({printer.expression(node.this)} {word} ({printer.query(inner)}))"
    if not node.expressions:
        refuse("There is nothing in the brackets of IN:", node, "Write IN ('web', 'server').")
    side = _number_from if any(_is_number(one) for one in node.expressions) else _print
    this = side(printer, node.this)
    several = printer.several(node.expressions)
    kinds.check_compared(node, *(printer.kind(one) for one in (node.this, *node.expressions)))
    return f"({this} {word} ({several}))"


def _exists(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    return f"EXISTS ({printer.query(node.this)})"


def _subquery(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    printed = f"({printer.query(node.this)})"
    printer.kinds[id(node)] = next(iter(printer.made.values()), "")
    return printed


def _is(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expression")
    if not isinstance(node.expression, exp.Null | exp.Boolean):
        refuse_node(node)
    return f"({printer.expression(node.this)} IS {printer.expression(node.expression)})"


def _like(word: str) -> Callable[..., str]:
    def like(printer: Printer, node: exp.Expr) -> str:
        only(node, "this", "expression", "negate")
        negated = "NOT " if node.args.get("negate") else ""
        sides = printer.expression(node.this), printer.expression(node.expression)
        return f"({sides[0]} {negated}{word} {sides[1]})"

    return like


def _span(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "low", "high")
    parts = [node.args[part] for part in ("this", "low", "high")]
    side = _number_from if any(_is_number(one) for one in parts) else _print
    this, low, high = (side(printer, one) for one in parts)
    kinds.check_compared(node, *(printer.kind(one) for one in parts))
    return f"({this} BETWEEN {low} AND {high})"


def _case(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "ifs", "default")
    of = node.args.get("this")
    parts = ["CASE" if of is None else f"CASE {printer.expression(of)}"]
    for one in node.args["ifs"]:
        only(one, "this", "true")
        then = printer.expression(one.args["true"])
        parts.append(f"WHEN {printer.expression(one.this)} THEN {then}")
    default = node.args.get("default")
    if default is not None:
        parts.append(f"ELSE {printer.expression(default)}")
    return f"({' '.join(parts)} END)"


def _if(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "true", "false")
    this, yes = printer.expression(node.this), printer.expression(node.args["true"])
    no = node.args.get("false")
    otherwise = "" if no is None else f" ELSE {printer.expression(no)}"
    return f"(CASE WHEN {this} THEN {yes}{otherwise} END)"


_TYPES: Final = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT", "INT128"), "BIGINT"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINT", "UBIGINT"), "BIGINT"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "DOUBLE"),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NVARCHAR", "NCHAR"), "VARCHAR"),
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ", "TIMESTAMP_MS", "DATETIME"), "TIMESTAMPTZ"
    ),
    **{name: name for name in ("BOOLEAN", "DATE", "TIME")},
}


def _cast(word: str) -> Callable[..., str]:
    def cast(printer: Printer, node: exp.Expr) -> str:
        only(node, "this", "to", "safe")
        to = node.args["to"]
        kind = _TYPES.get(to.this.name if isinstance(to.this, exp.DataType.Type) else "")
        if not isinstance(to, exp.DataType) or kind is None or to.args.get("nested"):
            refuse(
                "This type is not available here:",
                node,
                "Use BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP.",
            )
        printed = printer.expression(node.this)
        if kind == "BOOLEAN" and _KEY.fullmatch(printed):
            return f"(CASE {printed} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END)"
        return f"{word}({printed} AS {kind})"

    return cast


def _unit(node: exp.Expr | None, allowed: tuple[str, ...], of: exp.Expr) -> str:
    name = str(node.this if node is not None else "").lower()
    name = name.removesuffix("s") if name.removesuffix("s") in allowed else name
    if name not in allowed:
        refuse("This part of time is not known:", of, f"Use one of {', '.join(allowed)}.")
    return name


def _truncated(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "unit", "input_type_preserved")
    unit = _unit(node.args.get("unit"), _UNITS, node)
    return f"DATE_TRUNC('{unit}', {printer.expression(node.this)})"


def _extract(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expression")
    return _part_of(printer, _unit(node.this, _PARTS, node), node.expression, node)


def _part(unit: str) -> Callable[..., str]:
    def part(printer: Printer, node: exp.Expr) -> str:
        only(node, "this")
        return _part_of(printer, unit, node.this, node)

    return part


def _part_of(printer: Printer, unit: str, of: exp.Expr, node: exp.Expr) -> str:
    printed = printer.expression(of)
    if printer.kind(of) == kinds.LENGTH:
        refuse(
            "A length of time has no parts here:",
            node,
            "Write DATE_DIFF('day', first, last), or EPOCH(last) - EPOCH(first) for seconds.",
        )
    if printer.kind(of) == kinds.DAY and unit == "epoch":
        printed = f"CAST({printed} AS TIMESTAMPTZ)"
    return f"EXTRACT({unit} FROM {printed})"


def _interval(printer: Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    only(node, "this", "unit")
    amount, unit = node.this, node.args.get("unit")
    text = str(amount.this) if isinstance(amount, exp.Literal) else ""
    if unit is not None:
        text = f"{text} {unit.name}"
    text = " ".join(text.lower().split())
    if not _INTERVAL.fullmatch(text):
        refuse("This length of time cannot be read:", node, "Write INTERVAL '7 days'.")
    return f"INTERVAL '{text}'"


def _date(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    return f"CAST({printer.expression(node.this)} AS DATE)"


def _today(printer: Printer, node: exp.Expr) -> str:
    only(node)
    return f"CAST('{printer.today}' AS DATE)"


def _now(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expressions")
    if isinstance(node, exp.Anonymous) and node.expressions:
        refuse("NOW takes nothing in its brackets:", node)
    moment = printer.now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"CAST('{moment}' AS TIMESTAMPTZ)"


def _at_zone(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "zone")
    zone = _text_of(node.args.get("zone"))
    if zone is None or known_timezone(zone) != zone:
        refuse("This timezone is not known:", node, "Write AT TIME ZONE 'Europe/Berlin'.")
    return f"({printer.expression(node.this)} AT TIME ZONE '{zone}')"


def _count(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "big_int")
    if isinstance(node.this, exp.Star):
        only(node.this)
        return "COUNT(*)"
    if node.this is None:
        return "COUNT(*)"
    return f"COUNT({_maybe_distinct(printer, node.this)})"


def _maybe_distinct(printer: Printer, node: exp.Expr) -> str:
    if not isinstance(node, exp.Distinct):
        return printer.expression(node)
    only(node, "expressions")
    if len(node.expressions) != 1:
        refuse("DISTINCT takes one column:", node, "Join several with ||.")
    return f"DISTINCT {printer.expression(node.expressions[0])}"


def _different(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    return f"COUNT(DISTINCT {printer.expression(node.this)})"


def _sum(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    if isinstance(node.this, exp.Distinct):
        return f"SUM({_maybe_distinct(printer, node.this)})"
    return f"SUM({_number_from(printer, node.this)})"


def _count_if(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "big_int")
    return f"COUNT(*) FILTER (WHERE {printer.expression(node.this)})"


def _every(word: str) -> Callable[..., str]:
    def every(printer: Printer, node: exp.Expr) -> str:
        only(node, "this")
        of = printer.expression(node.this)
        return f"({word}(CASE WHEN {of} THEN 1 WHEN (NOT {of}) THEN 0 END) = 1)"

    return every


def _ignoring_nulls(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    if not isinstance(node.this, exp.AnyValue):
        refuse_node(node)
    return printer.expression(node.this)


def _quantile(word: str, share: str) -> Callable[..., str]:
    def quantile(printer: Printer, node: exp.Expr) -> str:
        only(node, "this", share)
        return _quantile_of(printer, word, node.this, node.args.get(share), node)

    return quantile


def _quantile_of(
    printer: Printer,
    word: str,
    of: exp.Expr,
    share: exp.Expr | None,
    node: exp.Expr,
) -> str:
    if not isinstance(share, exp.Literal) or not 0 <= _number(share) <= 1:
        refuse("The share has to be a number from 0 to 1:", node, f"Write {word}(column, 0.95).")
    return f"{word}({_number_from(printer, of)}, {printer.expression(share)})"


def _number(node: exp.Literal) -> float:
    try:
        return float(node.this)
    except ValueError:
        return -1.0


def _within_group(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expression")
    words = {exp.PercentileCont: "QUANTILE_CONT", exp.PercentileDisc: "QUANTILE_DISC"}
    word, order = words.get(type(node.this)), node.expression
    if word is None or not isinstance(order, exp.Order) or len(order.expressions) != 1:
        refuse_node(node)
    only(node.this, "this")
    only(order, "expressions")
    [ordered] = order.expressions
    only(ordered, "this", "nulls_first")
    return _quantile_of(printer, word, ordered.this, node.this.this, node)


def _joined_texts(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "separator")
    separator, of, order = node.args.get("separator"), node.this, ""
    between = "','" if separator is None else printer.expression(separator)
    if isinstance(of, exp.Order):
        only(of, "this", "expressions")
        of, order = of.this, f" {printer.ordered(of.expressions)}"
    return f"STRING_AGG({_maybe_distinct(printer, of)}, {between}{order})"


def _filtered(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expression")
    if type(node.this) not in (*_AGGREGATES, exp.GroupConcat, exp.WithinGroup):
        refuse("FILTER belongs after a count, a sum or the like:", node)
    only(node.expression, "this")
    inner, condition = printer.expression(node.this), printer.expression(node.expression.this)
    return f"{inner} FILTER (WHERE {condition})"


def _window(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "partition_by", "order", "spec", "over", "alias")
    if node.args.get("over") != "OVER" or type(node.this) not in _OVER:
        refuse("This cannot be told over other rows:", node, "See the help for what can.")
    said = {part: node.args.get(part) for part in _OF_WINDOW}
    if node.args.get("alias") is not None:
        named = printer.scopes[-1].windows.get(node.args["alias"].name.lower())
        if named is None:
            refuse("There is no window of this name:", node, "Write WINDOW w AS (ORDER BY ...).")
        only(named, "this", *_OF_WINDOW)
        said = {part: said[part] or named.args.get(part) for part in _OF_WINDOW}
    parts = []
    if said["partition_by"]:
        parts.append(f"PARTITION BY {printer.several(said['partition_by'])}")
    if said["order"] is not None:
        parts.append(printer.order(said["order"]))
    if said["spec"] is not None:
        parts.append(_frame(said["spec"]))
    return f"{printer.expression(node.this)} OVER ({' '.join(parts)})"


_OF_WINDOW: Final = ("partition_by", "order", "spec")


def _frame(node: exp.Expr) -> str:
    only(node, "kind", "start", "start_side", "end", "end_side")
    if node.args.get("kind") != "ROWS":
        refuse("Only ROWS can be counted in a window:", node, "Write ROWS BETWEEN ...")
    edges = []
    for edge, default in (("start", "UNBOUNDED PRECEDING"), ("end", "CURRENT ROW")):
        value, side = node.args.get(edge), str(node.args.get(f"{edge}_side") or "")
        if value is None:
            edges.append(default)
            continue
        text = value.name if isinstance(value, exp.Literal) else str(value)
        if text not in ("UNBOUNDED", "CURRENT ROW") and not text.isdigit():
            refuse("The edge of a window is a whole number of rows:", node)
        if side not in ("", "PRECEDING", "FOLLOWING"):
            refuse_node(node)
        edges.append(f"{text} {side}".strip())
    return f"ROWS BETWEEN {edges[0]} AND {edges[1]}"


def _json_key(printer: Printer, node: exp.Expr) -> str:
    """Print `metadata ->> 'ide'`: the one JSON there is."""
    only(node, "this", "expression", "only_json_types", "scalar_only")
    column, path = node.this, node.expression
    if not isinstance(column, exp.Column) or column.name.lower() != METADATA_COLUMN:
        refuse("Only metadata has keys:", node, "Write metadata ->> 'ide'.")
    parts = path.expressions if isinstance(path, exp.JSONPath) else []
    if len(parts) != 2 or not isinstance(parts[1], exp.JSONPathKey):  # noqa: PLR2004 - $ and a key
        refuse(
            "One key of the metadata can be read:",
            node,
            "Write metadata ->> 'ide', or metadata['http.status'] where a key is no plain word.",
        )
    only(column, "this", "table")
    table = column.args.get("table")
    before = "" if table is None else f'"{printer.known_source(table)}".'
    return printer.key(str(parts[1].this), node, before)


def _bracket(printer: Printer, node: exp.Expr) -> str:
    """Print `metadata['ide']`, the other way to write a key."""
    only(node, "this", "expressions")
    key = _text_of(node.expressions[0]) if len(node.expressions) == 1 else None
    column = node.this
    if key is None or not isinstance(column, exp.Column) or column.name.lower() != METADATA_COLUMN:
        refuse("Only metadata has keys:", node, "Write metadata ->> 'ide'.")
    only(column, "this", "table")
    table = column.args.get("table")
    return printer.key(key, node, "" if table is None else f'"{printer.known_source(table)}".')


_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}


def _difference(printer: Printer, node: exp.Expr) -> str:
    """Print DATE_DIFF('day', a, b): how many days begin between the two."""
    only(node, "this", "expression", "unit", "date_part_boundary")
    unit = _unit(node.args.get("unit"), (*_SECONDS, *_MONTHS), node)
    ends = [printer.expression(one) for one in (node.this, node.expression)]
    if unit in _SECONDS:
        return _periods(unit, *ends)
    months = f"(EXTRACT(month FROM {{}}) - 1) // {_MONTHS[unit]}"
    last, first = (
        f"(EXTRACT(year FROM {one}) * {12 // _MONTHS[unit]} + {months.format(one)})" for one in ends
    )
    return f"CAST(({last} - {first}) AS BIGINT)"


def _periods(unit: str, *ends: str) -> str:
    """Return how many days, hours, ... begin between two times, the last one first."""
    last, first = (f"EXTRACT(epoch FROM DATE_TRUNC('{unit}', {one}))" for one in ends)
    return f"CAST((({last} - {first}) / {_SECONDS[unit]}) AS BIGINT)"


def _anonymous(printer: Printer, node: exp.Expr) -> str:
    """Print a function sqlglot has no kind of node for."""
    name = str(node.this).upper()
    if name == "NOW":
        return _now(printer, node)
    if name == "DATE_PART" and len(node.expressions) == 2:  # noqa: PLR2004 - a part and a time
        unit = _unit(node.expressions[0], _PARTS, node)
        return _part_of(printer, unit, node.expressions[1], node)
    if name not in _ANONYMOUS:
        refuse_function(name, node)
    only(node, "this", "expressions")
    return f"{_ANONYMOUS[name]}({printer.several(node.expressions)})"


def _log(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expression")
    if node.args.get("expression") is None:
        return f"LOG10({printer.expression(node.this)})"
    base = node.this.name if isinstance(node.this, exp.Literal) else ""
    of = printer.expression(node.expression)
    if base in ("2", "10"):
        return f"LOG{base}({of})"
    return f"(LN({of}) / LN({printer.expression(node.this)}))"


def _power(printer: Printer, node: exp.Expr) -> str:
    """Print POW of a float: of a whole number the engine's is another one beyond 64 bits."""
    only(node, "this", "expression")
    of, power = (_number_from(printer, one) for one in (node.this, node.expression))
    return f"POW(CAST({of} AS DOUBLE), {power})"


def _trim(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "position", "expression")
    words = {"": "TRIM", "BOTH": "TRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}
    word = words[str(node.args.get("position") or "").upper()]
    of, what = printer.expression(node.this), node.args.get("expression")
    if what is not None and word == "TRIM":
        return f"TRIM(BOTH {printer.expression(what)} FROM {of})"
    return f"{word}({of})" if what is None else f"{word}({of}, {printer.expression(what)})"


def _strpos(printer: Printer, node: exp.Expr) -> str:
    """Print where a text begins in another, in characters: the engine tells it in bytes."""
    only(node, "this", "substr")
    of, what = printer.expression(node.this), printer.expression(node.args["substr"])
    place = f"STRPOS({of}, {what})"
    before = f"LENGTH(SPLIT_PART({of}, {what}, 1))"
    return f"(CASE WHEN {place} > 1 THEN {before} + 1 ELSE {place} END)"


def _contains(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expression")
    sides = printer.expression(node.this), printer.expression(node.expression)
    return f"(STRPOS({sides[0]}, {sides[1]}) > 0)"


def _formatted(printer: Printer, node: exp.Expr) -> str:
    """Print STRFTIME, its two parts in either order."""
    only(node, "this", "format")
    parts = [node.this, node.args["format"]]
    if _text_of(parts[0]) is not None and _text_of(parts[1]) is None:
        parts.reverse()
    return f"STRFTIME({printer.several(parts)})"


def _regexp(printer: Printer, node: exp.Expr) -> str:
    only(node, "this", "expression", "flag")
    pattern = _text_of(node.expression)
    if pattern is None:
        refuse("A pattern has to be written out:", node, "Write REGEXP_LIKE(column, '^a').")
    flags = _text_of(node.args.get("flag")) or ("i" if isinstance(node, exp.RegexpILike) else "")
    if not set(flags) <= set("ims"):
        refuse("These flags are not known:", node, "Use 'i' for any case of letters.")
    more = f", '{flags}'" if flags else ""
    return (
        f"REGEXP_LIKE({printer.expression(node.this)}, {printer.expression(node.expression)}{more})"
    )


def _rounded(printer: Printer, node: exp.Expr) -> str:
    """Print ROUND: a half goes away from zero, as in other systems; the engine's to the even."""
    only(node, "this", "decimals")
    of, digits = _number_from(printer, node.this), node.args.get("decimals")
    sign, digits = (-1, digits.this) if isinstance(digits, exp.Neg) else (1, digits)
    places = "0" if digits is None else digits.name if isinstance(digits, exp.Literal) else ""
    if not re.fullmatch(r"[0-9]{1,2}", places) or int(places) > PLACES_MAX:
        refuse(f"ROUND takes up to {PLACES_MAX} digits:", node, "Write ROUND(duration_ms, 1).")
    half = f"(SIGN({of}) * 0.5e0)"
    if not int(places):
        return f"TRUNC({of} + {half})"
    there, back = ("*", "/") if sign > 0 else ("/", "*")
    size = f"1{'0' * int(places)}"
    return f"(TRUNC(({of} {there} {size}) + {half}) {back} {size})"


def _paren(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    return printer.expression(node.this)


def _negative(printer: Printer, node: exp.Expr) -> str:
    only(node, "this")
    return f"(- {_number_from(printer, node.this)})"


def _boolean(printer: Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    return "TRUE" if node.this else "FALSE"


def _null(printer: Printer, node: exp.Expr) -> str:  # noqa: ARG001 - as all printers
    return "NULL"


_ANONYMOUS: Final = {"LOG1P": "LOG1P", "MEAN": "AVG"}
_AGGREGATE_PRINTERS: Final[dict[type[exp.Expr], Callable[..., str]]] = {
    exp.Count: _count,
    exp.Sum: _sum,
    exp.Avg: _of_number("AVG"),
    exp.Min: _call("MIN", "this"),
    exp.Max: _call("MAX", "this"),
    exp.Median: _of_number("MEDIAN"),
    exp.Stddev: _of_number("STDDEV"),
    exp.StddevSamp: _of_number("STDDEV"),
    exp.Variance: _of_number("VARIANCE"),
    exp.First: _call("FIRST", "this"),
    exp.Last: _call("LAST", "this"),
    exp.AnyValue: _call("FIRST", "this"),
    exp.PercentileCont: _quantile("QUANTILE_CONT", "expression"),
    exp.PercentileDisc: _quantile("QUANTILE_DISC", "expression"),
    exp.Quantile: _quantile("QUANTILE_CONT", "quantile"),
    exp.ApproxQuantile: _quantile("QUANTILE_CONT", "quantile"),
    exp.ApproxDistinct: _different,
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
_OVER: Final = frozenset(_OVER_PRINTERS) | _AGGREGATES | {exp.Filter}
PRINTERS: Final[dict[type[exp.Expr], Callable[..., str]]] = {
    **_AGGREGATE_PRINTERS,
    **_OVER_PRINTERS,
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Paren: _paren,
    exp.Neg: _negative,
    exp.Not: _not,
    exp.And: _between("AND", chain=True),
    exp.Or: _between("OR", chain=True),
    exp.Add: _summed("+"),
    exp.Sub: _summed("-"),
    exp.Mul: _reckoned("*", chain=True),
    exp.Div: _reckoned("/"),
    exp.IntDiv: _reckoned("//"),
    exp.Mod: _reckoned("%"),
    exp.DPipe: _between("||", chain=True),
    exp.EQ: _compared("="),
    exp.NEQ: _compared("<>"),
    exp.GT: _compared(">"),
    exp.GTE: _compared(">="),
    exp.LT: _compared("<"),
    exp.LTE: _compared("<="),
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
    exp.Bracket: _bracket,
    exp.DateDiff: _difference,
    exp.TimeToUnix: _part("epoch"),
    exp.Anonymous: _anonymous,
    exp.TimestampTrunc: _truncated,
    exp.DateTrunc: _truncated,
    exp.Extract: _extract,
    exp.Year: _part("year"),
    exp.Quarter: _part("quarter"),
    exp.Month: _part("month"),
    exp.Week: _part("week"),
    exp.WeekOfYear: _part("week"),
    exp.DayOfWeekIso: _part("isodow"),
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
    exp.TimeToStr: _formatted,
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
    exp.StrPosition: _strpos,
    exp.Contains: _contains,
    exp.SplitPart: _call("SPLIT_PART", "this", "delimiter", "part_index"),
    exp.RegexpLike: _regexp,
    exp.RegexpILike: _regexp,
    exp.Round: _rounded,
    exp.Abs: _of_number("ABS"),
    exp.Ceil: _of_number("CEIL"),
    exp.Floor: _of_number("FLOOR"),
    exp.Trunc: _of_number("TRUNC"),
    exp.Sign: _of_number("SIGN"),
    exp.Sqrt: _of_number("SQRT"),
    exp.Cbrt: _of_number("CBRT"),
    exp.Exp: _of_number("EXP"),
    exp.Ln: _of_number("LN"),
    exp.Log: _log,
    exp.Pow: _power,
    exp.Pi: _call("PI"),
}
