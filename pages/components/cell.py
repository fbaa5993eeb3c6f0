"""A cell: one picture that can be questioned; definition, code, rows and export a click away.

A cell computes itself after the page is laid out, and fails alone: the rest of the page lives on.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import polars as pl
import streamlit as st

from data_access.config import PEOPLE_COLUMNS
from pages.components import (
    charts,
    embed,
    explore_cells,
    exports,
    moments,
    picture_file,
    tables,
    taken,
    text,
)
from pages.components.boundary import alone
from pages.components.load import spec
from pages.components.marks import (
    Behind,
    Mark,
    choose_next,
    chosen,
    click,
    clicked,
    panel,
    picker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import plotly.graph_objects as go

    from pages.components.view import View

MENU: Final = ("Definition", "Rows", "Code", "Export", "Explore", "Link")
_AGAIN: Final = "_again"
_HEAD_PX: Final = 96  # title, subtitle and padding around a picture
_EMPTY_PX: Final = 150  # nothing to see needs less room than something


@dataclass(frozen=True, slots=True)
class Ask:
    """Which metric with which options; `name` tells several of one cell apart."""

    metric: str
    options: tuple[tuple[str, Any], ...] = ()
    name: str = ""


def ask(metric: str, name: str = "", **options: Any) -> Ask:  # noqa: ANN401 - a metric's own options
    """Ask for a metric with options; `split` asks for it once per group of a property."""
    return Ask(metric, tuple(options.items()), name or metric)


@dataclass(frozen=True, slots=True)
class Data:
    """A cell's finished frames: `now` and `before` are the first one's; all are by name."""

    frames: Mapping[str, pl.DataFrame]
    befores: Mapping[str, pl.DataFrame]

    @property
    def now(self) -> pl.DataFrame:
        """The first frame."""
        return next(iter(self.frames.values()))

    @property
    def before(self) -> pl.DataFrame | None:
        """The first frame of the previous period, when the reader compares."""
        return next(iter(self.befores.values()), None)

    def all(self) -> pl.DataFrame:
        """Return every row of every frame in one, complete: what is exported."""
        named = [(name, frame) for name, frame in self.frames.items()]
        named += [(f"{name}, before", frame) for name, frame in self.befores.items()]
        if len(named) == 1:
            return named[0][1]
        labelled = [frame.select(pl.lit(name).alias("series"), pl.all()) for name, frame in named]
        return pl.concat(labelled, how="diagonal_relaxed")


Said: TypeAlias = "str | Callable[[Data], str | None]"
Picture: TypeAlias = "go.Figure | tables.Table"


@dataclass(frozen=True, slots=True)
class Cell:
    """Everything a cell is made of, apart from the view."""

    title: str
    asks: tuple[Ask, ...]
    draw: Callable[[Data], Picture]
    subtitle: Said
    alt: Said
    empty: str
    note: Said | None = None
    compare: bool = False
    height: int = charts.HEIGHT
    stretch: Literal["content", "stretch"] = "content"  # the latter fills a frame of another page
    is_below: bool = False  # a heading stands above it: its own is one level lower
    is_empty: Callable[[Data], bool] | None = None
    on_row: Callable[[pl.DataFrame, int], None] | None = None
    hint: str = ""
    marks: Callable[[Data], Sequence[Mark]] | None = None
    at: Callable[[dict[str, Any], Data], str | None] | None = None
    behind: Callable[[str, Data], Behind] | None = None

    @property
    def slug(self) -> str:
        """The cell's name in links and file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def cell(
    view: View,
    title: str,
    asks: Ask | list[Ask],
    draw: Callable[[Data], Picture],
    *,
    subtitle: Said,
    alt: Said,
    empty: str,
    **more: Any,  # noqa: ANN401 - the other fields of Cell
) -> None:
    """Put a cell here: `asks` are loaded, `draw` makes the picture, words say what it is.

    Parameters
    ----------
    subtitle : unit, n, and "about" when sampled; text or a function of the data.
    alt : what the picture shows, for a reader who does not see it.
    empty : why there may be nothing, and what would fill it.
    more : `note` (below the picture: what is partial), `compare` (load the previous period too),
        `height` of the picture, `is_empty` when "no rows, or only zeros" is not the test,
        `on_row` what choosing a row of a table does, `hint` the words for it, which a file and
        a frame leave out; `marks` what in the picture one can ask
        about, `at` which of them a clicked point is, `behind` who that is.
    """
    several = tuple(asks) if isinstance(asks, list) else (asks,)
    more["is_below"] = bool(view.sections)
    made = Cell(title, several, draw, subtitle, alt, empty, **more)
    if view.only is not None:
        view.alone.slugs.append(made.slug)
        if made.slug == view.only:
            view.alone.fill, view.alone.view = partial(_alone, view, made), view
        return
    place = st.container(border=True, key=f"cell-{made.slug}")
    slot = place.skeleton(made.height + _HEAD_PX) if view.is_first_look else place.container()

    def fill() -> None:
        with slot.container() if view.is_first_look else slot:
            _cell(view, made)

    view.later(fill)


def _alone(view: View, made: Cell) -> None:
    """Draw the cell as it stands in another page: nothing to click, nothing to take along."""
    st.subheader(made.title, anchor=False)
    still = replace(made, marks=None, at=None, behind=None, on_row=None, stretch="stretch")
    with alone(f"“{made.title}”"), view.recorder.timed(made.slug, made.asks[0].metric) as timed:
        data = _loaded(view, still)
        timed.rows = data.now.height
        _body(view, still, data)


@st.fragment
def _cell(view: View, made: Cell) -> None:
    """Draw the cell, or say that it failed."""
    head = st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap=None
    )
    write = head.subheader if made.is_below else head.header  # no level is left out
    write(made.title, anchor=made.slug, width="content")
    menu = head.container(width="content", key=f"menu-{made.slug}")
    metric = made.asks[0].metric
    with alone(f"“{made.title}”"), view.recorder.timed(made.slug, metric) as timed:
        data = _loaded(view, made)
        timed.rows = data.now.height
        _body(view, made, data)
        with menu:
            _menu(view, made, data)
    if st.session_state.pop(_AGAIN, False):
        st.rerun()  # a row was chosen: what depends on it is elsewhere on the page


def _loaded(view: View, made: Cell) -> Data:
    frames = {one.name: view.load(one.metric, **dict(one.options)) for one in made.asks}
    befores = {}
    if made.compare and view.previous is not None:
        befores = {
            one.name: view.load(one.metric, before=True, **dict(one.options)) for one in made.asks
        }
    return Data(frames, befores)


def _nameless(view: View, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame without who it is about, where lists of people are closed."""
    if view.facts.settings.people_lists:
        return frame
    return frame.drop(PEOPLE_COLUMNS, strict=False)


def _drawn(view: View, made: Cell, data: Data) -> Picture:
    picture = made.draw(data)
    if isinstance(picture, tables.Table):
        return replace(picture, frame=_nameless(view, picture.frame))
    return picture


def _body(view: View, made: Cell, data: Data) -> None:
    sample, subtitle = _sample(view, made), _words(made.subtitle, data)
    if subtitle and made.hint and made.on_row is not None:
        subtitle = f"{subtitle}. {made.hint}"
    if sample is not None:
        words = text.about(subtitle or "Estimated from a sample", sample)
        st.caption(words, help=text.estimated(sample))
    elif subtitle:
        st.caption(subtitle)
    if (made.is_empty or _nothing)(data):
        with st.container(
            height=_EMPTY_PX, border=False, vertical_alignment="center", key=f"empty-{made.slug}"
        ):
            st.caption(f":material/hourglass_empty: {made.empty}", text_alignment="center")
    else:
        drawn, alt = _drawn(view, made, data), _words(made.alt, data) or made.title
        if isinstance(drawn, tables.Table):
            _table(view, made, drawn, alt)
        else:
            if moments.time_axis(drawn):
                moments.annotated(drawn, moments.of(view))
            _figure(made, drawn, data, alt)
        if made.marks is not None and made.behind is not None:
            _who(view, made, data, made.marks(data), made.behind)
    note = _words(made.note, data)
    if note:
        st.caption(f":material/info: {note}")


def _who(
    view: View,
    made: Cell,
    data: Data,
    offered: Sequence[Mark],
    behind: Callable[[str, Data], Behind],
) -> None:
    """Offer the marks of the picture, and show who is behind the one chosen."""
    picker(made.slug, made.title, offered, _again)
    token = chosen(made.slug)
    if token is None:
        return
    if token not in {mark.token for mark in offered}:
        st.caption(":material/info: The link asks for a mark that is not in this picture.")
        return
    with alone(f"Who is behind “{made.title}”"):
        panel(view, made.slug, behind(token, data), _again)


def _figure(made: Cell, drawn: go.Figure, data: Data, alt: str) -> None:
    """Draw the picture; where it leads to people, a click on a mark chooses it."""
    at = made.at
    if at is None:
        if made.stretch == "stretch":
            drawn.layout.height = None
        st.plotly_chart(drawn, config=charts.CONFIG, alt=alt, height=made.stretch)
        return
    key = f"chart-{made.slug}"
    was_clicked, point = clicked(key)
    if was_clicked:
        choose_next(made.slug, at(point, data) if point else None)
        _again()
    st.plotly_chart(
        drawn,
        config=charts.CONFIG,
        alt=alt,
        key=key,
        on_select=partial(click, key),
        selection_mode="points",
    )


def _again() -> None:
    """Run the whole page once more: what was chosen is in the link, which the frame writes."""
    st.session_state[_AGAIN] = True


def _sample(view: View, made: Cell) -> text.Sample | None:
    return view.sample(*(one.metric for one in made.asks))


def _table(view: View, made: Cell, drawn: tables.Table, alt: str) -> None:
    if made.on_row is None:
        tables.show(drawn, timezone=view.timezone, alt=alt)
        return
    key, on_row = f"rows-{made.slug}", made.on_row

    def chosen() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            on_row(drawn.frame, rows[0])
            _again()

    tables.show(
        drawn,
        timezone=view.timezone,
        alt=alt,
        key=key,
        on_select=chosen,
        selection_mode="single-row",
    )


def _nothing(data: Data) -> bool:
    """Say whether no frame holds anything but zeros and gaps."""
    for frame in data.frames.values():
        numbers = frame.select(pl.selectors.numeric())
        if frame.height and not numbers.width:
            return False
        if any(frame[name].fill_null(0).abs().sum() for name in numbers.columns):
            return False
    return True


def _words(said: Said | None, data: Data) -> str | None:
    return said(data) if callable(said) else said


# --- the menu --------------------------------------------------------------------------------


def _menu(view: View, made: Cell, data: Data) -> None:
    popover = st.popover(
        "Details",
        type="tertiary",
        help=f"{made.title}: {', '.join(name.lower() for name in MENU)}",
        key=f"details-{made.slug}",
        on_change="rerun",
    )
    if not popover.open:
        return
    with popover:
        definition, rows, code, files, questions, link = st.tabs(MENU)
        names = dict.fromkeys(one.metric for one in made.asks)
        specs = [found for found in map(spec, names) if found is not None]
        sample = _sample(view, made)
        with definition:
            if sample is not None:
                st.caption(text.about(text.estimated(sample), sample))
            for one in specs:
                st.markdown(text.definition_markdown(one.definition))
        with rows:
            _rows(view, made, data)
        with code:
            for one in specs:
                st.code(one.code, language="python", height=360)
        with files:
            _files(view, made, data)
        with questions:
            explore_cells.offer(view, made.title, made.slug, made.asks, _again)
        with link:
            st.caption("Shows exactly this, today and next year.")
            st.code(f"{view.link}#{made.slug}", language=None, wrap_lines=True)
            st.caption(
                "Shows this picture alone, read-only, in another page; “last 28 days” moves on. "
                "Which pages may do so is `server.embed_origins` in telemetry.toml."
            )
            st.code(
                embed.snippet(view.mover(), made.slug, made.height),
                language="html",
                wrap_lines=True,
            )


def _rows(view: View, made: Cell, data: Data) -> None:
    for name, frame in data.frames.items():
        shown = f"the first {tables.ROWS_MAX:,} of {frame.height:,}; exports hold all"
        st.caption(
            f"{text.escaped(name)}: "
            + (shown if frame.height > tables.ROWS_MAX else text.some(frame.height, "row"))
        )
        which = f": {name}" if len(data.frames) > 1 else ""
        tables.rows(
            _nameless(view, frame),
            timezone=view.timezone,
            alt=f"The rows behind {made.title}{which}.",
        )


def _files(view: View, made: Cell, data: Data) -> None:
    frame, subtitle = _nameless(view, data.all()), _words(made.subtitle, data) or ""
    empty = (made.is_empty or _nothing)(data)
    drawn = None if empty else _drawn(view, made, data)
    figure = None if isinstance(drawn, tables.Table) else drawn
    words, about = (subtitle, _words(made.note, data) or ""), taken.about(view, made)
    shown = drawn
    if figure is not None and moments.time_axis(figure):  # a notebook draws the numbers alone
        shown = moments.annotated(deepcopy(figure), moments.of(view))
    exports.files(
        frame,
        about,
        f"{made.slug}-{view.window.start}-{view.last_shown_day()}",
        key=made.slug,
        limit=view.facts.settings.limits.export_rows,
        story=partial(taken.story, view, made, data, about, words, figure),
        picture=None if shown is None else picture_file.of(shown, about, subtitle, view.timezone),
    )
