"""One typed lazy frame per table over everything on disk: the only way in for metrics and pages."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import polars as pl

from data_access import database
from data_access.columnar import Snapshot, fingerprint, refresh
from data_access.errors import DataUnavailable, Problem, counted
from data_access.filters import DIMENSIONS, STAGES, Filters
from data_access.found import Found, found_in
from data_access.home import Home, open_home, settings
from data_access.metadata import METADATA_COLUMN
from data_access.schema import SCHEMAS, TIME
from data_access.team import Segment, segments_of, team_problems
from data_access.views import saved_problems
from ingest.vocabulary import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from data_access.config import Settings

SNAPSHOTS_MAX: Final = 4  # homes (and their versions) whose state is remembered
CHOICES_MAX: Final = 500
PROPERTY_ROWS_MAX: Final = 10_000  # the latest of each table, looked at for metadata keys
SEGMENTS_DEEP_MAX: Final = 8  # a segment may name another, and that one a third
PROBLEMS_MAX: Final = 20
EARLIEST_CLOCK: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST_CLOCK_AHEAD: Final = timedelta(days=1)


@dataclass(slots=True)
class _State:
    """What is known about one home at one version; the small frames are computed when asked."""

    home: Home
    snapshot: Snapshot
    settings: Settings
    first_seen: pl.DataFrame | None = None
    choices: dict[str, list[str]] = field(default_factory=dict)
    times: pl.DataFrame | None = None
    found: Found | None = None
    segments: dict[str, Segment] | None = None
    people: dict[str, pl.Series] = field(default_factory=dict)  # of a segment, by its name

    def is_whole(self) -> bool:
        """Tell whether the copy's files are still there: it may be deleted at any time."""
        return all(path.exists() for paths in self.snapshot.segments.values() for path in paths)


_states: OrderedDict[tuple[str, str], _State] = OrderedDict()
_states_lock = threading.Lock()


def version(home: str | Path | None = None) -> str:
    """Return a cheap value that changes whenever the data of a home does."""
    return fingerprint(open_home(home))


def _state(
    home: str | Path | None, *, progress: Callable[[int, int], None] | None = None
) -> _State:
    place = open_home(home)
    key = (str(place.path), fingerprint(place))
    with _states_lock:
        if key not in _states or not _states[key].is_whole():
            _states[key] = _State(place, refresh(place, progress=progress), settings(place.path))
            while len(_states) > SNAPSHOTS_MAX:
                _states.popitem(last=False)
        _states.move_to_end(key)
        return _states[key]


def prepare(
    home: str | Path | None = None, *, progress: Callable[[int, int], None] | None = None
) -> str:
    """Bring the fast copy up to date and return the version; `progress(done, total)` is called."""
    return fingerprint(_state(home, progress=progress).home)


def scan(
    table: str,
    home: str | Path | None = None,
    *,
    since: datetime | None = None,
    filters: Filters | None = None,
) -> pl.LazyFrame:
    """Return everything a home holds of one table as a typed lazy frame.

    Parameters
    ----------
    table : "events", "errors", "traces" or "sessions".
    home : a folder, a database or a JSONL file; $TELEMETRY_HOME or ./telemetry when not given.
    since : leave out rows before this instant; a metric's lookback.
    filters : keep rows of the chosen tiers, channels, ...; the window is not applied here.

    Returns
    -------
    LazyFrame of `data_access.schema.SCHEMAS[table]`, each event_id once, in no promised order.

    Raises
    ------
    DataUnavailable : when there is nothing at `home`.
    KeyError : when the table is unknown.
    """
    if table not in SCHEMAS:
        raise KeyError(f"Unknown table {table!r}. The tables are {', '.join(SCHEMAS)}.")
    return _scanned(_state(home), table, since=since, filters=filters)


def _scanned(
    state: _State, table: str, *, since: datetime | None, filters: Filters | None
) -> pl.LazyFrame:
    frame = _everything(state, table, since=since, filters=filters)
    if since is not None:
        moment = pl.col(TABLES[table].time_column)
        frame = frame.filter(moment >= pl.lit(since).cast(pl.Datetime("ms", "UTC")))
    return frame if filters is None else _narrowed(state, frame, table, filters)


@dataclass(frozen=True, slots=True)
class Handed:
    """One home as a process of ours may see it: the copy's files, and the few rows beside them.

    It is told everything that takes another file, so it needs no right to open one.
    """

    _state: _State

    def scan(
        self, table: str, *, since: datetime | None = None, filters: Filters | None = None
    ) -> pl.LazyFrame:
        """Return what `scan` returned where this comes from, at that moment."""
        return _scanned(self._state, table, since=since, filters=filters)

    @property
    def folder(self) -> Path:
        """The folder of the copy's files."""
        return self._state.home.columnar


def handed(
    home: str | Path | None = None, *, filters: Filters, since: datetime | None = None
) -> Handed:
    """Return what another process needs to scan a home with these filters; it can be pickled.

    Of rows before `since` no more is promised.

    Raises
    ------
    DataUnavailable : when there is nothing at `home`, or a segment cannot be told.
    """
    state = _state(home)
    for table in SCHEMAS:  # looks up the people of a stage and of the segments
        _scanned(state, table, since=None, filters=filters)
    beside = {
        table: database.lazy(
            state.home.database, table, above=above, up_to=up_to, filters=filters, since=since
        ).collect()
        for table, (above, up_to) in state.snapshot.database_rows.items()
    }
    tail = {
        table: pl.concat([frame, beside[table]]) if table in beside else frame
        for table, frame in state.snapshot.tail.items()
    }
    names = {name for several in filters.wanted_segments() for name in several}
    return Handed(
        _State(
            state.home,
            replace(state.snapshot, tail=tail, database_rows={}),
            state.settings,
            first_seen=state.first_seen if filters.stages else None,
            people={name: people for name, people in state.people.items() if name in names},
        )
    )


def _narrowed(
    state: _State, frame: pl.LazyFrame, table: str, filters: Filters, within: tuple[str, ...] = ()
) -> pl.LazyFrame:
    """Keep the rows of the chosen dimensions; `within` are the segments being told just now."""
    predicate = filters.predicate(table)
    if predicate is not None:
        frame = frame.filter(predicate)
    if filters.stages and set(filters.stages) != set(STAGES):
        frame = _of_stage(state, frame, filters.stages[0])
    if filters.segments:
        frame = _of_segments(state, frame, filters, within)
    return frame


def _everything(
    state: _State, table: str, *, since: datetime | None = None, filters: Filters | None = None
) -> pl.LazyFrame:
    snapshot = state.snapshot
    parts = []
    if snapshot.segments[table]:
        parts.append(pl.scan_parquet(snapshot.segments[table]))
    if table in snapshot.database_rows:
        above, up_to = snapshot.database_rows[table]
        parts.append(
            database.lazy(
                state.home.database,
                table,
                above=above,
                up_to=up_to,
                filters=filters,
                since=since,
            )
        )
    tail = snapshot.tail[table]
    if not tail.is_empty() or not parts:
        parts.append(tail.lazy())
    return parts[0] if len(parts) == 1 else pl.concat(parts)


def _of_stage(state: _State, frame: pl.LazyFrame, stage: str) -> pl.LazyFrame:
    """Keep the rows of one stage's people, told from all history whatever the filters."""
    testers = state.settings.testers
    if testers:
        closed = pl.col("user_id_hash").is_in(testers)
        return frame.filter(closed if stage == "closed-beta" else ~closed)
    opened = state.settings.open_beta_date
    if opened is None:
        return frame.filter(pl.lit(stage == "open-beta"))
    if state.first_seen is None:
        people = [
            _everything(state, table).select("user_id_hash", "timestamp")
            for table in ("events", "errors", "traces")
        ]
        state.first_seen = (
            pl.concat(people)
            .group_by("user_id_hash")
            .agg(pl.col("timestamp").min().alias("first_seen"))
            .collect()
        )
    # the day begins at midnight in the team's timezone
    instant = pl.col("first_seen").dt.convert_time_zone(state.settings.timezone).dt.date()
    early = state.first_seen.filter(instant < opened)["user_id_hash"]
    closed = pl.col("user_id_hash").is_in(early.implode())
    return frame.filter(closed if stage == "closed-beta" else ~closed)


def _of_segments(
    state: _State, frame: pl.LazyFrame, filters: Filters, within: tuple[str, ...]
) -> pl.LazyFrame:
    """Keep the rows of people in any of the segments asked for, and in none of those refused."""
    wanted, refused = filters.wanted_segments()
    user = pl.col("user_id_hash")
    if wanted:
        kept = pl.concat([_people_of(state, name, within) for name in wanted])
        frame = frame.filter(user.is_in(kept.implode()))
    for name in refused:
        others = _people_of(state, name, within)
        frame = frame.filter(~user.is_in(others.implode()).fill_null(value=False))
    return frame


def _people_of(state: _State, name: str, within: tuple[str, ...] = ()) -> pl.Series:
    """Return who is in a segment, told from all history whatever else is filtered."""
    if name in state.people:
        return state.people[name]
    if name in within or len(within) >= SEGMENTS_DEEP_MAX:
        raise DataUnavailable(
            f"The segment {within[0]!r} asks for itself, by way of {name!r}. Save one of the two "
            "anew without the other."
        )
    segment = _segments(state).get(name)
    if segment is None:
        raise DataUnavailable(
            f"There is no segment {name!r}. Choose another, or save it on the Users page."
        )
    if segment.query:
        people = _matching(state, segment.query, (*within, name))
    else:
        people = pl.Series("user_id_hash", segment.users, dtype=pl.String)
    state.people[name] = people
    return people


def _matching(state: _State, query: str, within: tuple[str, ...]) -> pl.Series:
    """Return the people with an event that matches; days count only where the query has some."""
    filters = Filters.from_query(query, timezone=state.settings.timezone)
    if filters.notes or not filters.chosen():  # else a slip of the pen would be everybody
        raise DataUnavailable(
            f"The filters of the segment {within[-1]!r} cannot be understood: {query[:80]!r}. "
            "Save it anew."
        )
    events = _narrowed(state, _everything(state, "events"), "events", filters, within)
    if {"from", "to"} <= {name for name, _ in parse_qsl(query)}:
        events = events.filter(filters.window.contains())
    return events.select(pl.col("user_id_hash").drop_nulls().unique()).collect().to_series()


def _segments(state: _State) -> dict[str, Segment]:
    if state.segments is None:
        state.segments = segments_of(state.home)
    return state.segments


def segment_sizes(home: str | Path | None = None) -> dict[str, int | None]:
    """Return how many people each saved segment holds; None for one that cannot be told."""
    state = _state(home)
    return {name: _size(state, name) for name in _segments(state)}


def _size(state: _State, name: str) -> int | None:
    try:
        return _people_of(state, name).len()
    except DataUnavailable:
        return None


def stages(home: str | Path | None = None) -> tuple[str, ...]:
    """Return the stages this home can tell apart: none without testers and open-beta date."""
    return tuple(_stages(_state(home)))


def _stages(state: _State) -> list[str]:
    found = state.settings
    return list(STAGES) if found.testers or found.open_beta_date else []


def choices(home: str | Path | None = None) -> dict[str, list[str]]:
    """Return, per field of Filters, the values found in the data, most frequent first.

    Of metadata, the "key:value" of keys with few values among the latest rows; of segments, the
    names.
    """
    state = _state(home)
    if not state.choices:
        for name, dimension in DIMENSIONS.items():
            if name in _OTHER_CHOICES:
                state.choices[name] = _OTHER_CHOICES[name](state)
                continue
            counts = pl.concat(
                [
                    _everything(state, table).group_by(dimension.column).agg(pl.len().alias("n"))
                    for table in dimension.tables
                    if table != "sessions"
                ]
            )
            state.choices[name] = (
                counts.group_by(dimension.column)
                .agg(pl.col("n").sum())
                .filter(pl.col(dimension.column).is_not_null() & (pl.col(dimension.column) != ""))
                .sort(pl.col("n"), dimension.column, descending=[True, False])
                .head(CHOICES_MAX)
                .collect()[dimension.column]
                .to_list()
            )
    return state.choices


def _pairs(state: _State) -> list[str]:
    return list(_found(state).pairs)


def _segment_names(state: _State) -> list[str]:
    return list(_segments(state))


_OTHER_CHOICES: Final = {
    "stages": _stages,
    "properties": _pairs,
    "segments": _segment_names,
}


def properties(home: str | Path | None = None) -> tuple[str, ...]:
    """Return the metadata keys with text or a flag among the latest rows, most frequent first."""
    return _found(_state(home)).keys


def _found(state: _State) -> Found:
    if state.found is None:
        state.found = found_in(
            [_latest_metadata(state, table) for table in ("events", "errors", "traces")]
        )
    return state.found


def _latest_metadata(state: _State, table: str) -> pl.DataFrame:
    """Return metadata and how often, of about the latest PROPERTY_ROWS_MAX rows of a table."""
    days = _times(state).filter(pl.col("table") == table, pl.col("day").is_not_null())
    newest = days.sort("day", descending=True)
    enough = newest.filter(pl.col("rows").cum_sum().shift(1, fill_value=0) < PROPERTY_ROWS_MAX)
    if enough.is_empty():
        return pl.DataFrame(schema={METADATA_COLUMN: pl.String, "len": pl.UInt32})
    first = pl.lit(enough["day"].min()).cast(TIME)
    latest = _everything(state, table).filter(pl.col("timestamp") >= first).select(METADATA_COLUMN)
    return latest.head(PROPERTY_ROWS_MAX).group_by(METADATA_COLUMN).len().collect()


def _times(state: _State) -> pl.DataFrame:
    """Return one row per table and day: rows of it, the earliest and the latest instant."""
    if state.times is None:
        state.times = pl.concat(
            [
                _everything(state, table)
                .group_by(pl.col("timestamp").dt.date().alias("day"))
                .agg(
                    pl.len().alias("rows"),
                    pl.col("timestamp").min().alias("earliest"),
                    pl.col("timestamp").max().alias("latest"),
                )
                .with_columns(pl.lit(table).alias("table"))
                for table in ("events", "errors", "traces")
            ]
        ).collect()
    return state.times


def data_as_of(home: str | Path | None = None, *, now: datetime | None = None) -> datetime | None:
    """Return the latest instant in the data that a right clock could have written, or None."""
    limit = (now or datetime.now(UTC)) + LATEST_CLOCK_AHEAD
    past = _times(_state(home)).filter(pl.col("latest") <= limit)
    latest = past["latest"].max()
    return latest if isinstance(latest, datetime) else None


def last_day(
    home: str | Path | None = None, *, now: datetime | None = None, timezone: str = "UTC"
) -> date | None:
    """Return the last calendar day with data, days in the future left out, or None."""
    latest = data_as_of(home, now=now)
    return None if latest is None else latest.astimezone(ZoneInfo(timezone)).date()


def first_day(home: str | Path | None = None, *, timezone: str = "UTC") -> date | None:
    """Return the first calendar day with data, clocks before the year 2000 left out, or None."""
    usual = _times(_state(home)).filter(pl.col("earliest") >= EARLIEST_CLOCK)
    earliest = usual["earliest"].min()
    if not isinstance(earliest, datetime):
        return None
    return earliest.astimezone(ZoneInfo(timezone)).date()


def problems(home: str | Path | None = None, *, now: datetime | None = None) -> list[Problem]:
    """Return everything that is wrong with the data, worst first, for the app to show."""
    state = _state(home)
    found = [*state.snapshot.problems, *state.settings.problems]
    found += team_problems(state.home)
    found += saved_problems(state.home)
    found += _kept_in_database(state)
    found += _odd_clocks(state, now or datetime.now(UTC))
    return found


def _kept_in_database(state: _State) -> list[Problem]:
    """Return what loading put aside: quarantined lines by file and reason."""
    if not state.home.database.exists():
        return []
    try:
        with contextlib.closing(database.connect(state.home.database)) as connection:
            if not database.is_ours(connection):
                return []
            rows = connection.execute(
                "SELECT file, reason, count(*) FROM telemetry_quarantine "
                "GROUP BY file, reason ORDER BY 3 DESC LIMIT ?",
                (PROBLEMS_MAX,),
            ).fetchall()
            flagged = connection.execute(
                "SELECT file, field, rows FROM telemetry_flags ORDER BY rows DESC LIMIT ?",
                (PROBLEMS_MAX,),
            ).fetchall()
    except sqlite3.Error:
        return []  # said by the snapshot already
    return [
        Problem(
            "quarantined",
            file,
            f"{counted(count, 'line')} of {file} put aside: {reason}.",
            "See them in the table telemetry_quarantine, mend the file and load it again.",
            count,
        )
        for file, reason, count in rows
    ] + [
        Problem(
            "flagged",
            file,
            f"{counted(count, 'row')} of {file} with an unusable or unusual {name}: shown without.",
            f"Mend {name} where the file is written, if the pages miss it.",
            count,
        )
        for file, name, count in flagged
    ]


def _odd_clocks(state: _State, now: datetime) -> list[Problem]:
    times = _times(state)
    ahead = times.filter(pl.col("day") > (now + LATEST_CLOCK_AHEAD).date())["rows"].sum()
    behind = times.filter(pl.col("day") < EARLIEST_CLOCK.date())["rows"].sum()
    return [
        Problem(
            "clock",
            "the data",
            f"{counted(int(count), 'row')} dated {when}: kept, but outside every usual span.",
            "Check the clock of the machines that wrote them.",
            int(count),
        )
        for count, when in ((ahead, "in the future"), (behind, "before the year 2000"))
        if count
    ]
