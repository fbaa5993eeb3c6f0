"""What the page on the extension says: its numbers, cells, sentences, and who is behind a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pages.components import charts, marks, palette, pictures, product_charts, text
from pages.components.cell import ask, cell
from pages.components.headline import Number
from pages.components.marks import Behind, Mark
from pages.components.tables import Table

if TYPE_CHECKING:
    from datetime import date

    import plotly.graph_objects as go

    from pages.components.cell import Data
    from pages.components.view import View

CHANNEL: Final = "extension"
NEVER: Final = "never"
NEVER_SAID: Final = 0.1  # a tenth who never use what they installed is news
LEAVES_SAID: Final = 0.5  # and so is half of those who did and did not come back
MOVED_SAID: Final = 0.1  # a share that moved by a tenth of itself
PEOPLE_MIN: Final = 20
ROWS: Final = 10
NO_INSTALLS: Final = (
    "Nobody who installed it is through their second week. Send `install` and "
    "`extension_activated` from the extension."
)
TIME_A_DAY: Final = "duration_ms_a_day"
_SECOND: Final = 1_000.0


# --- the headline ----------------------------------------------------------------------------


def numbers(view: View, weeks: View) -> list[Number]:
    """Return the headline: installs, how far they get, time a day and failures."""
    installed, before = _installed(view, before=False), _installed(view, before=True)
    days = view.load("extension_activation", every="1d")
    past = charts.spark(days.filter(pl.col("period") < view.open_from("1d")), "installed")
    change = text.change(installed, before, each=_each(view)) if before is not None else None
    return [
        Number(
            "Installed", text.count(installed), change, "extension_installs", 1, past, "", installed
        ),
        _share(weeks, "Activated", 1, "activated it within 7 days", good=1),
        _share(weeks, "Back the week after", 3, "used it again on days 7 to 13", good=1),
        _share(weeks, "Never used", None, "never used it", good=-1),
        _time_a_day(view),
        _failed(view),
    ]


def _installed(view: View, *, before: bool) -> float | None:
    if before and view.previous is None:
        return None
    return pictures.total(view.load("extension_installs", before=before), "weight")


def _each(view: View) -> float:
    sample = view.sample("extension_installs")
    return sample.each if sample else 1.0


def _due(view: View, *, before: bool = False) -> pl.DataFrame:
    """Return who installed early enough that their next week is over."""
    return view.load("extension_installs", before=before).filter("due")


def _reached(people: pl.DataFrame, step: int | None) -> tuple[float, float]:
    """Return how many took a step of the funnel (None: never used it), and of how many."""
    which = pl.col("first_used_at").is_null() if step is None else pl.col("steps_reached") > step
    return pictures.total(people.filter(which), "weight"), pictures.total(people, "weight")


def _share(view: View, label: str, step: int | None, said: str, *, good: int) -> Number:
    part, whole = _reached(_due(view), step)
    change = None
    if view.previous is not None:
        earlier = _reached(_due(view, before=True), step)
        change = text.change_of_rate((part, whole), earlier, each=_each(view))
    note = (
        f"{text.count(part)} of {text.count(whole)} people {said}. They installed it in "
        f"{text.window(view.window, today=view.today)}, and their second week is over."
    )
    return Number(label, text.rate(part, whole), change, "extension_funnel", good, (), note)


def _time_a_day(view: View) -> Number:
    now = view.load("extension_sessions", every=None).row(0, named=True)
    value, change = _ms(now["seconds_per_day"]), None
    if view.previous is not None:
        before = view.load("extension_sessions", before=True, every=None).row(0, named=True)
        fewest = min(now["days_of_use"], before["days_of_use"])
        change = text.change_of_duration(value, _ms(before["seconds_per_day"]), fewest=fewest)
    days = view.load("extension_sessions", every="1d")
    past = charts.spark(days.filter(pl.col("period") < view.open_from("1d")), "seconds_per_day")
    note = f"Per person and day of use; {text.count(now['days_of_use'])} such days."
    metric = "extension_sessions"
    return Number("Time a day", text.duration(value), change, metric, 1, past, note)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * _SECOND


def _failed(view: View) -> Number:
    now = _wrong(view, before=False)
    change = None
    if view.previous is not None:
        change = text.change_of_rate(now, _wrong(view, before=True), each=_each(view))
    days = view.load("extension_failures").filter(pl.col("period") < view.open_from("1d"))
    note = f"{text.count(now[0])} of {text.count(now[1])} events failed or timed out."
    past = charts.spark(days, "failure_rate")
    return Number("Failed", text.rate(*now), change, "extension_failures", -1, past, note)


def _wrong(view: View, *, before: bool) -> tuple[float, float]:
    days = view.load("extension_failures", before=before)
    failed = pictures.total(days, "failures") + pictures.total(days, "timeouts")
    return failed, pictures.total(days, "events")


# --- installed, activated, used --------------------------------------------------------------


def funnel(view: View) -> None:
    """Put the way from the installation to the second week here; a click shows who got there."""
    cell(
        view,
        "From installing to using it",
        ask("extension_funnel"),
        lambda data: _funnel(data.now),
        subtitle=lambda data: _who_is_due(view, data),
        alt=lambda data: pictures.said_bars(data.now, "event_name", "users"),
        empty=NO_INSTALLS,
        is_empty=lambda data: not data.now["users"].sum(),
        marks=lambda data: _marks(view, data),
        at=marks.token_at,
        behind=lambda token, data: _behind(view, token, data),
    )


def _who_is_due(view: View, data: Data) -> str:
    people = view.load("extension_installs")
    waiting = people.filter(~pl.col("due")).height
    many = text.some(data.now["users"].to_list()[0], "person", "people")
    span = text.window(view.window, today=view.today)
    words = f"{many} who installed it in {span} and whose second week is over"
    newer = f"{text.some(waiting, 'newer one is', 'newer ones are')} left out"
    return f"{words}; {newer}" if waiting else words


def _funnel(frame: pl.DataFrame) -> go.Figure:
    drawn = charts.funnel(frame, height=charts.HEIGHT)
    said = list(drawn.data[0].customdata)
    tokens = [str(step) for step in frame["step"]]
    product_charts.clickable(drawn, tokens, said)
    return drawn


def _marks(view: View, data: Data) -> list[Mark]:
    """Return the steps, who did not go on after each, and who never used it."""
    found = []
    rows = data.now.select("step", "event_name", "users").rows()
    for number, (step, name, users) in enumerate(rows):
        found.append(Mark(f"{name}: {text.some(users, 'person', 'people')}", str(step)))
        if number + 1 < len(rows):
            lost = users - rows[number + 1][2]
            after = f"{name}, and then not “{rows[number + 1][1]}”"
            found.append(Mark(f"{after}: {text.some(lost, 'person', 'people')}", f"{step}-lost"))
    never = _reached(_due(view), None)[0]
    found.append(Mark(f"never used it: {text.some(never, 'person', 'people')}", NEVER))
    return found


def _behind(view: View, token: str, data: Data) -> Behind:
    """Return who took a step, who stopped there, or who never used it."""
    people = _due(view)
    step = pl.col("steps_reached")
    digits, _, lost = token.partition("-")
    if token == NEVER:
        which = pl.col("first_used_at").is_null()
    elif digits.isdigit():
        which = step == int(digits) + 1 if lost else step > int(digits)
    else:
        which = pl.lit(value=False)
    words = next((mark.label for mark in _marks(view, data) if mark.token == token), "Nobody")
    shown = people.filter(which).drop("due", "used_next_week").sort("installed_at")
    return Behind(shown, text.escaped(words, most=120))


def by_group(view: View, split: str) -> None:
    """Put how far the newcomers of each group of a breakdown get here."""
    cell(
        view,
        f"Newcomers by {text.escaped(split)}",
        ask("extension_funnel", split=split),
        lambda data: _groups(data.now, split),
        subtitle="Of the people who installed it and whose second week is over",
        alt="A table of groups with how many installed, activated, used it and came back.",
        empty=NO_INSTALLS,
    )


def _groups(frame: pl.DataFrame, split: str) -> Table:
    """Return a row per group with its people and the share that took each step."""
    groups = frame.filter(pl.col("step") == 0).select("group", "users")
    labels = {"group": text.plain(split), "users": "Installed"}
    for step, name in frame.filter(pl.col("step") > 0).select("step", "event_name").unique().rows():
        rate = pl.col("rate_from_first").alias(f"step_{step}_rate")
        one = frame.filter(pl.col("step") == step).select("group", rate)
        groups = groups.join(one, on="group", how="left", maintain_order="left")
        labels[f"step_{step}_rate"] = name.capitalize()
    return Table(groups, dict(sorted(labels.items(), key=_in_order)), rows=8)


def _in_order(label: tuple[str, str]) -> tuple[bool, str]:
    return label[0].startswith("step_"), label[0]


def by_week(view: View) -> None:
    """Put the shares of those who installed in each week here."""
    cell(
        view,
        "Newcomers by week",
        ask("extension_activation"),
        lambda data: charts.lines(
            data.now.filter("complete"),
            {
                "activated_rate": "activated",
                "used_next_week_rate": "back next week",
                "never_used_rate": "never used it",
            },
            kind="percent",
            colours={"never used it": palette.HARM},
        ),
        subtitle="Of the people who installed in a week, once the second week of all is over",
        alt=lambda data: pictures.said(
            data.now.filter("complete"),
            "used_next_week_rate",
            "the share of newcomers back in their second week",
        ),
        empty=NO_INSTALLS,
        is_empty=lambda data: not data.now.filter("complete")["installed"].sum(),
    )


# --- what is done, how long, what fails ------------------------------------------------------


def interactions(data: Data) -> Table:
    """Return what is clicked most."""
    rows = data.now.sort("events", "element", "action", descending=[True, False, False])
    return Table(
        rows.with_columns(pl.col("element", "action").fill_null(text.NO_NAME)),
        {
            "element": "Element",
            "action": "Action",
            "events": "Count",
            "users": "People",
            "failures": "Failed",
        },
        rows=ROWS,
    )


def inserted(data: Data) -> str:
    """Say how many insertions are accepted, and how much code that is."""
    totals = {name: pictures.total(data.now, name) for name in ("answered", "accepted", "lines")}
    words = f"Insertions per day; {text.count(totals['lines'])} lines in all"
    if not totals["answered"]:
        return words
    accepted = text.share(totals["accepted"], totals["answered"], "insertions")
    return f"{words}; accepted: {accepted}"


def lengths(data: Data) -> go.Figure:
    """Draw a bar per class of lengths with its sessions and their share."""
    names = [_class(*row) for row in data.now.select("seconds_from", "seconds_to").iter_rows()]
    rows = data.now.with_columns(pl.Series("_name", names))
    said = [
        f"{text.count(sessions)} · {text.percent(share)}"
        for sessions, share in rows.select("sessions", "share").iter_rows()
    ]
    return charts.bars(rows, name="_name", value="sessions", said=said, height=charts.HEIGHT)


def _class(start: float, end: float | None) -> str:
    """Return what a class of lengths is called."""
    if not start:
        return "a single event"
    if end is None:
        return f"{_length(start)} and longer"
    return f"up to {_length(end)}"


def _length(seconds: float) -> str:
    hours = seconds / 3_600
    return text.some(hours, "hour") if hours >= 1 else f"{seconds / 60:.0f} min"


def length_words(data: Data) -> str:
    """Say the median length, and of how many sessions."""
    row = data.frames["extension_sessions"].row(0, named=True)
    sessions = text.some(row["sessions"], "session")
    return f"{sessions}; the median lasts {text.duration(_ms(row['seconds_p50']))}"


def timed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with the time a day in milliseconds, as durations are written."""
    return frame.with_columns((pl.col("seconds_per_day") * _SECOND).alias(TIME_A_DAY))


def failures(frame: pl.DataFrame, open_from: date) -> go.Figure:
    """Draw what went wrong per day: failures and time-outs of events, and reported errors."""
    series = {"errors": "errors", "failures": "failed events", "timeouts": "time-outs"}
    colours = {"errors": palette.HARM, "failed events": palette.INK, "time-outs": palette.QUIET}
    return charts.lines(frame, series, open_from=open_from, colours=colours)


def nothing_wrong(data: Data) -> bool:
    """Say whether nothing failed, timed out or reported an error."""
    return not any(data.now[name].sum() for name in ("errors", "failures", "timeouts"))


# --- what stands out -------------------------------------------------------------------------


def reading(view: View, weeks: View) -> list[str]:
    """Return what stands out about the extension, most surprising first."""
    people = _due(weeks)
    return [*_never(people), *_leave(people), *_fails(view), *_accepted(view)]


def _never(people: pl.DataFrame) -> list[str]:
    part, whole = _reached(people, None)
    if whole < PEOPLE_MIN or part < NEVER_SAID * whole:
        return []
    return [f"**{text.share(part, whole, 'people')}** who installed it never used it."]


def _leave(people: pl.DataFrame) -> list[str]:
    """Say so when most of those who used it did not come back the week after."""
    users = people.filter(pl.col("first_used_at").is_not_null())
    whole = pictures.total(users, "weight")
    gone = pictures.total(users.filter(~pl.col("used_next_week")), "weight")
    if whole < PEOPLE_MIN or gone < LEAVES_SAID * whole:
        return []
    return [f"**{text.share(gone, whole, 'people')}** who used it were not back in the week after."]


def _fails(view: View) -> list[str]:
    """Say how the share of failed events changed, when it did."""
    if view.previous is None:
        return []
    now = _wrong(view, before=False)
    change = _moved(view, now, _wrong(view, before=True))
    if change is None:
        return []
    return [f"**{text.rate(*now)}** of what happens in it fails or times out, {change.words}."]


def _accepted(view: View) -> list[str]:
    """Say how the share of accepted insertions changed, when it did."""
    if view.previous is None:
        return []
    now, past = (
        (pictures.total(days, "accepted"), pictures.total(days, "answered"))
        for days in (view.load("code_insertions", before=before) for before in (False, True))
    )
    change = _moved(view, now, past)
    if change is None:
        return []
    return [f"**{text.rate(*now)}** of code insertions are accepted, {change.words}."]


def _moved(view: View, now: tuple[float, float], past: tuple[float, float]) -> text.Change | None:
    """Return the change of a share where it is beyond chance and large enough to tell."""
    change = text.change_of_rate(now, past, each=_each(view))
    if change is None or not change.direction:
        return None
    share, share_past = now[0] / now[1], past[0] / past[1]
    return change if abs(share - share_past) >= MOVED_SAID * share_past else None
