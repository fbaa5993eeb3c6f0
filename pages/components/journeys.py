"""What the Journeys page asks for, says and lists: its choices, sentences, tables and people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

from data_access.links import BY_ID, ITEMS, WAY_DEPTH, WAYS
from pages.components import journey_charts, options, palette, pictures, text
from pages.components.boundary import alone
from pages.components.headline import Number
from pages.components.marks import Behind, Mark
from pages.components.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from pages.components.cell import Data
    from pages.components.view import View

PAGE: Final = "journeys"
ANY: Final = "any"
GAP_WORDS: Final = {"10m": "10 minutes", "30m": "30 minutes", "2h": "2 hours"}
GAPS: Final = (*GAP_WORDS, BY_ID)
PAID: Final = "paid_subscription_started"
SILENT_DAYS: Final = 14
GROUPS: Final = 6
COMPARED: Final = 6
BETWEEN: Final = " > "
UNLIKELY: Final = 0.05  # a p value below this is shown
TELLING: Final = 0.01  # a p value below this, shared by all items, is worth a sentence
MAJORITY: Final = 0.5
EARLY: Final = 0.03  # a place where this share of all sessions stops is worth a sentence


@dataclass(frozen=True, slots=True)
class Choice:
    """The reader's choices on this page."""

    by: dict[str, str]
    start: str | None
    end: str | None
    depth: int
    most: int
    hide: tuple[str, ...]
    item: str
    goal: str
    split: str | None

    @property
    def shape(self) -> dict[str, Any]:
        """Options of the metrics over paths."""
        ends = {"start": self.start, "end": self.end}
        noise = {"hide": self.hide, "item": self.item}
        return {**self.by, **ends, "depth": self.depth, "most": self.most, **noise}

    @property
    def all_sessions(self) -> dict[str, Any]:
        """Options that leave no session out."""
        return {**self.by, "item": self.item}

    @property
    def way(self) -> dict[str, Any]:
        """Options of the metrics over people's ways to the goal."""
        return {"goal": self.goal, "depth": WAY_DEPTH, "hide": self.hide, "item": self.item}

    @property
    def is_whole(self) -> bool:
        """Whether every session is in the picture."""
        return not (self.start or self.end or self.hide)


def choices(view: View) -> Choice:
    """Offer what to draw; every choice is in the link."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key="journey-choices")
    more = row.popover("More choices", icon=":material/tune:")
    with more:
        kind = options.choose(PAGE, "item", "A step is", list(ITEMS), "event")
        gap = options.choose(
            PAGE,
            "gap",
            "A session ends after",
            GAPS,
            "30m",
            help="A silence longer than this; or take sessions by their id, as Overview does.",
        )
        depth = options.number(PAGE, "depth", "Steps", 5, 2, 8)
        most = options.number(PAGE, "most", "Items per step", 6, 2, 12, help="The rest is “other”.")
        split = options.breakdown(PAGE, view)
    by = {"by": "session_id"} if gap == BY_ID else {"gap": gap}
    names = _items(view, {**by, "item": ITEMS[kind]})
    events = list(view.facts.choices.get("events", ()))
    with row:
        start = options.choose(PAGE, "start", "From", [ANY, *names], ANY)
        end = options.choose(PAGE, "end", "To", [ANY, *names], ANY)
        goal = options.choose(PAGE, "goal", "The goal of people", events, PAID)
    hide = options.several(
        PAGE, "hide", "Leave out", names, placeholder="Noise: steps that say little"
    )
    ends = [None if one == ANY else one for one in (start, end)]
    return Choice(by, ends[0], ends[1], depth, most, hide, ITEMS[kind], goal, split)


def _items(view: View, asked: dict[str, Any]) -> list[str]:
    names: list[str] = []
    with alone("The list of steps", quiet=True):  # the cells say so already
        totals = view.load("path_steps", **asked).group_by("item").agg(pl.col("sessions").sum())
        names.extend(totals.sort("sessions", "item", descending=[True, False])["item"])
    return names


# --- the headline and the reading ------------------------------------------------------------


def numbers(view: View, choice: Choice) -> list[Number]:
    """Return the headline: sessions, where they stop, newcomers, who fell silent, who paid."""
    steps, past = _twice(view, "path_steps", **choice.all_sessions)
    first, first_past = (frame.filter(pl.col("step") == 1) for frame in (steps, past))
    people, people_past = _twice(view, "journey_map", silent_days=SILENT_DAYS)
    ways, ways_past = _twice(view, "journeys", **choice.way, top=WAYS)
    return [
        replace(
            _count(view, "Sessions", "path_steps", (first, first_past), "sessions"),
            note=f"{text.count(pictures.total(first, 'sessions'))} sessions, {_parted(choice)}.",
        ),
        _rate(
            view,
            "Stop after one step",
            "path_steps",
            (first, first_past),
            ("ended", "sessions"),
            -1,
        ),
        _count(view, "Newcomers", "journey_map", (people.head(1), people_past.head(1)), "users"),
        _rate(
            view,
            "Newcomers fallen silent",
            "journey_map",
            (people, people_past),
            ("silent", "furthest"),
            -1,
        ),
        _count(
            view,
            "Reached the goal",
            "journeys",
            tuple(frame.filter("converted").head(1) for frame in (ways, ways_past)),
            "group_users",
        ),
    ]


Twice = tuple[pl.DataFrame, pl.DataFrame]


def _twice(view: View, metric: str, **asked: Any) -> Twice:  # noqa: ANN401 - a metric's own options
    now = view.load(metric, **asked)
    return now, view.load(
        metric, before=True, **asked
    ) if view.previous is not None else now.clear()


def _count(
    view: View, label: str, metric: str, frames: Sequence[pl.DataFrame], column: str
) -> Number:
    now, past = (pictures.total(frame, column) for frame in frames)
    change = text.change(now, past) if view.previous is not None else None
    return Number(label, text.count(now), change, metric)


def _rate(  # noqa: PLR0917 - what a number is made of, in this order
    view: View, label: str, metric: str, frames: Twice, columns: tuple[str, str], good: int
) -> Number:
    now, past = (
        (pictures.total(frame, columns[0]), pictures.total(frame, columns[1])) for frame in frames
    )
    change = text.change_of_rate(now, past) if view.previous is not None else None
    note = f"{text.count(now[0])} of {text.count(now[1])}."
    return Number(label, text.rate(*now), change, metric, good, (), note)


def sentences(view: View, choice: Choice) -> list[str]:
    """Say what converters do, where newcomers fall silent, how sessions begin and stop."""
    found = [
        _telling(view, choice),
        _falling_silent(view),
        _beginning(view, choice),
        _stopping(view, choice),
    ]
    return [one for one in found if one]


def _telling(view: View, choice: Choice) -> str | None:
    items = view.load("journey_items", **choice.way)
    telling = items.filter(
        pl.col("p_value") < TELLING / max(items.height, 1),
        pl.col("share_converted") > pl.col("share_others"),
        pl.col("users_converted") >= text.SAY_MIN,
    ).sort(pl.col("share_converted") - pl.col("share_others"), descending=True)
    if telling.is_empty():
        return None
    top = telling.row(0, named=True)
    return (
        f"Of those who reached **{text.escaped(choice.goal)}**, "
        f"**{text.percent(top['share_converted'])}** had {text.escaped(top['item'])} among their "
        f"first {WAY_DEPTH} steps; of the others {text.percent(top['share_others'])}."
    )


def _falling_silent(view: View) -> str | None:
    people = view.load("journey_map", silent_days=SILENT_DAYS)
    silent = pictures.total(people, "silent")
    if silent < text.SAY_MIN:
        return None
    top = people.sort("silent", descending=True).row(0, named=True)
    sample = view.sample("journey_map")
    many = text.about(text.share(silent, pictures.total(people, "furthest"), "newcomers"), sample)
    verb = "have" if silent != 1 else "has"
    most = text.about(text.count(top["silent"]), sample)
    return (
        f"**{many}** {verb} fallen silent; most of them ({most}) had got as far as "
        f"**{text.escaped(top['name'])}**."
    )


def _beginning(view: View, choice: Choice) -> str | None:
    steps = view.load("path_steps", **choice.all_sessions).filter(pl.col("step") == 1)
    total = pictures.total(steps, "sessions")
    if total < text.SAY_MIN:
        return None
    top = steps.sort("sessions", "item", descending=[True, False]).row(0, named=True)
    share, name = top["sessions"] / total, text.escaped(top["item"])
    if share > MAJORITY:
        return f"Most sessions begin with **{name}** ({text.percent(share)})."
    return f"More sessions begin with **{name}** than with anything else ({text.percent(share)})."


def _stopping(view: View, choice: Choice) -> str | None:
    steps = view.load("path_steps", **choice.all_sessions)
    total = pictures.total(steps.filter(pl.col("step") == 1), "sessions")
    stops = steps.filter(
        pl.col("step") < pl.col("step").max(),
        pl.col("ended") >= max(text.SAY_MIN, EARLY * total),
    )
    if stops.is_empty():
        return None
    step, item, n = stops.sort("ended", descending=True).select("step", "item", "ended").row(0)
    return (
        f"**{text.percent(n / total)}** of sessions stop after step {step}, "
        f"{text.escaped(item)}: nowhere do more stop so early."
    )


# --- the flow --------------------------------------------------------------------------------


def flow(data: Data, choice: Choice) -> go.Figure:
    """Draw the flow; what reached the end has not dropped off, so no stops are drawn then."""
    return journey_charts.flow(_stops(data, choice), data.frames["paths"])


def _stops(data: Data, choice: Choice) -> pl.DataFrame:
    nothing = pl.lit(0.0).alias("ended")
    return data.now.with_columns(nothing) if choice.end else data.now


def counted(view: View, data: Data, choice: Choice) -> str:
    """Say how many sessions the flow holds, and of how many."""
    shown = pictures.total(data.now.filter(pl.col("step") == 1), "sessions")
    every = view.load("path_steps", **choice.all_sessions).filter(pl.col("step") == 1)
    of = "" if choice.is_whole else f" of {text.count(pictures.total(every, 'sessions'))}"
    noun = "session" if choice.is_whole and shown == 1 else "sessions"
    return f"{text.count(shown)}{of} {noun}, {_parted(choice)}; top to bottom, wide is many"


def _parted(choice: Choice) -> str:
    """Say what makes a session: the headline of Overview may count them the other way."""
    if "by" in choice.by:
        return "by their id, as on Overview"
    return f"a new one after {GAP_WORDS[choice.by['gap']]} of silence (Overview goes by their id)"


def flow_note(data: Data, choice: Choice) -> str | None:
    """Say how to read it, and what is not in it."""
    if data.now.is_empty():
        return None
    if choice.is_whole:
        return (
            "Every session of the period is in it. Hatched is what stopped in the row above; what "
            "goes on after the last row is not drawn. Equal steps in a row are one."
        )
    hatched = "" if choice.end else " Hatched is what stopped in the row above."
    return f"Sessions without the chosen steps are left out.{hatched} Equal steps in a row are one."


def flow_said(data: Data) -> str:
    """Say the flow for somebody who does not see it: the commonest item of each step."""
    tops = data.now.sort("sessions", "item", descending=[True, False]).unique(
        "step", keep="first", maintain_order=True
    )
    said = [
        f"step {step}: {text.plain(item)}, {text.count(n)}"
        for step, item, n in tops.sort("step").select("step", "item", "sessions").iter_rows()
    ]
    return "The flow of sessions; the commonest of each step: " + "; ".join(said)


def flow_marks(data: Data, choice: Choice) -> list[Mark]:
    """Return every box and ribbon, the largest first within their step."""
    boxes, ribbons = journey_charts.laid_out(_stops(data, choice), data.frames["paths"])
    items = [
        (box.step, -box.sessions, Mark(_box_words(box), box.token))
        for box in boxes
        if box.item != journey_charts.STOPPED
    ]
    links = [
        (one.source.step + 0.5, -one.sessions, Mark(_ribbon_words(one), one.token))
        for one in ribbons
    ]
    return [mark for *_, mark in sorted([*items, *links], key=lambda one: one[:2])]


def _box_words(box: journey_charts.Box) -> str:
    return f"Step {box.step}, {text.plain(box.item)}: {text.some(box.sessions, 'session')}"


def _ribbon_words(ribbon: journey_charts.Ribbon) -> str:
    source, target = text.plain(ribbon.source.item), text.plain(ribbon.target.item)
    many = text.some(ribbon.sessions, "session")
    if ribbon.target.item == journey_charts.STOPPED:
        return f"Step {ribbon.source.step}, {source}, and nothing after it: {many}"
    return f"Step {ribbon.source.step}, {source}, then {target}: {many}"


def flow_at(point: dict[str, Any], _: Data) -> str | None:
    """Return the box or ribbon of a clicked point."""
    found = point.get("customdata")
    token = str(found[0]) if isinstance(found, list) and found else None
    return None if token is None or token.endswith(BETWEEN + journey_charts.STOPPED) else token


def flow_behind(view: View, token: str, data: Data, choice: Choice) -> Behind:
    """Return the people behind a box or a ribbon."""
    words = {mark.token: mark.label for mark in flow_marks(data, choice)}
    boxes, ribbons = journey_charts.laid_out(_stops(data, choice), data.frames["paths"])
    asked: dict[str, Any] | None = None
    for box in boxes:
        if box.token == token:
            asked = {"step": box.step, "source": box.item}
    for one in ribbons:
        if one.token == token:
            asked = {"step": one.source.step, "source": one.source.item}
            stops = one.target.item == journey_charts.STOPPED
            asked |= {"ended": True} if stops else {"target": one.target.item}
    if asked is None or token not in words:
        return Behind(
            pl.DataFrame({"user_id_hash": pl.Series([], dtype=pl.String)}), "Nothing there"
        )
    people = view.load("path_users", **asked, **choice.shape)
    return Behind(
        people.sort("sessions", "user_id_hash", descending=[True, False]),
        text.escaped(words[token], most=200),
    )


# --- the map ---------------------------------------------------------------------------------

_STATES: Final = {
    "reached": "reached it",
    "here": "are here, still active",
    "silent": "fell silent",
}


def nobody_new(data: Data) -> bool:
    """Say whether there is no newcomer."""
    return not data.now["users"].sum()


def map_marks(data: Data) -> list[Mark]:
    """Return per milestone who reached it, who fell silent there, and who is still there."""
    columns = {"reached": "users", "silent": "silent", "here": "here"}
    return [
        Mark(
            f"{text.plain(row['name'])}: {_some_people(row[column])} {_STATES[state]}",
            f"{row['milestone']} {state}",
        )
        for row in data.now.iter_rows(named=True)
        for state, column in columns.items()
        if row[column]
    ]


def _some_people(number: float) -> str:
    return text.some(number, "person", "people")


def map_at(point: dict[str, Any], _: Data) -> str | None:
    """Return the part of a bar that was clicked; the pale one is everybody who reached it."""
    found = point.get("customdata")
    if not isinstance(found, list) or not found:
        return None
    number, label = str(found[0]).split(" ", 1)
    states = {journey_charts.SILENT: "silent", journey_charts.HERE: "here"}
    return f"{number} {states.get(label, 'reached')}"


def map_behind(view: View, token: str, data: Data) -> Behind:
    """Return the people behind a part of the map."""
    words = {mark.token: mark.label for mark in map_marks(data)}
    number, _, state = token.partition(" ")
    people = view.load("journey_users", silent_days=SILENT_DAYS)
    at = int(number) if number.isdecimal() else -1
    if state == "reached":
        kept = people.filter(pl.col("reached").list.contains(at))
    else:
        kept = people.filter(milestone=at, silent=state == "silent")
    shown = kept.sort("last_active", "user_id_hash", descending=[True, False], nulls_last=True)
    return Behind(
        shown.select("user_id_hash", "first_seen", "last_active"),
        text.escaped(words.get(token, "Nobody"), most=200),
    )


def map_said(data: Data) -> str:
    """Say the map: each milestone with how many reached it and fell silent."""
    return "; ".join(
        f"{text.plain(row['name'])}: {text.count(row['users'])} reached it, "
        f"{text.count(row['silent'])} fell silent there"
        for row in data.now.iter_rows(named=True)
    )


def by_group(data: Data) -> Table:
    """Return a row per group of newcomers: how many got how far, and how many fell silent."""
    rows = data.now.filter(milestone=0).select("group", pl.col("users").alias("newcomers"))
    columns = {"group": "Group", "newcomers": "Newcomers"}
    for number, name in (
        data.now.filter(pl.col("milestone") > 0)
        .select("milestone", "name")
        .unique()
        .sort("milestone")
        .iter_rows()
    ):
        at = data.now.filter(milestone=number)
        rows = rows.join(at.select("group", pl.col("rate").alias(f"_{number}")), on="group")
        columns[f"_{number}"] = text.plain(name, most=30)
    silent = data.now.group_by("group").agg(pl.col("silent", "furthest").sum())
    rows = rows.join(silent, on="group", maintain_order="left").with_columns(
        (pl.col("silent") / pl.col("furthest")).alias("_silent")
    )
    kinds = {name: "percent" for name in columns if name.startswith("_")} | {"_silent": "percent"}
    return Table(rows, {**columns, "_silent": "Fell silent"}, kinds, rows=GROUPS)


# --- ways to the goal ------------------------------------------------------------------------


def ways(data: Data, *, converted: bool) -> go.Figure:
    """Draw the commonest ways of one group, on the axis of both."""
    rows = _of(data, converted=converted)
    named = rows.with_columns(pl.Series("path", [_way_words(path) for path in rows["path"]]))
    colour = palette.colour("paid") if converted else palette.QUIET
    return journey_charts.ways(named, most=max(data.now["share"], default=1.0), colour=colour)


def _of(data: Data, *, converted: bool) -> pl.DataFrame:
    return data.now.filter(pl.col("converted") == converted)


def way_people(data: Data, *, converted: bool) -> str:
    """Say how many people the group has."""
    rows = _of(data, converted=converted)
    n = rows["group_users"][0] if rows.height else 0.0
    return (
        f"{text.some(n, 'person', 'people')}; their first {WAY_DEPTH} different steps of the period"
    )


def no_way(data: Data, *, converted: bool) -> bool:
    """Say whether the group is empty."""
    return _of(data, converted=converted).is_empty()


def way_marks(data: Data, *, converted: bool) -> list[Mark]:
    """Return a mark per way, by its rank."""
    rows = _of(data, converted=converted).select("rank", "path", "users").iter_rows()
    return [
        Mark(f"{rank}. {_way_words(path)}: {_some_people(n)}", str(rank)) for rank, path, n in rows
    ]


def _way_words(path: str) -> str:
    return path.replace(BETWEEN, journey_charts.ARROW) or "at once"


def ways_said(data: Data, *, converted: bool) -> str:
    """Say the ways, one after the other."""
    return "; ".join(mark.label for mark in way_marks(data, converted=converted))


def way_at(point: dict[str, Any], _: Data) -> str | None:
    """Return the way whose bar was clicked."""
    found = point.get("customdata")
    return str(found[0]) if isinstance(found, list) and found else None


def way_behind(view: View, choice: Choice, token: str, data: Data, *, converted: bool) -> Behind:
    """Return the people who went one way."""
    row = _of(data, converted=converted).filter(pl.col("rank").cast(pl.String) == token)
    if row.is_empty():
        return Behind(
            pl.DataFrame({"user_id_hash": pl.Series([], dtype=pl.String)}), "Nothing there"
        )
    path = row["path"][0]
    people = view.load("journey_path_users", path=path, converted=converted, **choice.way)
    shown = _way_words(path)
    return Behind(
        people, text.escaped(f"{text.some(row['users'][0], 'person', 'people')}: {shown}", most=200)
    )


def most_telling(data: Data) -> pl.DataFrame:
    """Return what those who reached the goal did more often than chance makes likely.

    Of two or three people the p value says too much.
    """
    difference = pl.col("share_converted") - pl.col("share_others")
    people = pl.col("users_converted") / pl.col("share_converted")
    return (
        data.now.filter(
            difference > 0, pl.col("p_value") < UNLIKELY, people.round() >= text.SAY_MIN
        )
        .sort(difference, "item", descending=[True, False])
        .head(COMPARED)
    )
