"""Who uses what: a cell of people by language, region or editor, and who is behind each bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.metrics.by_property import OTHER
from pages.components import charts, marks, pictures, product_charts, text
from pages.components.cell import ask, cell
from pages.components.marks import Behind, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from pages.components.cell import Data
    from pages.components.view import View

BARS: Final = 10
SERIES: Final = 6
_NAMED: Final = "v:"  # before a value in a link, so that a value called "none" is one
_NONE: Final = "none"


def token_of(value: str | None) -> str:
    """Return what a link calls a value; null is none named."""
    return _NONE if value is None else f"{_NAMED}{value}"


def value_of(token: str) -> str | None:
    """Return the value a link names."""
    return token.removeprefix(_NAMED) if token.startswith(_NAMED) else None


def of_value(frame: pl.DataFrame, column: str, token: str) -> pl.DataFrame:
    """Return the rows of the value a link names."""
    value = value_of(token)
    return frame.filter(pl.col(column).is_null() if value is None else pl.col(column) == value)


def ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the values somebody names, most people first; the rest, and none, come last."""
    rest = pl.col("value").is_null().cast(pl.Int8) * 2 + (
        pl.col("value").fill_null("") == OTHER
    ).cast(pl.Int8)
    return frame.filter(pl.col("users") > 0).sort(
        rest, "users", "value", descending=[False, True, False], nulls_last=True
    )


def by_value(
    view: View,
    title: str,
    key: str,
    *,
    subtitle: str,
    empty: str,
    channels: Sequence[str] = (),
) -> None:
    """Put a cell of people by the values of a property here; a click shows who they are."""
    asked: dict[str, Any] = {
        "key": key,
        "most": BARS,
        "least_users": view.facts.settings.group_users_min,
        "channels": tuple(channels),
    }
    cell(
        view,
        title,
        ask("by_property", **asked),
        lambda data: _bars(data.now),
        subtitle=subtitle,
        alt=lambda data: "; ".join(_said(ordered(data.now))),
        empty=empty,
        is_empty=_is_empty,
        marks=lambda data: _marks(ordered(data.now)),
        at=marks.token_at,
        behind=lambda token, data: _behind(view, token, data, asked),
    )


def over_weeks(
    view: View,
    title: str,
    key: str,
    *,
    subtitle: str,
    empty: str,
    channels: Sequence[str] = (),
) -> None:
    """Put the share of people with each value here, week by week."""
    cell(
        view,
        title,
        ask(
            "by_property",
            key=key,
            every="1w",
            most=SERIES,
            least_users=view.facts.settings.group_users_min,
            channels=tuple(channels),
        ),
        lambda data: charts.lines(
            *pictures.spread(_named(data.now), "value", "share"),
            kind="percent",
            open_from=view.open_from("1w"),
            labels_max=SERIES + 1,
        ),
        subtitle=subtitle,
        alt=lambda data: pictures.said_bars(
            _named(data.now).tail(SERIES), "value", "users", most=SERIES
        ),
        empty=empty,
        is_empty=_is_empty,
    )


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a value somebody names."""
    return frame.filter(pl.col("value").is_not_null())


def _is_empty(data: Data) -> bool:
    return not _named(data.now).height


def _bars(frame: pl.DataFrame) -> go.Figure:
    """Draw a bar per value with its people, their share and its events."""
    rows = ordered(frame).with_columns(pl.col("value").fill_null(text.NO_NAME).alias("_name"))
    said = [
        f"{text.count(users)} · {text.percent(share)}"
        for users, share in rows.select("users", "share").iter_rows()
    ]
    drawn = charts.bars(rows, name="_name", value="users", said=said, most=BARS + 2)
    return product_charts.clickable(drawn, [token_of(value) for value in rows["value"]])


def _said(rows: pl.DataFrame) -> list[str]:
    return [
        f"{text.plain(value) if value is not None else text.NO_NAME}: "
        f"{text.some(users, 'person', 'people')}"
        for value, users in rows.select("value", "users").iter_rows()
    ]


def _marks(rows: pl.DataFrame) -> list[Mark]:
    return [
        Mark(words, token_of(value))
        for words, value in zip(_said(rows), rows["value"], strict=True)
    ]


def _behind(view: View, token: str, data: Data, asked: dict[str, Any]) -> Behind:
    """Return the people under one value, most events first."""
    people = of_value(view.load("property_users", **asked), "value", token)
    row = of_value(data.now, "value", token)
    value = value_of(token)
    name = text.escaped(value) if value is not None else text.NO_NAME
    many = text.some(float(row["users"].sum()), "person", "people")
    shown = people.drop("value").sort("events", "user_id_hash", descending=[True, False])
    return Behind(shown, f"{many} under {name}")
