"""What a pipeline's state says: each function turns it into one small frame, and defines it.

A docstring is the definition of its numbers, as a metric's is. MEASURES lists them all.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

from data_access.pipeline import COUNTERS, GAUGES, LOSSES, Pipeline
from data_access.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from data_access.window import Window

__all__ = ["MEASURES", "Measure"]

Compute: TypeAlias = Callable[[Pipeline, "Window"], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Measure:
    """One frame about the pipeline; the twin of `metrics.Metric` for what is no telemetry."""

    name: str
    compute: Compute

    @property
    def definition(self) -> str:
        """The docstring: the definition a reader can argue with."""
        return inspect.getdoc(self.compute) or ""

    @property
    def code(self) -> str:
        """The function's source."""
        return inspect.getsource(self.compute)

    def of(self, column: str) -> str:
        """Return what the docstring says one column is, without its type."""
        found = re.search(rf"^{column} : [^;]*; (.*(?:\n +.*)*)", self.definition, re.MULTILINE)
        return " ".join(found[1].split()) if found else ""


def _lost() -> pl.Expr:
    return pl.sum_horizontal(*LOSSES)


def _changes(reports: pl.DataFrame) -> pl.DataFrame:
    """Return each report's counters as the difference to the same writer's report before."""

    def moved(name: str) -> pl.Expr:
        here = pl.col(name)
        step = here - here.shift(1, fill_value=0).over("writer")
        return pl.when(step < 0).then(here).otherwise(step).alias(name)

    ordered = reports.sort("writer", "at")
    return ordered.with_columns(moved(name) for name in (*COUNTERS, *LOSSES))


def _inside(state: Pipeline, window: Window) -> pl.DataFrame:
    return _changes(state.reports).filter(window.contains("at"))


def pipeline_totals(state: Pipeline, window: Window) -> pl.DataFrame:
    """Count what became of everything the product said, in one row.

    Definition
    ----------
    Clients count for themselves and report every half a minute, cumulatively; a day's number is the
    difference between reports. What a process that was killed had in its memory is counted by
    nobody: up to half a minute of reports, and what was not in the log yet.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    writers : Int64, count; processes that reported in the period.
    said : Int64, count; written, lost, left out by sampling and merged ones together.
    written : Int64, count; records that reached the log in the period. From then on they are safe.
    lost : Int64, count; what the product said and the log never got, for any reason.
    sampled_out : Int64, count; successes left out on purpose. The kept ones carry a weight, so the
        pages count the left out ones too and say "about".
    merged : Int64, count; repeats of an error, and turns of a session, that share another one's
        record; its `occurrences` counts them.
    flagged : Int64, count; values, not records, that were left out because they may not be kept.
    lost_after : Int64, count; lost after the end of the period, up to now.
    written_after : Int64, count; written after the end of the period, up to now.
    waiting_lines : Int64, count; lines that are safe in the log and not in SQLite yet, now. The
        pages show them already. Null when SQLite cannot be asked or there are too many to count.
    waiting_bytes : Int64, bytes; the same in bytes.
    rows : Int64, count; rows in SQLite's tables, now. Null when it cannot be asked.
    last_written : Datetime, UTC; when the log was last written to.
    not_storing : Int64, count; writers whose last report says that SQLite did not take their rows.
    storing : String; what SQLite said to the last of them; null when there is none.
    last_report : Datetime, UTC; when a client last reported; null when none ever did.
    skipped : Int64, count; lines of report files that are torn or no report.
    kind : String; "home", "file" (a single file, which has no pipeline) or "old" (an older
        system's database).
    trouble : String; what could not be read; null when all could.
    """
    changes = _changes(state.reports)
    inside = changes.filter(window.contains("at"))
    after = changes.filter(~window.before("at"))
    sums = inside.select(
        pl.col("writer").n_unique().cast(pl.Int64).alias("writers"),
        *(pl.col(name).sum() for name in COUNTERS),
        _lost().sum().cast(pl.Int64).alias("lost"),
    )
    latest = state.reports.sort("at").group_by("writer", maintain_order=True).last()
    refused = latest.sort("at")["storing"].drop_nulls()
    return sums.select(
        "writers",
        pl.sum_horizontal("written", "lost", "sampled_out", "merged").alias("said"),
        "written",
        "lost",
        "sampled_out",
        "merged",
        "flagged",
        pl.lit(after.select(_lost().sum()).item(), pl.Int64).alias("lost_after"),
        pl.lit(after["written"].sum(), pl.Int64).alias("written_after"),
        pl.lit(_whole_sum(state.files["waiting_lines"]), pl.Int64).alias("waiting_lines"),
        pl.lit(_whole_sum(state.files["waiting_bytes"]), pl.Int64).alias("waiting_bytes"),
        pl.lit(_rows_stored(state), pl.Int64).alias("rows"),
        pl.lit(state.files["last_written"].max(), TIME).alias("last_written"),
        pl.lit(len(refused), pl.Int64).alias("not_storing"),
        pl.lit(refused[-1] if len(refused) else None, pl.String).alias("storing"),
        pl.lit(state.reports["at"].max(), TIME).alias("last_report"),
        pl.lit(state.skipped, pl.Int64).alias("skipped"),
        pl.lit(state.kind, pl.String).alias("kind"),
        pl.lit(" ".join(state.troubles) or None, pl.String).alias("trouble"),
    )


def _rows_stored(state: Pipeline) -> int | None:
    is_told = state.stored.height or not (state.troubles or state.kind == "old")
    return _whole_sum(state.stored["rows"]) if is_told else None


def _whole_sum(values: pl.Series) -> int | None:
    """Return the sum, or None when a part of it is not known."""
    return None if values.null_count() else int(values.sum())


def pipeline_by_day(state: Pipeline, window: Window) -> pl.DataFrame:
    """Count what clients wrote, left out and lost per day.

    Definition
    ----------
    A report counts on the day it was written, in the window's timezone; a process that runs over
    midnight counts on both days with what it added on each.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    period : Date; the day, quiet ones included.
    written : Int64, count; records that reached the log.
    sampled_out : Int64, count; left out by sampling, on purpose.
    merged : Int64, count; repeats that share another one's record.
    flagged : Int64, count; values left out of records.
    lost : Int64, count; lost for any reason.
    complete : Boolean; whether the day ended inside the window.
    """
    per_day = (
        _inside(state, window)
        .group_by(window.day("at").alias("period"))
        .agg(
            *(pl.col(name).sum() for name in COUNTERS),
            _lost().sum().cast(pl.Int64).alias("lost"),
        )
    )
    days = window.calendar().collect().join(per_day, on="period", how="left")
    return days.select(
        "period",
        *(pl.col(name).fill_null(0) for name in (*COUNTERS, "lost")),
        "complete",
    ).sort("period")


def pipeline_losses(state: Pipeline, window: Window) -> pl.DataFrame:
    """Count what was lost per day, by reason.

    Definition
    ----------
    Every loss has exactly one reason out of a closed set. It counts on the day of the report that
    first tells of it; while a disk is full, that may be later than the loss.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    period : Date; the day, quiet ones included.
    buffer_full, disk_full, log_unwritable, writer_dead, unserializable, invalid, closed,
    left_at_close, rollup_full, error_keys_full, consent_withdrawn, failed, other : Int64, count;
        lost for this reason. The table of reasons says what each one means.
    """
    per_day = (
        _inside(state, window)
        .group_by(window.day("at").alias("period"))
        .agg(pl.col(name).sum() for name in LOSSES)
    )
    days = window.calendar().collect().join(per_day, on="period", how="left")
    return days.select("period", *(pl.col(name).fill_null(0) for name in LOSSES)).sort("period")


def pipeline_reasons(state: Pipeline, window: Window) -> pl.DataFrame:
    """Why records were lost in the period, most first.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    reason : String; the code word, as in `client.stats()`.
    records : Int64, count; what was lost for it.
    meaning : String; what happened.
    what_to_do : String; what helps.
    last_at : Datetime, UTC; the last report that added to it.
    """
    inside = _inside(state, window)
    rows = [
        (name, int(inside[name].sum()), *words, inside.filter(pl.col(name) > 0)["at"].max())
        for name, words in LOSSES.items()
    ]
    schema = {"reason": pl.String, "records": pl.Int64, "meaning": pl.String}
    schema |= {"what_to_do": pl.String, "last_at": TIME}  # type: ignore[dict-item]
    frame = pl.DataFrame([row for row in rows if row[1]], schema, orient="row")
    return frame.sort("records", "reason", descending=[True, False])


def pipeline_writers(state: Pipeline, window: Window) -> pl.DataFrame:
    """List the processes that reported in the period, the last to report first.

    Definition
    ----------
    A writer is one client in one process. It reports when its counts changed, so silence may mean
    that nothing happened. Counts are those of the period; the rest is its last report's.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    writer : String; process id and a random part, as in the names of its log files.
    channel : String; where in the product.
    release : String; the product's version.
    started_at : Datetime, UTC; when it said something for the first time.
    last_report : Datetime, UTC; its last report in the period.
    written : Int64, count; records that reached the log.
    sampled_out : Int64, count; left out by sampling.
    merged : Int64, count; repeats that share another one's record.
    flagged : Int64, count; values left out of records.
    lost : Int64, count; lost for any reason.
    buffered : Int64, count; said and not in the log yet, at the last report.
    held : Int64, count; errors and turns that wait for the record they will share, at that time.
    faults : Int64, count; exceptions of our own code that were stopped, since it started.
    storing : String; why SQLite did not take its rows, at the last report; null when it did.
    problems : String; settings it could not use.
    """
    latest = ("channel", "release", *GAUGES, "storing", "problems")
    return (
        _inside(state, window)
        .sort("at")
        .group_by("writer", maintain_order=True)
        .agg(
            *(pl.col(name).last() for name in latest),
            pl.col("started_at").first(),
            pl.col("at").last().alias("last_report"),
            *(pl.col(name).sum() for name in COUNTERS),
            _lost().sum().cast(pl.Int64).alias("lost"),
        )
        .select(
            *("writer", "channel", "release", "started_at", "last_report"),
            *(*COUNTERS, "lost", "buffered", "held", "faults", "storing", "problems"),
        )
        .sort("last_report", "writer", descending=[True, False])
    )


def pipeline_files(state: Pipeline, _window: Window) -> pl.DataFrame:
    """List the files of the event log, now: those with lines to store first, then the newest.

    Source
    ------
    log : the files in the folder `log`, and how far SQLite has read each.

    Columns
    -------
    file : String; its path in the home.
    day : Date; the day it is for, UTC.
    bytes : Int64, bytes; its size on disk.
    stored_bytes : Int64, bytes; how much of it, unpacked, is in SQLite. Null when SQLite cannot be
        asked.
    waiting_bytes : Int64, bytes; the rest of it.
    waiting_lines : Int64, count; the lines of the rest. Null when it is compressed, or when there
        are more than 64 MB of them.
    last_written : Datetime, UTC; when it last changed.
    """
    return state.files


def pipeline_stored(state: Pipeline, _window: Window) -> pl.DataFrame:
    """Say what SQLite holds, now.

    Source
    ------
    database : telemetry.db.

    Columns
    -------
    table : String; events, errors, traces or sessions.
    rows : Int64, count; its rows. Null when they cannot be counted.
    oldest : Datetime, UTC; the earliest time a row tells.
    newest : Datetime, UTC; the latest time a row tells.
    last_stored : Datetime, UTC; when the last row came in.
    """
    return state.stored


def pipeline_sizes(state: Pipeline, _window: Window) -> pl.DataFrame:
    """How much room the home takes on disk, now.

    Source
    ------
    disk : the home's own folders. The fast copy can be deleted at any time; it is made again.

    Columns
    -------
    place : String; log, database, fast copy, inbox or reports.
    files : Int64, count; files in it, 50,000 at most.
    bytes : Int64, bytes; their sizes.
    """
    return state.sizes


def pipeline_quarantine(state: Pipeline, _window: Window) -> pl.DataFrame:
    """Why lines were put aside instead of becoming rows, most first; all there are, now.

    Definition
    ----------
    A line is put aside only when its JSON, its time, its event name or its user cannot be read. Any
    other wrong value is left out of its row and flagged.

    Source
    ------
    database : the table telemetry_quarantine.

    Columns
    -------
    reason : String; what is wrong, without what differs from line to line.
    lines : Int64, count; lines put aside for it.
    files : Int64, count; files they are in.
    what_to_do : String; what helps.
    """
    return state.reasons


def pipeline_lines(state: Pipeline, _window: Window) -> pl.DataFrame:
    """List the lines that were put aside, newest first, 1,000 at most.

    Source
    ------
    database : the table telemetry_quarantine.

    Columns
    -------
    file : String; where the line is.
    line : Int64; its number; in a file of the log, the byte it begins at.
    reason : String; what is wrong with it.
    text : String; its first 2 KB, redacted.
    put_aside : Datetime, UTC; when.
    """
    return state.quarantine


def pipeline_flags(state: Pipeline, _window: Window) -> pl.DataFrame:
    """Values that were left out of otherwise good rows when files were loaded, most first.

    Source
    ------
    database : the table telemetry_flags.

    Columns
    -------
    file : String; the file that was loaded.
    field : String; what was left out, or is unusual.
    rows : Int64, count; in so many of its rows.
    """
    return state.flags


def _listed(functions: Iterable[Compute]) -> dict[str, Measure]:
    return {one.__name__: Measure(one.__name__, one) for one in functions}


MEASURES: Final[dict[str, Measure]] = _listed(
    (
        pipeline_totals,
        pipeline_by_day,
        pipeline_losses,
        pipeline_reasons,
        pipeline_writers,
        pipeline_files,
        pipeline_stored,
        pipeline_sizes,
        pipeline_quarantine,
        pipeline_lines,
        pipeline_flags,
    )
)
