"""What the reader asked to see: a window and the dimensions, to and from a URL, SQL and Polars.

It holds plain values only, so it can be a cache key, and it touches no data.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

import polars as pl

from data_access.metadata import METADATA_COLUMN, is_key, says
from data_access.window import Window, WindowError, known_timezone
from ingest.vocabulary import (
    ALIASES,
    BRANCH_CREATE_NAMES,
    CHANNEL_ALIASES,
    CHANNELS,
    SEGMENT_NOT,
    TABLES,
    TIERS,
    CortexEventName,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

STAGES: Final = ("closed-beta", "open-beta")
SPANS: Final = ("24h", "7d", "28d", "90d", "week", "month", "custom")
SPAN_DEFAULT: Final = "28d"
YEARS: Final = range(1900, 9_000)  # of days and instants in a link
VALUES_MAX: Final = 200  # values of one dimension in a link; more is a mistake or an attack
VALUE_CHARS_MAX: Final = 200
QUERY_CHARS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing to filter by: its name in links and the column it reads.

    `tables` are those it applies to; `closed` lists the only values it can have, if it is closed.
    """

    query_name: str
    column: str
    tables: tuple[str, ...]
    closed: tuple[str, ...] = ()


_ALL: Final = ("events", "errors", "traces")

# field of Filters -> dimension; the order is the one in links and in the sidebar
DIMENSIONS: Final[dict[str, Dimension]] = {
    "tiers": Dimension("tier", "user_tier", (*_ALL, "sessions"), TIERS),
    "channels": Dimension("channel", "channel", (*_ALL, "sessions"), CHANNELS),
    "projects": Dimension("project", "project_id", _ALL),
    "releases": Dimension("release", "release", _ALL),
    "stages": Dimension("stage", "stage", (*_ALL, "sessions"), STAGES),
    "events": Dimension("event", "event_name", ("events",)),
    "properties": Dimension("where", METADATA_COLUMN, _ALL),  # key:value
    "segments": Dimension("segment", "user_id_hash", (*_ALL, "sessions")),  # a name, or not NAME
}
# not told by a row alone: `scan` knows the people
OF_PEOPLE: Final = ("stages", "segments")


@dataclass(frozen=True, slots=True)
class Filters:
    """A window and, per dimension, the values to keep; an empty tuple keeps everything.

    `properties` are "key:value" of the metadata: any value of one key, and every key. `segments`
    are names of saved segments, or "not NAME": people in any of the former and none of the latter.
    `notes` says what a link asked for that was ignored; it takes no part in equality, so two
    links that mean the same are the same cache key.
    """

    window: Window
    tiers: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name in DIMENSIONS:  # one order, so that equal choices are equal keys
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    def chosen(self) -> dict[str, tuple[str, ...]]:
        """Return the dimensions that narrow the data: field name -> values."""
        return {name: getattr(self, name) for name in DIMENSIONS if getattr(self, name)}

    def previous(self) -> Filters:
        """Return the same filters over the period before."""
        return replace(self, window=self.window.previous())

    def with_window(self, window: Window) -> Filters:
        """Return the same filters over another window."""
        return replace(self, window=window)

    # --- links ---

    def to_query(self) -> str:
        """Return the query string of a link that shows exactly this, today and next year.

        Relative spans are frozen: `from` and `to` are calendar days, both included. A span of
        hours is frozen as its length and the instant it ends with.
        """
        return urlencode(self._window_pairs() + self._chosen_pairs())

    def chosen_query(self) -> str:
        """Return the dimensions alone as a query string, for a segment: whenever that was."""
        return urlencode(self._chosen_pairs())

    def _chosen_pairs(self) -> list[tuple[str, str]]:
        return [
            (DIMENSIONS[name].query_name, value)
            for name, values in self.chosen().items()
            for value in values
        ]

    def _window_pairs(self) -> list[tuple[str, str]]:
        window = self.window
        if window.start_at is not None and window.end_at is not None:
            until = window.end_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            pairs = [("span", "24h"), ("until", until)]
        else:
            last_day = window.end - timedelta(days=1)
            pairs = [
                ("span", "custom"),
                ("from", window.start.isoformat()),
                ("to", last_day.isoformat()),
            ]
        if window.timezone != "UTC":
            pairs.append(("timezone", window.timezone))
        if window.week_starts_on != "monday":
            pairs.append(("week_starts_on", window.week_starts_on))
        return pairs

    @classmethod
    def from_query(
        cls,
        query: str | Mapping[str, Sequence[str]],
        *,
        today: date | None = None,
        now: datetime | None = None,
        timezone: str = "UTC",
        week_starts_on: str = "monday",
        known: Mapping[str, Collection[str]] | None = None,
    ) -> Filters:
        """Return the filters a link asks for; what cannot be understood is ignored and noted.

        Parameters
        ----------
        query : a query string, with or without the question mark, or its values by name.
        today : the day relative spans end with; the UTC day now, when not given.
        now : the instant a span of hours ends with; now, when not given.
        timezone, week_starts_on : used when the link names none.
        known : values that exist, by field name ("projects", ...); others are ignored.
        """
        notes: list[str] = []
        asked = _parse(query, notes)
        now = now or datetime.now(UTC)
        zone = _one(asked, "timezone") or timezone
        week = _one(asked, "week_starts_on") or week_starts_on
        try:
            window = _window(
                asked,
                today=today or now.date(),
                now=now,
                timezone=zone,
                week_starts_on=week,
                notes=notes,
            )
        except WindowError as error:
            notes.append(f"Ignored the dates in the link: {error}")
            window = Window.last(28, today or now.date(), timezone=known_timezone(timezone))
        chosen = {}
        for name, dimension in DIMENSIONS.items():
            allowed = dimension.closed or (known or {}).get(name)
            kept: list[str] = []
            refused: list[str] = []
            for value in asked.get(dimension.query_name, ())[:VALUES_MAX]:
                (kept if _is_allowed(name, value, allowed) else refused).append(value)
            if refused:
                shown = ", ".join(repr(value[:40]) for value in refused[:3])
                notes.append(f"Ignored unknown {dimension.query_name}: {shown}.")
            chosen[name] = tuple(kept)
        return cls(window=window, notes=tuple(notes), **chosen)

    # --- people and metadata ---

    def by_key(self) -> dict[str, list[str]]:
        """Return the values to keep of each metadata key; what is no key:value keeps nothing."""
        found: dict[str, list[str]] = {}
        for pair in self.properties:
            key, _, value = pair.partition(":")
            found.setdefault(key if is_property(pair) else "", []).append(value)
        return found

    def wanted_segments(self) -> tuple[list[str], list[str]]:
        """Return the names of the segments to keep, and of those to leave out."""
        names = [one for one in self.segments if not one.startswith(SEGMENT_NOT)]
        others = [one for one in self.segments if one.startswith(SEGMENT_NOT)]
        return names, [one.removeprefix(SEGMENT_NOT) for one in others]

    # --- SQLite and Polars ---

    def where(self, table: str, *, since: datetime | None = None) -> tuple[str, list[object]]:
        """Return the WHERE clause SQLite can search with, and its parameters.

        A superset of the rows asked for: times are cut a day early, because rows written by other
        hands may carry offsets, and names are matched in every spelling. `predicate` is exact.
        `since=None` asks for all history.
        """
        clause, values = since_clause(table, since)
        clauses = [clause]
        for name, chosen in self.chosen().items():
            dimension = DIMENSIONS[name]
            if name in (*OF_PEOPLE, "properties") or table not in dimension.tables:
                continue
            spelled = _spellings(name, chosen)
            clauses.append(f"{dimension.column} IN ({', '.join('?' * len(spelled))})")
            values += spelled
        return " AND ".join(clauses), values

    def predicate(self, table: str) -> pl.Expr | None:
        """Return the exact condition on a frame of `table`, dimensions only; None keeps all.

        Stages and segments are no columns: `scan` joins them.
        """
        conditions = [
            pl.col(DIMENSIONS[name].column).is_in(list(chosen))
            for name, chosen in self.chosen().items()
            if name not in (*OF_PEOPLE, "properties") and table in DIMENSIONS[name].tables
        ]
        if table in DIMENSIONS["properties"].tables:
            conditions += [says(key, values) for key, values in self.by_key().items()]
        return pl.all_horizontal(conditions) if conditions else None


def is_property(text: str) -> bool:
    """Return whether a text is a metadata key, a colon and a value."""
    key, colon, value = text.partition(":")
    return bool(colon and value) and is_key(key)


def _is_allowed(name: str, value: str, allowed: Collection[str] | None) -> bool:
    if name == "properties":  # any may be typed: only the latest rows are looked at for choices
        return is_property(value)
    if name == "segments":
        value = value.removeprefix(SEGMENT_NOT)
    return allowed is None or value in allowed


def since_clause(table: str, since: datetime | None) -> tuple[str, list[object]]:
    """Return the condition "not before that day's eve" on text times of any offset."""
    if since is None:
        return "1", []
    try:
        eve = (since - timedelta(days=1)).strftime("%Y-%m-%d")
    except OverflowError:
        eve = "0001-01-01"
    return f"{TABLES[table].time_column} >= ?", [eve]


def _spellings(name: str, values: tuple[str, ...]) -> list[str]:
    """Return every way the database may spell the chosen standard names."""
    if name == "channels":
        old = [alias for alias, channel in CHANNEL_ALIASES.items() if channel in values]
    elif name == "events":
        old = [alias for alias, standard in ALIASES.items() if standard in values]
        if CortexEventName.CONTEXT_AUTO_CREATED.value in values:
            old += BRANCH_CREATE_NAMES
    else:
        old = []
    return sorted({*values, *old})


def _parse(query: str | Mapping[str, Sequence[str]], notes: list[str]) -> dict[str, list[str]]:
    asked: dict[str, list[str]] = {}
    if isinstance(query, str):
        if len(query) > QUERY_CHARS_MAX:
            notes.append("Ignored the link's filters: it is longer than any real one.")
            return asked
        pairs = parse_qsl(query.removeprefix("?"), max_num_fields=None)
    else:
        pairs = [(name, value) for name, values in query.items() for value in values]
    for name, value in pairs:
        if len(value) > VALUE_CHARS_MAX:
            notes.append(f"Ignored a value of {name[:40]!r} that is too long.")
            continue
        asked.setdefault(name, []).append(value)
    return asked


def _one(asked: dict[str, list[str]], name: str) -> str | None:
    values = asked.get(name)
    return values[-1] if values else None


def _window(
    asked: dict[str, list[str]],
    *,
    today: date,
    now: datetime,
    timezone: str,
    week_starts_on: str,
    notes: list[str],
) -> Window:
    span = _one(asked, "span")
    first, last = _one(asked, "from"), _one(asked, "to")
    if span is None:
        span = "custom" if first and last else SPAN_DEFAULT
    if span == "custom":
        try:
            days = sorted((_day(first or ""), _day(last or "")))
            return Window(
                days[0],
                days[1] + timedelta(days=1),
                timezone=timezone,
                week_starts_on=week_starts_on,
            )
        except (ValueError, OverflowError) as error:
            if isinstance(error, WindowError):
                raise
            notes.append("Ignored the dates in the link: they are not calendar days.")
            span = SPAN_DEFAULT
    if span not in SPANS:
        notes.append(f"Ignored unknown span: {span[:40]!r}.")
        span = SPAN_DEFAULT
    until = _instant(_one(asked, "until"), notes)
    return span_window(span, today, until or now, timezone=timezone, week_starts_on=week_starts_on)


def _day(text: str) -> date:
    """Return a day whose weeks and period before lie in the calendar too."""
    day = date.fromisoformat(text)
    if day.year not in YEARS:
        raise OverflowError(text)
    return day


def _instant(text: str | None, notes: list[str]) -> datetime | None:
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        moment = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        notes.append("Ignored `until` in the link: it is not an instant.")
        return None
    if moment.year not in YEARS:
        notes.append("Ignored `until` in the link: no telemetry is of that year.")
        return None
    return moment


def span_window(
    span: str, today: date, now: datetime, *, timezone: str = "UTC", week_starts_on: str = "monday"
) -> Window:
    """Return the window of a preset span that ends with `today` (or the hour `now`, for 24h)."""
    place = {"timezone": timezone, "week_starts_on": week_starts_on}
    if span == "24h":
        return Window.last_hours(24, now, **place)
    if span.endswith("d"):
        return Window.last(int(span[:-1]), today, **place)
    day = Window.last(1, today, **place)
    start = day.period_start(today, every="1w" if span == "week" else "1mo")
    return replace(day, start=start)
