"""A heatmap as source: which columns of a frame it is made of, down, across and in the fields."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.notebook.literals import quoted
from pages.components import palette
from pages.components.redrawn_views import View, cuts, equal, listed, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FIELDS_MAX: Final = 5_000  # of a frame that a grid may be of


def grid(
    trace: Mapping[str, Any], frames: Sequence[View], labels: Sequence[Any] = ()
) -> list[str] | None:
    """Return the lines that draw a heatmap: one column down, one across, one in the fields.

    `labels` are what is written across, in its order.
    """
    rows = [listed(one) for one in _listed_rows(trace.get("z"))]
    if len(rows) <= 1 or not rows[0]:
        return []  # a single line beside the grid says what the grid says in sum
    for view in frames:
        for cut in _cuts(view) if view.frame.height <= FIELDS_MAX else ():
            found = _dealt(rows, cut, labels)
            if found is None:
                continue
            down, across, value, downs, acrosses = found
            cells = f"{cut.source}.select({quoted(down)}, {quoted(across)}, {quoted(value)})"
            tones = [[at, palette.LIGHT.get(str(one), str(one))] for at, one in palette.scale()]
            return [
                f"_fields = {{(row, column): value for row, column, value in {cells}.iter_rows()}}",
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


def _cuts(view: View) -> Iterator[View]:
    """Yield a view, its cuts, logarithms, and pairs both ways round."""
    yield view
    yield from cuts(view)
    for name, kind in view.frame.schema.items():
        if kind.is_float():
            log = pl.when(pl.col(name) > 0).then(pl.col(name).log10())
            source = f"pl.when(pl.col({quoted(name)}) > 0).then(pl.col({quoted(name)}).log10())"
            frame = view.frame.with_columns(log.alias(name))
            yield View(f"{view.source}.with_columns({source})", frame, view.timezone)
    names = [name for name, kind in view.frame.schema.items() if kind == pl.String]
    if len(names) == 2:  # noqa: PLR2004 - a pair
        one, other = names
        turned = {one: other, other: one}
        both = pl.concat([view.frame, view.frame.rename(turned).select(view.frame.columns)])
        again = f"{view.source}.rename({_renamed(turned)}).select({view.source}.columns)"
        yield View(f"pl.concat([{view.source}, {again}])", both, view.timezone)


def _renamed(names: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{quoted(old)}: {quoted(new)}" for old, new in names.items()) + "}"


def _listed_rows(value: Any) -> list[Any]:  # noqa: ANN401 - a table in any form
    return list(value.tolist() if hasattr(value, "tolist") else value or [])


def _dealt(
    rows: list[list[Any]], view: View, labels: Sequence[Any]
) -> tuple[str, str, str, list[Any], list[Any]] | None:
    """Return which columns a grid is made of, and what stands down and across."""
    keys = [
        name
        for name, kind in view.frame.schema.items()
        if (not kind.is_float() or "from" in name.split("_"))
        and not kind.is_nested()
        and kind != pl.Boolean
    ]
    values = [name for name, kind in view.frame.schema.items() if kind.is_float()]
    for down in keys:
        for across in keys:
            if down == across:
                continue
            for value in values:
                if value in {down, across}:
                    continue
                found = _fitted(rows, view, (down, across, value), labels)
                if found is not None:
                    return (down, across, value, *found)
    return None


def _fitted(
    rows: list[list[Any]], view: View, names: tuple[str, str, str], labels: Sequence[Any]
) -> tuple[list[Any], list[Any]] | None:
    down, across, value = names
    fields: dict[tuple[Any, Any], Any] = {}
    for one, other, number in view.frame.select(down, across, value).iter_rows():
        fields[one, other] = plain(number)
    downs, acrosses = (
        view.frame[name].unique(maintain_order=True).to_list() for name in (down, across)
    )
    width = len(rows[0])
    for columns in _runs(acrosses, width, labels):
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


def _runs(values: list[Any], width: int, labels: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the ways to take so many of them in a row: as labelled, in their order, sorted."""
    if len(values) < width:
        return
    if len(labels) == width and set(labels) <= set(values):
        yield list(labels)
    orders = [values]
    if all(isinstance(one, type(values[0])) for one in values) and None not in values:
        orders.append(sorted(values))
    for order in orders:
        for start in range(len(order) - width + 1):
            yield order[start : start + width]


def _fits(row: list[Any], fields: list[Any]) -> bool:
    """Tell whether a line of the grid is those fields; what it leaves empty is left open."""
    some = [(one, other) for one, other in zip(row, fields, strict=True) if one is not None]
    return all(equal(one, other) for one, other in some)


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
