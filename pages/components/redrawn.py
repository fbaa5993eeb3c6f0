"""A picture as source: the code that draws it again from the frames it was drawn from.

Every array of the figure is looked up among the frames' columns: as it is, of one group, in part,
sorted, or put together from two columns. What is found becomes code over those columns, so the
chart is of the numbers computed, not of those exported. A picture with an array that is found
nowhere is not redrawn; a plain chart takes its place.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from data_access.notebook.literals import quoted
from data_access.notebook.picture import SHOW
from data_access.notebook.story import variables
from pages.components import palette
from pages.components.redrawn_grid import grid
from pages.components.redrawn_views import (
    VIEW,
    View,
    cuts,
    is_list,
    listed,
    placed_in,
    reordered,
    views,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

    from data_access.notebook import Part

ROWS_MAX: Final = 20_000  # of a frame whose columns are looked through; pictures are smaller
PAIRED_MAX: Final = 40  # views in which two columns are tried together
VIEWS_MAX: Final = 3_000  # ways to cut a frame that are tried for one mark
HEIGHT_MIN: Final = 320
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


def _drawn(
    trace: Mapping[str, Any],
    layout: Mapping[str, Any],
    frames: Sequence[View],
    labelled: set[str],
) -> list[str] | None:
    """Return the lines that draw a mark; none where it shows nothing; None where not found."""
    if trace.get("type") == "heatmap":
        made = grid(trace, frames, _written_at(trace, layout))
        if made:
            labelled |= {_axis_of(trace, "x"), _axis_of(trace, "y")}
        return made
    arrays = {name: listed(trace[name]) for name in _ARRAYS if is_list(trace.get(name))}
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
    for number, view in enumerate(islice(views(frames, name), VIEWS_MAX)):
        placed = placed_in(arrays, view, with_pairs=number < PAIRED_MAX)
        if placed is not None:
            return _lines(trace, [(view, *placed)])
    return _of_two(trace, arrays, frames) or _by_keys(trace, arrays, frames, name)


def _by_keys(
    trace: Mapping[str, Any], arrays: Mapping[str, list[Any]], frames: Sequence[View], name: str
) -> list[str] | None:
    """Return the lines of a mark whose words or order are the picture's own."""
    further = chain(views(frames, name), reordered(frames))
    for number, view in enumerate(islice(further, VIEWS_MAX)):
        placed = placed_in(arrays, view, with_pairs=number < PAIRED_MAX, by_keys=True)
        if placed is not None:
            return _lines(trace, [(view, *placed)])
    return None


def _of_two(
    trace: Mapping[str, Any], arrays: Mapping[str, list[Any]], frames: Sequence[View]
) -> list[str] | None:
    """Return the lines of a mark whose places are of one frame and whose values of another."""
    rest = {name: values for name, values in arrays.items() if name != "x"}
    for over in frames:
        places = placed_in({"x": arrays["x"]}, over, with_pairs=False)
        if places is None:
            continue
        for view in frames:
            for cut in [view, *cuts(view)]:
                placed = None if view is over else placed_in(rest, cut, with_pairs=False)
                if placed is not None:
                    return _lines(trace, [(over, *places), (cut, *placed)])
    return None


def _errors(trace: Mapping[str, Any]) -> dict[str, list[Any]]:
    found = {}
    for axis in ("error_x", "error_y"):
        for part in ("array", "arrayminus"):
            values = (trace.get(axis) or {}).get(part)
            if is_list(values):
                found[f"{axis}.{part}"] = listed(values)
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
    if not is_list(own.get("tickvals")) or not is_list(own.get("ticktext")):
        return None
    words = dict(zip(listed(own["tickvals"]), listed(own["ticktext"]), strict=False))
    if not all(isinstance(one, int | float) and one == int(one) for one in values):
        return None
    found = [words.get(int(one)) for one in values]
    return None if any(one is None for one in found) else found


def _written_at(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> list[Any]:
    """Return what the axis across writes at every place of a grid, where it does."""
    places = listed(trace["x"]) if is_list(trace.get("x")) else []
    return (_labels(trace, layout, "x", places) if places else None) or []


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
            name: source.replace(VIEW, own) + ".to_list()" for name, source in found.items()
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
        ends = listed(axis["range"]) if is_list(axis.get("range")) else [0, 1]
        if own.get("autorange") is False or ends[0] > ends[-1]:  # a range is of the numbers then
            own["autorange"] = "reversed" if ends[0] > ends[-1] else True
        if name in labelled:
            for key in ("tickvals", "ticktext", "tickmode", "dtick", "type"):
                own.pop(key, None)
        own = {key: listed(one) if is_list(one) else one for key, one in own.items()}
        title = (axis.get("title") or {}).get("text") if isinstance(axis.get("title"), dict) else ""
        made[name] = own | ({"title": {"text": title}} if title else {})
    return f"figure = go.Figure(layout={_as_source(made)})"
