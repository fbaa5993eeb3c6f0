"""A picture as source: the code that draws it again from the frames it was drawn from.

Every array of the figure is looked up among the frames' columns: as it is, of one group, in part,
sorted, or put together from two columns. What is found becomes code over those columns, so the
chart is of the numbers computed, not of those exported. A picture with an array that is found
nowhere is not redrawn; a plain chart takes its place.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from data_access.notebook.literals import quoted
from data_access.notebook.picture import SHOW
from data_access.notebook.story import variables
from pages.components import palette

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import plotly.graph_objects as go

    from data_access.notebook import Part

ROWS_MAX: Final = 20_000  # of a frame whose columns are looked through; pictures are smaller
FIELDS_MAX: Final = 5_000  # of a frame that a grid may be of
GROUPS_MAX: Final = 60
PAIRED_MAX: Final = 40  # views in which two columns are tried together
OFFSETS_MAX: Final = 200  # a longer frame is only cut at its ends
VIEWS_MAX: Final = 3_000  # ways to cut a frame that are tried for one mark
HEIGHT_MIN: Final = 320
_CLOSE: Final = 1e-9
_VIEW: Final = "\x00"  # stands for the view in a source; no name holds it
# what of a mark and of the layout is its look; the rest is data, or words made of data
_LOOK: Final = (
    *("mode", "orientation", "fill", "fillcolor", "opacity", "stackgroup", "offsetgroup"),
    *("xaxis", "yaxis", "line", "marker", "connectgaps", "width", "zmin", "zmax"),
)
_LAYOUT: Final = ("barmode", "bargap", "bargroupgap")
_AXIS: Final = (
    *("type", "tickformat", "ticksuffix", "tickprefix", "rangemode", "autorange", "domain"),
    *("anchor", "matches", "overlaying", "side", "dtick", "tickvals", "ticktext", "tickmode"),
)
_ARRAYS: Final = ("x", "y", "base", "width")


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
            self.known[name] = [_plain(value) for value in self.frame[name].to_list()]
        return self.known[name]


def code(drawn: go.Figure, parts: Sequence[Part], timezone: str = "UTC") -> str:
    """Return the source that draws a figure again, or nothing where an array is not found."""
    made = drawn.to_plotly_json()
    return redrawn(made["data"], made["layout"], parts, timezone)


def redrawn(
    traces: Sequence[Mapping[str, Any]],
    layout: Mapping[str, Any],
    parts: Sequence[Part],
    timezone: str = "UTC",
) -> str:
    """Return what `code` does, of a figure's plain parts."""
    frames = [
        View(name, part.frame, timezone)
        for name, part in zip(variables(parts), parts, strict=True)
        if 0 < part.frame.height <= ROWS_MAX
    ]
    lines: list[str] = []
    labelled: set[str] = set()
    for trace in traces:
        if _is_words(trace):
            continue
        found = _drawn(trace, layout, frames, labelled)
        if found is None:
            return ""
        lines += found
    if not lines:
        return ""
    return "\n".join([_layout(layout, labelled), *lines, SHOW])


def _is_words(trace: Mapping[str, Any]) -> bool:
    """Tell whether a mark is only there to say or to be pointed at."""
    mode = trace.get("mode") or ""
    marker = trace.get("marker") or {}
    if mode == "text" or trace.get("opacity") == 0:
        return True
    return mode == "markers" and (marker.get("opacity") == 0 or _clear(marker.get("color")))


def _clear(colour: object) -> bool:
    return isinstance(colour, str) and colour.replace(" ", "") in {"rgba(0,0,0,0)", "transparent"}


# --- one mark --------------------------------------------------------------------------------


def _drawn(
    trace: Mapping[str, Any],
    layout: Mapping[str, Any],
    frames: Sequence[View],
    labelled: set[str],
) -> list[str] | None:
    """Return the lines that draw a mark; none where it shows nothing; None where not found."""
    if trace.get("type") == "heatmap":
        return _grid(trace, frames, labelled)
    arrays = {name: _listed(trace[name]) for name in _ARRAYS if _is_list(trace.get(name))}
    arrays |= _errors(trace)
    if not arrays.get("x") or not arrays.get("y"):
        return None if trace.get("type") not in {None, "scatter", "bar"} else []
    start, end = _known(arrays)
    if start == end:
        return []
    arrays = {name: values[start:end] for name, values in arrays.items()}
    for axis in ("x", "y"):
        labels = _labels(trace, layout, axis, arrays[axis])
        if labels is not None:
            arrays[axis] = labels
            labelled.add(_axis_of(trace, axis))
    name = str(trace.get("name") or "")
    for number, view in enumerate(islice(_views(frames, name), VIEWS_MAX)):
        placed = _placed(arrays, view, with_pairs=number < PAIRED_MAX)
        if placed is not None:
            return _lines(trace, [(view, *placed)])
    return _of_two(trace, arrays, frames)


def _of_two(
    trace: Mapping[str, Any], arrays: Mapping[str, list[Any]], frames: Sequence[View]
) -> list[str] | None:
    """Return the lines of a mark whose places are of one frame and whose values of another."""
    rest = {name: values for name, values in arrays.items() if name != "x"}
    for over in frames:
        places = _placed({"x": arrays["x"]}, over, with_pairs=False)
        if places is None:
            continue
        for view in frames:
            for cut in [view, *_cuts(view)]:
                placed = None if view is over else _placed(rest, cut, with_pairs=False)
                if placed is not None:
                    return _lines(trace, [(over, *places), (cut, *placed)])
    return None


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | pl.Series) or hasattr(value, "tolist")


def _listed(values: Any) -> list[Any]:  # noqa: ANN401 - any array a figure holds
    plain = values.to_list() if isinstance(values, pl.Series) else values
    plain = plain.tolist() if hasattr(plain, "tolist") else list(plain)
    return [_plain(value) for value in plain]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a column
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.isoformat()
    return value


def _errors(trace: Mapping[str, Any]) -> dict[str, list[Any]]:
    found = {}
    for axis in ("error_x", "error_y"):
        for part in ("array", "arrayminus"):
            values = (trace.get(axis) or {}).get(part)
            if _is_list(values):
                found[f"{axis}.{part}"] = _listed(values)
    return found


def _known(arrays: Mapping[str, list[Any]]) -> tuple[int, int]:
    """Return where the values begin and end: gaps at either end are of the drawing alone."""
    n = len(arrays["x"])
    known = [at for at in range(n) if arrays["x"][at] is not None and arrays["y"][at] is not None]
    return (known[0], known[-1] + 1) if known else (0, 0)


def _axis_of(trace: Mapping[str, Any], axis: str) -> str:
    own = str(trace.get(f"{axis}axis") or axis)
    return f"{axis}axis{own[1:]}"


def _labels(
    trace: Mapping[str, Any], layout: Mapping[str, Any], axis: str, values: list[Any]
) -> list[Any] | None:
    """Return what an axis writes at the places of a mark, where they are whole numbers."""
    own = layout.get(_axis_of(trace, axis)) or {}
    if not _is_list(own.get("tickvals")) or not _is_list(own.get("ticktext")):
        return None
    words = dict(zip(_listed(own["tickvals"]), _listed(own["ticktext"]), strict=False))
    if not all(isinstance(one, int | float) and one == int(one) for one in values):
        return None
    found = [words.get(int(one)) for one in values]
    return None if any(one is None for one in found) else found


# --- where it comes from ---------------------------------------------------------------------


def _views(frames: Sequence[View], name: str) -> Iterator[View]:
    """Yield the frames, then their groups, then cuts and sorted forms; likely ones first."""
    groups = [group for frame in frames for group in _groups(frame, name)]
    near = [group for likely, group in groups if likely]
    yield from frames
    yield from near
    yield from (group for likely, group in groups if not likely)
    for base in [*near, *frames]:
        for cut in _cuts(base):
            yield cut
            yield from _sorted(cut)
        yield from _sorted(base)


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


def _cuts(view: View) -> Iterator[View]:
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


def _placed(
    arrays: Mapping[str, list[Any]], view: View, *, with_pairs: bool
) -> tuple[int, int, dict[str, str]] | None:
    """Return where in a view all arrays of a mark are, and each as source."""
    n, height = len(next(iter(arrays.values()))), view.frame.height
    if n > height:
        return None
    others = range(height - n + 1) if height <= OFFSETS_MAX else ()
    for start in dict.fromkeys((0, height - n, *others)):
        found: dict[str, str] = {}
        for name, values in arrays.items():
            source = _source_of(values, view, start, with_pairs=with_pairs and start == 0)
            if source is None:
                break
            found[name] = source
        else:
            return start, n, found
    return None


def _source_of(values: list[Any], view: View, start: int, *, with_pairs: bool) -> str | None:
    """Return an array as source over a view's columns; _VIEW stands for the view."""
    n, schema = len(values), view.frame.schema
    columns = {name: view.column(name)[start : start + n] for name in schema}
    for name, column in columns.items():
        for source, made in _forms(name, column, schema[name], view.timezone):
            if _same(values, column, made):
                return source
    numbers = [name for name in columns if schema[name].is_numeric()]
    if not with_pairs or not isinstance(values[0], int | float):
        return None
    for first in numbers:
        for second in numbers:
            for source, made in _PAIRS.items() if first != second else ():
                both = list(zip(columns[first], columns[second], strict=True))
                if _same(values, both, made):
                    return _filled(source, {"#a": first, "#b": second})
    return None


def _filled(source: str, names: Mapping[str, str]) -> str:
    """Return a source with columns in the place of its marks: at once, as names may hold marks."""
    return _MARK.sub(lambda mark: f"{_VIEW}[{quoted(names[mark[0]])}]", source)


def _forms(
    name: str, column: list[Any], kind: pl.DataType, timezone: str
) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Yield what a picture may make of one column: as source, and of one value."""
    own = f"{_VIEW}[{quoted(name)}]"
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


_FACTORS: Final[dict[str, Callable[[float], float]]] = {
    "* 100": lambda one: one * 100,
    "* 1000": lambda one: one * 1000,
    "/ 1000": lambda one: one / 1000,
    "* -1": lambda one: -one,
    "* -1 + 1": lambda one: 1 - one,
}
_MARK: Final = re.compile("#[ab]")
# of two columns, a and b
_PAIRS: Final[dict[str, Callable[[tuple[float, float]], float | None]]] = {
    "(#a - #b)": lambda both: both[0] - both[1],
    "((#a + #b) / 2)": lambda both: (both[0] + both[1]) / 2,
    "(#a / #b)": lambda both: both[0] / both[1] if both[1] else None,
    "(#a * #b)": lambda both: both[0] * both[1],
}


def _same(values: list[Any], column: list[Any], made: Callable[[Any], Any]) -> bool:
    """Tell whether values are what is made of a column; a gap is a gap."""
    for one, other in zip(values, column, strict=True):
        is_gap = other is None or (isinstance(other, tuple) and None in other)
        if not _equal(one, None if is_gap else made(other)):
            return False
    return True


def _equal(one: object, other: object) -> bool:
    if one is None or other is None:
        return one is other
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and not isinstance(one, bool) and not isinstance(other, bool):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=1e-12)  # type: ignore[arg-type]
    if isinstance(one, str) and isinstance(other, str):
        return one == other or (one.endswith("…") and other.startswith(one[:-1].rstrip()))
    return one == other


# --- a grid ----------------------------------------------------------------------------------


def _grid(
    trace: Mapping[str, Any],
    frames: Sequence[View],
    labelled: set[str],
) -> list[str] | None:
    """Return the lines that draw a heatmap: one column down, one across, one in the fields."""
    rows = [_listed(one) for one in _listed_rows(trace.get("z"))]
    if not rows or not rows[0]:
        return []
    if len(rows) == 1:
        return []  # a single line beside the grid says what the grid says in sum
    for view in frames:
        for cut in [view, *_cuts(view)] if view.frame.height <= FIELDS_MAX else ():
            found = _dealt(rows, cut)
            if found is None:
                continue
            down, across, value, downs, acrosses = found
            labelled |= {_axis_of(trace, "x"), _axis_of(trace, "y")}
            grid = f"{cut.source}.select({quoted(down)}, {quoted(across)}, {quoted(value)})"
            tones = [[at, palette.LIGHT.get(str(one), str(one))] for at, one in palette.scale()]
            return [
                f"_fields = {{(row, column): value for row, column, value in {grid}.iter_rows()}}",
                f"_down = {_order(cut, down, downs)}",
                f"_across = {_order(cut, across, acrosses)}",
                "_tones = [[_fields.get((row, column)) for column in _across] for row in _down]",
                "figure.add_heatmap(",
                "    z=_tones,",
                "    x=[str(one) for one in _across],",
                "    y=[str(one) for one in _down],",
                "    xgap=2,",
                "    ygap=2,",
                f"    colorscale={tones!r},",
                ")",
                'figure.update_yaxes(autorange="reversed", type="category")',
                'figure.update_xaxes(type="category")',
            ]
    return None


def _listed_rows(value: Any) -> list[Any]:  # noqa: ANN401 - a table in any form
    return list(value.tolist() if hasattr(value, "tolist") else value or [])


def _dealt(rows: list[list[Any]], view: View) -> tuple[str, str, str, list[Any], list[Any]] | None:
    """Return which columns a grid is made of, and what stands down and across."""
    keys = [
        name
        for name, kind in view.frame.schema.items()
        if not kind.is_float() and not kind.is_nested() and kind != pl.Boolean
    ]
    values = [name for name, kind in view.frame.schema.items() if kind.is_float()]
    for down in keys:
        for across in keys:
            if down == across:
                continue
            for value in values:
                found = _fitted(rows, view, down, across, value)
                if found is not None:
                    return (down, across, value, *found)
    return None


def _fitted(
    rows: list[list[Any]], view: View, down: str, across: str, value: str
) -> tuple[list[Any], list[Any]] | None:
    fields: dict[tuple[Any, Any], Any] = {}
    for one, other, number in view.frame.select(down, across, value).iter_rows():
        fields[one, other] = _plain(number)
    downs, acrosses = (
        view.frame[name].unique(maintain_order=True).to_list() for name in (down, across)
    )
    width = len(rows[0])
    for columns in _runs(acrosses, width):
        left, chosen = list(downs), []
        for row in rows:
            for one in left:
                if _fits(row, [fields.get((one, other)) for other in columns]):
                    chosen.append(one)
                    left.remove(one)
                    break
            else:
                break
        if len(chosen) == len(rows):
            return chosen, columns
    return None


def _runs(values: list[Any], width: int) -> Iterator[list[Any]]:
    """Yield the ways to take so many of them in a row, in their order and sorted."""
    if len(values) < width:
        return
    orders = [values]
    if all(isinstance(one, type(values[0])) for one in values) and None not in values:
        orders.append(sorted(values))
    for order in orders:
        for start in range(len(order) - width + 1):
            yield order[start : start + width]


def _fits(row: list[Any], fields: list[Any]) -> bool:
    """Tell whether a line of the grid is those fields; what it leaves empty is left open."""
    some = [(one, other) for one, other in zip(row, fields, strict=True) if one is not None]
    return all(_equal(one, other) for one, other in some)


def _order(view: View, name: str, chosen: list[Any]) -> str:
    """Return what stands along a side, as source."""
    every = view.frame[name].unique(maintain_order=True).to_list()
    source = f"{view.source}[{quoted(name)}].unique(maintain_order=True)"
    if chosen == every:
        return f"{source}.to_list()"
    comparable = None not in every
    if comparable and chosen == sorted(every):
        return f"{source}.sort().to_list()"
    for order, words in (
        (every, source),
        (sorted(every) if comparable else [], f"{source}.sort()"),
    ):
        for start in range(len(order)):
            if order[start : start + len(chosen)] == chosen:
                return f"{words}.slice({start}, {len(chosen)}).to_list()"
    literals = [_value(one) for one in chosen]
    return f"[{', '.join(literals)}]"


def _value(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"date({value.year}, {value.month}, {value.day})"
    return quoted(value) if isinstance(value, str) else repr(value)


# --- as source -------------------------------------------------------------------------------


def _lines(
    trace: Mapping[str, Any], placed: Sequence[tuple[View, int, int, Mapping[str, str]]]
) -> list[str]:
    """Return the call that draws a mark, and before it the cuts its arrays are of."""
    first: list[str] = []
    sources: dict[str, str] = {}
    for number, (view, start, rows, found) in enumerate(placed):
        own, part = view.source, f"_part{number or ''}"
        if rows != view.frame.height:
            own = f"{own}.slice({start}, {rows})"
        if own != view.source or "." in own:
            first.append(f"{part} = {own}")
            own = part
        sources |= {
            name: source.replace(_VIEW, own) + ".to_list()" for name, source in found.items()
        }
    given = [f"{name}={source}," for name, source in sources.items() if "." not in name]
    for axis in ("error_x", "error_y"):
        arrays = {
            name.partition(".")[2]: source
            for name, source in sources.items()
            if name.startswith(f"{axis}.")
        }
        if arrays:
            inner = ", ".join(f'"{name}": {source}' for name, source in arrays.items())
            symmetric = ', "symmetric": False' if "arrayminus" in arrays else ""
            given.append(f'{axis}={{"type": "data"{symmetric}, {inner}}},')
    name = str(trace.get("name") or "")
    if name:
        given.append(f"name={quoted(name)},")
    if "not over yet" in name or "before" in name:
        given.append("showlegend=False,")
    look = {
        key: found
        for key in _LOOK
        if key not in sources and (found := _look_of(trace.get(key))) not in (None, {}, "")
    }
    given += [f"{key}={_as_source(value)}," for key, value in look.items()]
    kind = trace.get("type") or "scatter"
    return [*first, f"figure.add_{kind}(", *(f"    {one}" for one in given), ")"]


def _look_of(value: Any) -> Any:  # noqa: ANN401 - any part of a figure
    """Return a look without arrays, in the light theme's colours."""
    if isinstance(value, dict):
        kept = {key: _look_of(one) for key, one in value.items() if key != "colorscale"}
        return {key: one for key, one in kept.items() if one not in (None, {}, "")}
    if isinstance(value, str):
        return palette.LIGHT.get(value, value)
    return value if isinstance(value, bool | int | float) else None


def _as_source(value: Any) -> str:  # noqa: ANN401 - any plain value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)}: {_as_source(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_source, value)) + "]"
    return quoted(value) if isinstance(value, str) else repr(value)


def _layout(layout: Mapping[str, Any], labelled: set[str]) -> str:
    made: dict[str, Any] = {
        "template": "plotly_white",
        "height": max(int(layout.get("height") or 0), HEIGHT_MIN),
    }
    made |= {name: layout[name] for name in _LAYOUT if layout.get(name) is not None}
    for name, axis in layout.items():
        if not name.startswith(("xaxis", "yaxis")) or not isinstance(axis, dict):
            continue
        own = {key: axis[key] for key in _AXIS if axis.get(key) is not None}
        if name in labelled:
            for key in ("tickvals", "ticktext", "tickmode", "dtick", "type"):
                own.pop(key, None)
        own = {key: _listed(one) if _is_list(one) else one for key, one in own.items()}
        title = (axis.get("title") or {}).get("text") if isinstance(axis.get("title"), dict) else ""
        made[name] = own | ({"title": {"text": title}} if title else {})
    return f"figure = go.Figure(layout={_as_source(made)})"
