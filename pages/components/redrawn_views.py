"""Where an array of a picture comes from: which view of which frame, and which of its columns.

A view is a frame, or what is left of one when it is cut or sorted, with the source that makes it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from data_access.notebook.literals import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

GROUPS_MAX: Final = 60
OFFSETS_MAX: Final = 200  # a longer frame is only cut at its ends
_CLOSE: Final = 1e-9
VIEW: Final = "\x00"  # stands for the view in a source; no name holds it
_FACTORS: Final[dict[str, Callable[[float], float]]] = {
    "* 100": lambda one: one * 100,
    "* 1000": lambda one: one * 1000,
    "/ 1000": lambda one: one / 1000,
    "* -1": lambda one: -one,
    "* -1 + 1": lambda one: 1 - one,
}
_WORD: Final = re.compile(r"\w+")
_MARK: Final = re.compile("#[ab]")
# of two columns, a and b
_PAIRS: Final[dict[str, Callable[[tuple[float, float]], float | None]]] = {
    "(#a - #b)": lambda both: both[0] - both[1],
    "((#a + #b) / 2)": lambda both: (both[0] + both[1]) / 2,
    "(#a / #b)": lambda both: both[0] / both[1] if both[1] else None,
    "(#a * #b)": lambda both: both[0] * both[1],
    "((#a * #b) ** 0.5)": lambda both: math.sqrt(max(both[0] * both[1], 0)),
    "((#a - #b) * 0.94)": lambda both: (both[0] - both[1]) * 0.94,  # a bar as wide as its range
}


@dataclass(frozen=True)
class View:
    """A frame, or a cut of one, and the source that makes it; `timezone` is the page's."""

    source: str
    frame: pl.DataFrame
    timezone: str = "UTC"
    known: dict[str, list[Any]] = field(default_factory=dict, compare=False)

    def column(self, name: str) -> list[Any]:
        """Return a column as a figure would hold it."""
        if name not in self.known:
            self.known[name] = [plain(value) for value in self.frame[name].to_list()]
        return self.known[name]


def views(frames: Sequence[View], name: str) -> Iterator[View]:
    """Yield the frames, then their groups, then cuts and sorted forms; likely ones first."""
    groups = [group for frame in frames for group in _groups(frame, name)]
    near = [group for likely, group in groups if likely]
    yield from frames
    yield from near
    yield from (group for likely, group in groups if not likely)
    for base in [*near, *frames]:
        for cut in cuts(base):
            yield cut
            yield from _sorted(cut)
        yield from _sorted(base)


def reordered(frames: Sequence[View]) -> Iterator[View]:
    """Yield frames and their groups in the order of another: a row for each of its names."""
    each = [*frames, *(group for frame in frames for _, group in _groups(frame, ""))]
    for base in frames:
        for name in _names(base.frame):
            for order in _orders(base, name):
                for view in each:
                    if name in _names(view.frame) and view.frame[name].is_unique().all():
                        how = f'on={quoted(name)}, how="left", maintain_order="left"'
                        frame = order.frame.join(
                            view.frame, on=name, how="left", maintain_order="left"
                        )
                        yield View(
                            f"{order.source}.join({view.source}, {how})", frame, view.timezone
                        )


def _names(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind == pl.String]


def _orders(view: View, name: str) -> Iterator[View]:
    """Yield the names of a column alone: largest sum of a number first."""
    column = quoted(name)
    for number, kind in view.frame.schema.items():
        if kind.is_float():
            summed = view.frame.group_by(name).agg(pl.col(number).sum())
            frame = summed.sort([number, name], descending=[True, False]).select(name)
            agg = f"group_by({column}).agg(pl.col({quoted(number)}).sum())"
            how = f"[{quoted(number)}, {column}], descending=[True, False]"
            yield View(f"{view.source}.{agg}.sort({how}).select({column})", frame, view.timezone)


def _groups(view: View, name: str) -> Iterator[tuple[bool, View]]:
    for column, kind in view.frame.schema.items():
        if kind.is_float() or kind.is_nested():
            continue
        values = view.frame[column].unique(maintain_order=True).to_list()
        if not 1 < len(values) <= GROUPS_MAX:
            continue
        for value in values:
            if value is None:
                continue
            literal = _literal(value)
            if literal is None:
                continue
            source = f"{view.source}.filter(pl.col({quoted(column)}) == {literal})"
            said = _said(value)
            likely = bool(name) and (name == said or name.startswith((f"{said} ", f"{said},")))
            yield (
                likely,
                View(source, view.frame.filter(pl.col(column) == value), view.timezone),
            )


def _literal(value: object) -> str | None:
    if isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"pl.date({value.year}, {value.month}, {value.day})"
    return None


def _said(value: object) -> str:
    if isinstance(value, date):
        return f"{value.day} {value:%b}"
    return str(value)


def cuts(view: View) -> Iterator[View]:
    """Yield what is left of a view where a column says yes, is above zero, or is known."""
    for column, kind in view.frame.schema.items():
        tests: list[tuple[str, pl.Expr]] = []
        if kind == pl.Boolean:
            tests.append((f"pl.col({quoted(column)})", pl.col(column)))
        if kind.is_numeric():
            tests.append((f"pl.col({quoted(column)}) > 0", pl.col(column) > 0))
        if view.frame[column].null_count():
            tests.append((f"pl.col({quoted(column)}).is_not_null()", pl.col(column).is_not_null()))
        for source, test in tests:
            kept = view.frame.filter(test)
            if 0 < kept.height < view.frame.height:
                yield View(f"{view.source}.filter({source})", kept, view.timezone)


def _sorted(view: View) -> Iterator[View]:
    for column, kind in view.frame.schema.items():
        if not kind.is_numeric():
            continue
        for down in (True, False):
            how = f"{quoted(column)}, descending={down}, nulls_last=True, maintain_order=True"
            frame = view.frame.sort(column, descending=down, nulls_last=True, maintain_order=True)
            yield View(f"{view.source}.sort({how})", frame, view.timezone)


def placed_in(
    arrays: Mapping[str, list[Any]], view: View, *, with_pairs: bool, by_keys: bool = False
) -> tuple[int, int, dict[str, str]] | None:
    """Return where in a view all arrays of a mark are, and each as source.

    With `by_keys`, words found in no column may be those of the columns that tell rows apart.
    """
    n, height = len(next(iter(arrays.values()))), view.frame.height
    if n > height:
        return None
    others = range(height - n + 1) if height <= OFFSETS_MAX else ()
    for start in dict.fromkeys((0, height - n, *others)):
        found: dict[str, str] = {}
        for name, values in arrays.items():
            source = _source_of(values, view, start, with_pairs=with_pairs and start == 0)
            if source is None and by_keys:
                source = _keys_of(values, view, start)
            if source is None:
                break
            found[name] = source
        else:
            return start, n, found
    return None


def _source_of(values: list[Any], view: View, start: int, *, with_pairs: bool) -> str | None:
    """Return an array as source over a view's columns; VIEW stands for the view."""
    n, schema = len(values), view.frame.schema
    columns = {name: view.column(name)[start : start + n] for name in schema}
    for name, column in columns.items():
        for source, made in _forms(name, column, schema[name], view.timezone):
            if _same(values, column, made):
                return source
    if not with_pairs or not isinstance(values[0], int | float):
        return None
    numbers = {name: column for name, column in columns.items() if schema[name].is_numeric()}
    return _paired(values, numbers)


def _paired(values: list[Any], columns: Mapping[str, list[Any]]) -> str | None:
    for first, second in permutations(columns, 2):
        both = list(zip(columns[first], columns[second], strict=True))
        for source, made in _PAIRS.items():
            if _same(values, both, made):
                return _filled(source, {"#a": first, "#b": second})
    return None


def _keys_of(values: list[Any], view: View, start: int) -> str | None:
    """Return the words of the columns that tell rows apart, where they share a word with each."""
    part = view.frame.slice(start, len(values))
    keys = [
        name
        for name, kind in part.schema.items()
        if (not kind.is_float() or {"from", "to"} & set(name.split("_"))) and not kind.is_nested()
    ]
    names = [name for name in _names(part) if part[name].is_unique().all()]
    keys = names[:1] or [name for name in keys if part[name].n_unique() > 1]
    if not keys or not all(isinstance(one, str) for one in values):
        return None
    columns = ", ".join(f"pl.col({quoted(name)}).cast(pl.String)" for name in keys)
    said = part.select(
        pl.concat_str(pl.col(keys).cast(pl.String), separator=" ", ignore_nulls=True)
    )
    if not all(
        set(_WORD.findall(one)) & set(_WORD.findall(other or ""))
        for one, other in zip(values, said.to_series(), strict=True)
    ):
        return None
    joined = f'pl.concat_str({columns}, separator=" to ", ignore_nulls=True)'
    return f"{VIEW}.select({joined}).to_series()"


def _filled(source: str, names: Mapping[str, str]) -> str:
    """Return a source with columns in the place of its marks: at once, as names may hold marks."""
    return _MARK.sub(lambda mark: f"{VIEW}[{quoted(names[mark[0]])}]", source)


def _forms(
    name: str, column: list[Any], kind: pl.DataType, timezone: str
) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Yield what a picture may make of one column: as source, and of one value."""
    own = f"{VIEW}[{quoted(name)}]"
    yield own, lambda one: one
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        zone = ZoneInfo(timezone)
        local = f"{own}.dt.convert_time_zone({quoted(timezone)}).dt.replace_time_zone(None)"
        yield local, lambda one: one.astimezone(zone).replace(tzinfo=None).isoformat()
    if kind == pl.Date:
        yield f'{own}.dt.strftime("%-d %b")', _said
    if kind.is_integer():
        yield f"{own}.cast(pl.String)", str
    if kind.is_numeric():
        for source, factor in _FACTORS.items():
            yield f"({own} {source})", factor
        total = math.fsum(one for one in column if one is not None)
        if total:
            yield f"({own} / {own}.sum())", lambda one: one / total


def _same(values: list[Any], column: list[Any], made: Callable[[Any], Any]) -> bool:
    """Tell whether values are what is made of a column; a gap is a gap."""
    for one, other in zip(values, column, strict=True):
        is_gap = other is None or (isinstance(other, tuple) and None in other)
        if not equal(one, None if is_gap else made(other)):
            return False
    return True


def equal(one: object, other: object) -> bool:
    """Tell whether a picture's value is a frame's; a name that was cut short is its whole."""
    if one is None or other is None:
        return one is other
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and not isinstance(one, bool) and not isinstance(other, bool):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=1e-12)  # type: ignore[arg-type]
    if isinstance(one, str) and isinstance(other, str):
        return one == other or (one.endswith("…") and other.startswith(one[:-1].rstrip()))
    return one == other


def is_list(value: object) -> bool:
    """Tell whether a part of a figure is an array, of whatever kind."""
    return isinstance(value, list | tuple | pl.Series) or hasattr(value, "tolist")


def listed(values: Any) -> list[Any]:  # noqa: ANN401 - any array a figure holds
    """Return an array's values, each as `plain` does."""
    found = values.to_list() if isinstance(values, pl.Series) else values
    found = found.tolist() if hasattr(found, "tolist") else list(found)
    return [plain(value) for value in found]


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a column
    """Return a value as a figure holds it: a gap for what is no number, a local time as text."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.isoformat()
    return value
