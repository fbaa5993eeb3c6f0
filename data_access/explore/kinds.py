"""What an expression is where the engine reckons in its own way: a day, a moment, a length of time.

The engine compares a length with a number in milliseconds, and drops the hours added to a day; both
without a word. So `phrases` prints such reckoning otherwise, or refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from sqlglot import exp

from data_access.explore.nodes import refuse
from data_access.explore.question import BUCKETS
from data_access.schema import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY: Final = "day"
MOMENT: Final = "moment"
LENGTH: Final = "length of time"  # between two moments, or an INTERVAL
NUMBER: Final = "number"  # one that is written out
TIMES: Final = (DAY, MOMENT, LENGTH)
SUB_DAY: Final = ("microsecond", "millisecond", "second", "minute", "hour")
_TYPES: Final = {
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ", "TIMESTAMP_MS"), MOMENT),
    "DATETIME": MOMENT,
    "DATE": DAY,
}
_MADE: Final[dict[type[exp.Expr], str]] = {
    **dict.fromkeys((exp.Date, exp.CurrentDate), DAY),
    **dict.fromkeys((exp.CurrentTimestamp, exp.TimestampTrunc, exp.DateTrunc), MOMENT),
    **dict.fromkeys((exp.AtTimeZone, exp.StrToTime), MOMENT),
    exp.Interval: LENGTH,
}
# what is of the kind of its first part
_SAME: Final = (exp.Paren, exp.Neg)
_OF_TIMES: Final = (
    *(exp.Min, exp.Max, exp.First, exp.Last, exp.AnyValue, exp.IgnoreNulls, exp.Coalesce),
    *(exp.Nullif, exp.Greatest, exp.Least, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue),
    *(exp.NthValue, exp.Window, exp.Filter, exp.Avg, exp.Median, exp.Sum, exp.Case, exp.If),
)


def of_table(table: str) -> dict[str, str]:
    """Return the kinds of a table's columns, and of the parts of time made of them."""
    found = dict.fromkeys(("day", "week", "month"), DAY) | {"hour": MOMENT}
    assert found.keys() <= set(BUCKETS)  # noqa: S101 - named alike
    found |= {name: MOMENT for name, kind in SCHEMAS[table].items() if kind == pl.Datetime}
    return found


def of_node(node: exp.Expr, known: Mapping[int, str]) -> str:
    """Return the kind of what is no column; "" for any other.

    Parameters
    ----------
    known : the kinds of the parts that were printed already, by `id`.
    """
    if isinstance(node, exp.Literal):
        return "" if node.is_string else NUMBER
    if isinstance(node, exp.Anonymous):
        return MOMENT if str(node.this).upper() == "NOW" else ""
    if isinstance(node, exp.Cast):
        to = node.args["to"].this
        return _TYPES.get(to.name, "") if isinstance(to, exp.DataType.Type) else ""
    kind = known.get(id(first(node)), "")
    if isinstance(node, exp.Mul | exp.Div):
        sides = {kind, known.get(id(node.expression), "")}
        return LENGTH if LENGTH in sides else NUMBER if sides == {NUMBER} else ""
    if isinstance(node, _OF_TIMES):
        return kind if kind in TIMES else ""
    return kind if isinstance(node, _SAME) else _MADE.get(type(node), "")


def first(node: exp.Expr) -> exp.Expr | None:
    """Return the part that says of what kind a node is: of a choice, what it gives first."""
    if isinstance(node, exp.Case):
        node = node.args["ifs"][0]
    part: exp.Expr | None = node.args["true"] if isinstance(node, exp.If) else node.this
    return part


def of_sum(left: str, right: str, *, minus: bool) -> str:
    """Return the kind of a sum or a difference."""
    if minus and DAY == left == right:
        return ""
    if minus and left in (DAY, MOMENT) and right in (DAY, MOMENT):
        return LENGTH
    if left == right:
        return left
    return next((kind for kind in (MOMENT, DAY, LENGTH) if kind in (left, right)), "")


def check_compared(node: exp.Expr, *kinds: str) -> None:
    """Refuse to compare times with numbers."""
    found = [kind for kind in kinds if kind in TIMES]
    if not found or NUMBER not in kinds:
        return
    what_to_do = "Compare it with a time such as TIMESTAMP '2026-05-01'."
    if LENGTH in found:
        what_to_do = "Compare it with INTERVAL '7 days', or take DATE_DIFF('day', first, last)."
    refuse(f"A {found[0]} cannot be compared with a number:", node, what_to_do)
