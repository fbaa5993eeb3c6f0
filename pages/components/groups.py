"""A number over time once per group of a property: the cell a breakdown adds to a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pages.components import charts, options, pictures, text
from pages.components.cell import ask, cell

if TYPE_CHECKING:
    from pages.components.view import View


def over_time(  # noqa: PLR0917 - where, what is counted, and from which column
    page: str,
    view: View,
    what: str,
    metric: str,
    column: str,
    kind: str = "count",
    **asked: Any,  # noqa: ANN401 - the metric's own options
) -> None:
    """Offer a breakdown, and draw a line per group when one is chosen.

    Parameters
    ----------
    page : the page's address, for the link.
    what : what the lines count, in words for the title.
    metric, column : where the numbers come from: a metric with a row per period.
    kind : how they are written, as in `charts.lines`.
    asked : the metric's own options.
    """
    split = options.breakdown(page, view)
    if split is None:
        return
    name = text.escaped(split)
    cell(
        view,
        f"{what} by {name}",
        ask(metric, split=split, **asked),
        lambda data: charts.lines(
            *pictures.spread(data.now, "group", column), kind=kind, open_from=view.open_from("1d")
        ),
        subtitle=f"Per day, by {name}; one person may be in two groups, and groups of few people "
        "are in “other”",
        alt=lambda data: pictures.said(data.now, column, f"{what.lower()} by {name} and day"),
        empty=f"No {name} has five people here. Fewer could be recognised: "
        '`small_groups = "show"` in telemetry.toml shows them.',
    )
