"""Who was exposed to which variant of an experiment, and what they did from then on.

The parts that the metrics of `experiments` and `experiment_results` are made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import polars as pl

from data_access import stats
from data_access.metadata import METADATA_COLUMN
from data_access.metrics.common import (
    EVENT,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    Event,
    MetricError,
    event_predicate,
    of_people,
    user_key,
    weight_of,
)
from data_access.metrics.kpis import ratio
from data_access.metrics.properties import has_key, property_of, text_of
from data_access.metrics.steps import step_of
from data_access.schema import TIME

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = [
    "FLAG_EVENTS",
    "RECENT_DAYS",
    "Goal",
    "Measure",
    "Outcome",
    "Setting",
    "arms_of",
    "exposures",
    "followed",
    "told",
    "with_control",
    "with_interval",
]

DEFAULT_FLAG: Final = "default"
FLAG_EVENTS: Final = (
    *("feature_flag_called", "$feature_flag_called", "exposure", "$exposure"),
    *("experiment_exposed", "experiment_viewed", "$experiment_started"),
)
RECENT_DAYS: Final = 7  # at the end of the window: how fast people come now
VARIANTS_MAX: Final = stats.ARMS_MAX  # those with the most people; nobody tests more
_CONTROLS: Final = ("control", "baseline", "original", "off", "false", "a")
_FLAG_KEYS: Final = ("flag", "$feature_flag", "flag_key")
# a feature-flag event may call the variant by these too; on any other event they are its own
_VALUE_KEYS: Final = ("variant", "$feature_flag_response", "value")
_ANY_KEYS: Final = ("flag", "variant")
_MEASURE: Final = re.compile(r"(sum|mean) of (.+)")

# from the people exposed and how many each of them stands for at least, and the rows of each
# outcome, to the plan of the result
Step: TypeAlias = Callable[[pl.LazyFrame, float, list[pl.DataFrame]], pl.LazyFrame]


# --- who saw what ----------------------------------------------------------------------------


def _is_flag_event() -> pl.Expr:
    return pl.col(EVENT).is_in(FLAG_EVENTS).fill_null(value=False)


def _is_exposing() -> pl.Expr:
    """Return whether an event may name a variant: cheap, and never false for one that does."""
    return has_key("variant") | (_is_flag_event() & has_key(*_VALUE_KEYS[1:]))


def _said() -> pl.Expr:
    """Return the part of the metadata that can name a flag and a variant, as JSON text.

    From the first of the two keys on: people say few different things there, so that parsing each
    once takes a tenth of parsing every row. A key inside another object leaves a bracket too many
    behind, so it reads as null, as it should.
    """
    text = pl.col(METADATA_COLUMN)
    start = pl.min_horizontal(*(text.str.find(f'"{key}"', literal=True) for key in _ANY_KEYS))
    rest = text.cast(pl.Binary).bin.slice(start).cast(pl.String)
    shortened = pl.concat_str(pl.lit("{"), rest)
    return pl.when(_is_flag_event()).then(text).otherwise(shortened).alias("said")


def told(rows: pl.DataFrame) -> pl.LazyFrame:
    """Return the rows with the flag and variant that they name, each distinct text parsed once."""
    texts = rows.lazy().select("said", "is_named").filter(pl.col("said").is_not_null()).unique()
    parsed = texts.rename({"said": METADATA_COLUMN}).with_columns(
        pl.coalesce(
            *(text_of(key).replace("", None) for key in _FLAG_KEYS), pl.lit(DEFAULT_FLAG)
        ).alias("flag"),
        pl.coalesce(
            text_of("variant"),
            *(pl.when("is_named").then(text_of(key)) for key in _VALUE_KEYS[1:]),
        )
        .replace("", None)
        .alias("variant"),
    )
    named = parsed.rename({METADATA_COLUMN: "said"})
    return rows.lazy().join(named, on=["said", "is_named"], how="left", maintain_order="left")


def exposures(events: pl.LazyFrame, when: pl.Expr, inside: pl.Expr) -> pl.LazyFrame:
    """Return what each person was told, and when: one row per person and distinct text.

    `weight` is null for what was told outside.
    """
    return (
        events.filter(when, pl.col(USER).is_not_null(), _is_exposing())
        .select(
            user_key(),
            USER,
            _said(),
            _is_flag_event().alias("is_named"),
            TIMESTAMP,
            pl.when(inside).then(weight_of(events)).alias(WEIGHT),
        )
        .group_by(KEY, "said", "is_named")
        .agg(
            pl.col(USER).first(),
            pl.col(TIMESTAMP).min(),
            pl.col(TIMESTAMP).max().alias("last_at"),
            pl.col(WEIGHT).min(),
        )
    )


@dataclass(frozen=True, slots=True)
class Setting:
    """What else the arms need to know; `each`: how many a person stands for at least."""

    window: Window
    control: str | None
    each: float = 1.0


class Outcome(Protocol):
    """Something people do after their exposure."""

    def rows(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """Return KEY, timestamp, weight and more of the events that matter to it."""

    def arms(self, people: pl.LazyFrame, rows: pl.DataFrame, setting: Setting) -> pl.LazyFrame:
        """Return a row per variant."""


def followed(
    events: pl.LazyFrame, window: Window, flag: str, outcomes: Sequence[Outcome], step: Step
) -> pl.LazyFrame:
    """Return `step` of the people exposed in the window and of what they did in it.

    The people have KEY, user_id_hash, variant (null: several), exposed_at and weight.
    """
    inside = window.contains()

    def reduce(events: pl.LazyFrame) -> pl.LazyFrame:
        known = events.filter(inside, pl.col(USER).is_not_null())
        parts = [exposures(events, inside, pl.lit(value=True))]
        parts += [outcome.rows(known) for outcome in outcomes]
        marked = [part.with_columns(pl.lit(at).alias("part")) for at, part in enumerate(parts)]
        return pl.concat(marked, how="diagonal")

    def run(rows: pl.DataFrame, _ids: pl.LazyFrame, each: float) -> pl.LazyFrame:
        said, *done = (rows.filter(pl.col("part") == at) for at in range(len(outcomes) + 1))
        return step(_people(said, flag).collect(engine="in-memory").lazy(), each, done)

    return of_people(events, reduce, run, when=inside)


def _people(rows: pl.DataFrame, flag: str) -> pl.LazyFrame:
    """Return each person exposed, in one row."""
    seen = told(rows).filter(pl.col("flag") == flag, pl.col("variant").is_not_null())
    only = pl.col("variant").min() == pl.col("variant").max()
    return seen.group_by(KEY).agg(
        pl.col(USER).first(),
        pl.when(only).then(pl.col("variant").min()).alias("variant"),
        pl.col(TIMESTAMP).min().alias("exposed_at"),
        pl.col(WEIGHT).min(),
    )


# --- what they did ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Goal:
    """An event that people reach or not: `event` as any metric takes one, or typed as a step."""

    flag: str
    event: Event

    def predicate(self) -> pl.Expr:
        """Return whether a row is the goal."""
        return event_predicate(step_of(self.event) if isinstance(self.event, str) else self.event)

    def rows(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """Return the events that reach the goal, with what they say of a variant."""
        said = pl.when(_is_exposing()).then(_said()).alias("said")
        named = _is_flag_event().alias("is_named")
        own = (user_key(), said, named, TIMESTAMP, weight_of(events))
        return events.filter(self.predicate()).select(*own)

    def reached(self, people: pl.LazyFrame, rows: pl.DataFrame) -> pl.LazyFrame:
        """Return the people with converted_at: the first goal from their exposure on, or null."""
        exposing = (pl.col("flag") == self.flag) & pl.col("variant").is_not_null()
        at, since = pl.col(TIMESTAMP), pl.col("exposed_at")
        reached = (
            told(rows)
            .select(KEY, TIMESTAMP, exposing.fill_null(value=False).alias("is_exposing"))
            .join(people.select(KEY, "exposed_at"), on=KEY)
            .filter((at > since) | ((at == since) & ~pl.col("is_exposing")))
            .group_by(KEY)
            .agg(at.min().alias("converted_at"))
        )
        return people.join(reached, on=KEY, how="left")

    def arms(self, people: pl.LazyFrame, rows: pl.DataFrame, setting: Setting) -> pl.LazyFrame:
        """Return the columns of `experiment`."""
        done = pl.col(WEIGHT).filter(pl.col("converted_at").is_not_null()).sum()
        arms = arms_of(self.reached(people, rows), setting.window, done.alias("converted"))
        rated = with_control(arms, setting.control).with_columns(
            ratio("converted", "users").alias("rate")
        )
        return with_interval(rated, pl.col("rate") * pl.col("n"), pl.col("n")).select(
            *("variant", "is_control", "users", "users_recent", "converted", "rate"),
            *("rate_low", "rate_high", "n", "mixed"),
        )


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of each person: `kind` is events, sessions, sum or mean; `key` of the last two."""

    kind: str
    key: str = ""

    @classmethod
    def of(cls, text: str) -> Measure:
        """Return the measure a text names.

        Raises
        ------
        MetricError : when it names none.
        """
        if text in {"events", "sessions"}:
            return cls(text)
        match = _MEASURE.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise MetricError(
                f"{text!r} is no measure. Use 'events', 'sessions', 'sum of KEY' or 'mean of KEY', "
                "such as 'sum of cost_usd' or 'mean of duration_ms'."
            )
        text_of(match[2])  # refuses what cannot be a key
        return cls(match[1], match[2])

    def rows(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """Return what this measure adds up, of the events with any: `value` or `session`."""
        own = [user_key(), pl.col(TIMESTAMP), weight_of(events)]
        if self.kind == "events":
            return events.select(*own, pl.lit(1.0).alias("value"))
        if self.kind == "sessions":
            session = pl.col("session_id")
            return events.filter(session != "").select(*own, session.hash().alias("session"))
        if self.key not in events.collect_schema():
            events = events.filter(has_key(self.key))
        number = property_of(events, self.key).cast(pl.Float64, strict=False)
        return events.select(*own, number.alias("value")).filter(pl.col("value").is_finite())

    def arms(self, people: pl.LazyFrame, rows: pl.DataFrame, setting: Setting) -> pl.LazyFrame:
        """Return the columns of `experiment_means`."""
        weight, number, n = pl.col(WEIGHT), pl.col("number"), pl.col("n")
        mean = (number * weight).sum() / weight.sum()
        spread = ((number - mean) ** 2 * weight).sum()
        known = self._measured(people, rows, setting.each)
        arms = arms_of(known, setting.window, mean.alias("mean"), spread.alias("spread"))
        variance = pl.when(n > 1).then(pl.col("spread") / pl.col("users") * n / (n - 1))
        return (
            with_control(arms, setting.control)
            .with_columns(variance.alias("variance"))
            .with_columns((pl.col("variance") / n).sqrt().alias("std_error"))
            .select(
                *("variant", "is_control", "users", "users_recent", "mean", "variance"),
                *("std_error", "n", "mixed"),
            )
        )

    def _measured(self, people: pl.LazyFrame, rows: pl.DataFrame, each: float) -> pl.LazyFrame:
        """Return the people with their `number`, from their exposure on; nobody's is null."""
        numbers = (
            rows.lazy()
            .join(people.select(KEY, "exposed_at"), on=KEY)
            .filter(pl.col(TIMESTAMP) >= pl.col("exposed_at"))
            .group_by(KEY)
            .agg(self._per_person(each).alias("number"))
        )
        found, number = people.join(numbers, on=KEY, how="left"), pl.col("number")
        if self.kind == "mean":
            return found.filter(number.is_not_null() | pl.col("variant").is_null())
        return found.with_columns(number.fill_null(0.0))

    def _per_person(self, each: float) -> pl.Expr:
        """Return the aggregate of one person's rows; a sampled row counts once."""
        if self.kind == "sessions":
            return pl.col("session").n_unique().cast(pl.Float64)
        total = (pl.col("value") * pl.col(WEIGHT)).sum()
        return total / (pl.col(WEIGHT).sum() if self.kind == "mean" else each)


# --- the arms --------------------------------------------------------------------------------


def arms_of(people: pl.LazyFrame, window: Window, *aggregates: pl.Expr) -> pl.LazyFrame:
    """Return per variant: users, users_recent, n, the aggregates, and how many are mixed."""
    weight = pl.col(WEIGHT)
    since = pl.lit(window.closes_at - timedelta(days=RECENT_DAYS)).cast(TIME)
    mixed = people.filter(pl.col("variant").is_null()).select(weight.sum().alias("mixed"))
    return (
        people.filter(pl.col("variant").is_not_null())
        .group_by("variant")
        .agg(
            weight.sum().alias("users"),
            weight.filter(pl.col("exposed_at") >= since).sum().alias("users_recent"),
            (weight.sum() ** 2 / (weight**2).sum()).alias("n"),
            *aggregates,
        )
        .sort("users", "variant", descending=[True, False])
        .head(VARIANTS_MAX)
        .join(mixed, how="cross")
        .sort("variant")
    )


def with_control(arms: pl.LazyFrame, control: str | None) -> pl.LazyFrame:
    """Return the arms in order of their variant, with `is_control`."""
    if control is not None:
        return arms.with_columns((pl.col("variant") == control).alias("is_control"))
    place = (
        pl.col("variant")
        .str.to_lowercase()
        .replace_strict(
            _CONTROLS, range(len(_CONTROLS)), default=len(_CONTROLS), return_dtype=pl.Int64
        )
    )
    first = pl.col("variant").sort_by(place, "variant").first()
    return arms.with_columns((pl.col("variant") == first).alias("is_control"))


def with_interval(frame: pl.LazyFrame, hits: pl.Expr, of: pl.Expr) -> pl.LazyFrame:
    """Return the frame with `rate_low` and `rate_high`; null where nobody is."""
    known = frame.with_columns(hits.alias("_hits"), of.alias("_of")).collect(engine="in-memory")
    found = [
        stats.rate_interval(min(hits, of), of) if of else (None, None)
        for hits, of in known.select(pl.col("_hits", "_of").fill_null(0.0)).iter_rows()
    ]
    ends = [[low for low, _ in found], [high for _, high in found]]
    return known.lazy().with_columns(
        pl.Series("rate_low", ends[0], dtype=pl.Float64),
        pl.Series("rate_high", ends[1], dtype=pl.Float64),
    )
