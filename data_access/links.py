"""What a copied link asks for: filters with its spans resolved, and a page's choices as options.

It draws nothing and reads no clock: the instant is given. A bare query asks for a metric as the
metric is defined; the link of a page, or a query with the page's own choices, as the page shows it.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import polars as pl

from data_access.asked import at_least, resolve
from data_access.compute import compute
from data_access.filters import DIMENSIONS, QUERY_CHARS_MAX, SPANS, Filters
from data_access.home import settings
from data_access.measures import MEASURES, Measure
from data_access.metrics import METRICS
from data_access.metrics.breakdown import BREAKDOWNS
from data_access.pipeline import pipeline
from data_access.schema import SCHEMAS
from data_access.sources import first_day, last_day, properties, stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from data_access.metrics.registry import Metric

__all__ = ["Link", "LinkError", "Request", "near", "read_link"]

EVERY: Final = {"day": "1d", "week": "1w", "month": "1mo"}
COHORTS: Final = {"first-time": "first", "recurring": "recurring"}
CLOCKS: Final = {"calendar": "calendar", "own-clock": "rolling"}
RETENTION_DAYS: Final = {"1d": 28, "1w": 84, "1mo": 365}  # at least, when there is data
TREND_DAYS: Final = 84
TO_PAID: Final = (
    *("session_started", "context_created", "context_loaded"),
    "paid_subscription_started",
)
LIMITS: Final[dict[str, str | None]] = {
    "any": None,
    **{one: one for one in ("1h", "1d", "7d", "14d", "30d")},
}
TREND_WITHIN: Final = "30d"
ITEMS: Final = {"event": "event_name", "event or tool": "tool_or_event", "tool": "tool_name"}
BY_ID: Final = "session id"
WAY_DEPTH: Final = 4  # longer ways are hardly ever the same
WAYS: Final = 8
EXPERIMENT: Final = {"goals": ("paid_subscription_started",), "values": ("events", "sessions")}
_TRUTH: Final = {"true": True, "false": False}
_SWITCHES: Final = ("compare", "complete", "live")
_OF_A_PAGE: Final[tuple[str, ...]] = (
    "group",
    "operation",
    "user",
)  # in the link without the page's name
# further words of a link that no number depends on
_SILENT: Final = ("who", "embed", "embed_options")
BETWEEN: Final = re.compile(r"(.*\S)\s+between\s+(\d{1,2})\s+and\s+(\d{1,2})", re.DOTALL)


class LinkError(ValueError):
    """A link that asks for something that is not there. The message says what to ask instead."""


# --- one choice of a page --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of a page's own choices: the metric option it is, and how its words are read."""

    option: str
    read: Callable[[str, Sequence[str]], Any]


def _one_of(values: Mapping[str, Any]) -> Callable[[str, Sequence[str]], Any]:
    def read(name: str, said: Sequence[str]) -> object:
        if said[-1] not in values:
            raise LinkError(f"{name}={said[-1]!r} is unknown. {near(said[-1], values)}")
        return values[said[-1]]

    return read


def _text(_: str, said: Sequence[str]) -> str:
    return said[-1]


def _texts(_: str, said: Sequence[str]) -> tuple[str, ...]:
    return tuple(said)


def _number(name: str, said: Sequence[str]) -> int:
    try:
        return int(float(said[-1]))
    except (ValueError, OverflowError):
        raise LinkError(f"{name}={said[-1]!r} is no number.") from None


def _percent(name: str, said: Sequence[str]) -> float:
    return _number(name, said) / 100


def _unless(word: str) -> Callable[[str, Sequence[str]], str | None]:
    return lambda _, said: None if said[-1] == word else said[-1]


_every = _Choice("every", _one_of(EVERY))
_split = _Choice("split", _unless("none"))

# page -> its choice's name in the link -> what it is
CHOICES: Final[dict[str, dict[str, _Choice]]] = {
    "overview": {"by": _split},
    "retention": {
        "every": _every,
        "cohort": _Choice("cohort", _one_of(COHORTS)),
        "start": _Choice("start", _text),
        "back": _Choice("back", _text),
        "times": _Choice("min_returns", _number),
        "later": _Choice("unbounded", _one_of(_TRUTH)),
        "clock": _Choice("clock", _one_of(CLOCKS)),
        "by": _split,
    },
    "funnels": {
        "steps": _Choice("steps", _texts),
        "order": _Choice("order", _one_of({x: x for x in ("ordered", "strict", "unordered")})),
        "within": _Choice("within", _one_of(LIMITS)),
        "entry": _Choice("entry", _one_of({x: x for x in ("best", "first")})),
        "optional": _Choice("optional", _texts),
        "without": _Choice("exclude", _texts),
        "every": _every,
        "by": _Choice("by", _text),
    },
    "journeys": {
        "item": _Choice("item", _one_of(ITEMS)),
        "gap": _Choice("gap", _text),
        "depth": _Choice("depth", _number),
        "most": _Choice("most", _number),
        "start": _Choice("start", _unless("any")),
        "end": _Choice("end", _unless("any")),
        "goal": _Choice("goal", _text),
        "hide": _Choice("hide", _texts),
        "by": _split,
    },
    "users": {"find": _Choice("prefix", _text)},
    "features": {"by": _split, "every": _every},
    "models": {"by": _split},
    "extension": {"by": _split},
    "latency": {"by": _split},
    "experiments": {
        "flag": _Choice("flag", _text),
        "control": _Choice("control", _unless("automatic")),
        "effect": _Choice("effect", _percent),
        "correction": _Choice("correction", _text),
        "goals": _Choice("goals", _texts),
        "means": _Choice("values", _texts),
        "period": _Choice("period", _one_of(_TRUTH)),
    },
}


# --- a link ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A metric with its options, over filters: what `compute` takes."""

    metric: Metric | Measure
    filters: Filters
    options: dict[str, Any]
    split: str | None = None
    notes: tuple[str, ...] = ()

    def compute(self, home: str | Path | None) -> pl.LazyFrame:
        """Return the metric as a plan."""
        if isinstance(self.metric, Measure):
            window = self.filters.window
            return self.metric.compute(pipeline(home, since=window.start), window).lazy()
        return compute(self.metric, self.filters, home, split=self.split, **self.options)


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: the page it is of (or none), its filters, and the page's own choices."""

    page: str
    filters: Filters
    own: dict[str, list[str]] = field(default_factory=dict)
    plain: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def request(
        self,
        name: str,
        home: str | Path | None,
        *,
        split: str | None = None,
        **options: Any,  # noqa: ANN401 - a metric's own options
    ) -> Request:
        """Return what the link asks of a metric. `split` and `options` win over the link's.

        Raises
        ------
        LinkError : when there is no such metric or option, or one that is needed is missing.
        """
        if name in MEASURES and not options and split is None:
            return Request(MEASURES[name], self.filters, {})
        metric = _metric(name, options)
        taken = metric.option_kinds()
        chosen = {
            own.option: own.read(f"{self.page}.{key}", self.own[key])
            for key, own in CHOICES.get(self.page, {}).items()
            if self.own.get(key)
        }
        chosen |= {key: values[-1] for key, values in self.plain.items() if key in taken}
        link_split = chosen.pop("split", None)
        filters = self._filters(home, metric, chosen | options)
        if name.startswith("funnel"):
            chosen = _funnel(self.page, name, chosen, options, home)
        elif self.page == "retention":
            chosen = {"every": "1w"} | chosen
        elif self.page == "journeys":
            chosen = _journeys(name, chosen)
        elif self.page == "experiments":
            chosen, filters = _experiment(chosen, options, home, filters)
        asked = {key: value for key, value in chosen.items() if key in taken} | options
        missing = [key for key in metric.options_needed() if key not in asked]
        if missing:
            raise LinkError(
                f"{name} needs {' and '.join(missing)}. Say it with --option {missing[0]}=VALUE."
            )
        notes = []
        if split is None and link_split is not None:
            split = link_split
            notes.append(f"Once per {split}, as the link says.")
        columns = (column for source in metric.sources for column in SCHEMAS[source])
        if split is not None and split not in {*BREAKDOWNS, "stage", *columns, *properties(home)}:
            notes.append(
                f"{split!r} is neither a column nor a breakdown the pages offer: is it spelled as "
                "in the metadata?"
            )
        return Request(metric, filters, asked, split, tuple(notes))

    def _filters(
        self,
        home: str | Path | None,
        metric: Metric,
        options: Mapping[str, Any],
    ) -> Filters:
        """Return the filters with the room a page gives its pictures, and with its stage."""
        if self.page in DIMENSIONS["stages"].closed and stages(home):
            return replace(self.filters, stages=(self.page,))
        if self.page == "retention":
            first = first_day(home, timezone=settings(home).timezone)
            return self._at_least(RETENTION_DAYS.get(options.get("every", "1w"), 0), first)
        if self.page == "funnels" and metric.name == "funnel_trend":
            return self._at_least(TREND_DAYS)
        return self.filters

    def _at_least(self, days: int, first: date | None = None) -> Filters:
        """Return the filters over no fewer days to the same end, but not from before the first."""
        window = self.filters.window
        if first is not None and window.end - timedelta(days=days) < first:
            days = (window.end - min(first, window.start)).days
        return self.filters.with_window(at_least(window, days))


def _metric(name: str, options: Iterable[str]) -> Metric:
    """Return the metric, when there is one that takes these options."""
    metric = METRICS.get(name)
    if name in MEASURES:
        raise LinkError(f"{name} is about the home as a whole: it takes no option and no split.")
    if metric is None:
        raise LinkError(f"There is no metric {name!r}. {near(name, [*METRICS, *MEASURES])}")
    taken = metric.option_kinds()
    for option in options:
        if option not in taken:
            raise LinkError(f"{name} has no option {option!r}. {near(option, taken)}")
    return metric


def _journeys(name: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a path: its sessions by silence or by their id, its length."""
    found = dict(chosen)
    if found.get("gap") == BY_ID:
        del found["gap"]
        found["by"] = "session_id"
    if name.startswith("journey"):  # ways to the goal are short, whatever is drawn above
        return found | {"depth": WAY_DEPTH, "top": WAYS}
    return {"depth": 5, "most": 6} | found


def _funnel(
    page: str,
    name: str,
    chosen: dict[str, Any],
    options: Mapping[str, Any],
    home: str | Path | None,
) -> dict[str, Any]:
    """Return a funnel's options: the usual steps where none are named, optional ones by number."""
    found: dict[str, Any] = {"steps": TO_PAID} | chosen
    if page == "funnels":
        found = {"within": None} | found
        if name == "funnel_trend":
            found["within"] = found["within"] or TREND_WITHIN
            found.setdefault("every", "1w")
    if name == "funnel_by":
        found = {"by": "tier", "users_min": settings(home).group_users_min} | found
    steps = tuple(options.get("steps", found["steps"]))
    optional = found.pop("optional", ())
    skipped = tuple(k for k, step in enumerate(steps) if k and step in optional)
    if skipped and found.get("order", "ordered") == "ordered":
        found["optional"] = skipped
    required = [k for k in range(len(steps)) if k not in found.get("optional", ())]
    excluded = [_exclusion(one, required) for one in found.pop("exclude", ())]
    return found | ({"exclude": tuple(excluded)} if excluded else {})


def _exclusion(said: str, required: Sequence[int]) -> tuple[str, int, int]:
    narrowed = BETWEEN.fullmatch(said.strip())
    if not narrowed:
        return said, required[0], required[-1]
    after, before = int(narrowed[2]) - 1, int(narrowed[3]) - 1
    if after not in required or before not in required or after >= before:
        raise LinkError(
            f"funnels.without={said!r} leaves nobody out: name two required steps, such as "
            f"{narrowed[1]!r} between 1 and 2."
        )
    return narrowed[1], after, before


def _experiment(
    chosen: dict[str, Any], options: Mapping[str, Any], home: str | Path | None, filters: Filters
) -> tuple[dict[str, Any], Filters]:
    """Return an experiment's options, the largest one where none is named, and its days."""
    found: dict[str, Any] = EXPERIMENT | chosen
    found["goal"] = found["goals"][0]
    flags = (
        compute(METRICS["experiments"], filters, home)
        .collect()
        .group_by("flag")
        .agg(pl.col("users").sum(), pl.col("first_seen").min())
        .sort("users", "flag", descending=[True, False])
    )
    flag = options.get("flag", found.get("flag"))
    if flag is not None:
        flags = flags.filter(flag=flag)
    if flags.is_empty():
        return found, filters
    found["flag"] = flags["flag"].to_list()[0]
    window = filters.window
    began = flags["first_seen"].dt.convert_time_zone(window.timezone).dt.date().to_list()[0]
    if found.get("period") or began >= window.end:
        return found, filters
    whole = replace(window, start=began, start_at=None, end_at=None)
    return found, filters.with_window(whole)


# --- reading ---------------------------------------------------------------------------------


def read_link(
    text: str,
    home: str | Path | None,
    *,
    now: datetime,
) -> Link:
    """Return what a link or its query string asks for; spans end as they do on the pages.

    Parameters
    ----------
    text : a whole address, or its query with or without the question mark; empty for the default.
    now : the instant relative spans are resolved at.

    Raises
    ------
    LinkError : when a filter in it cannot be understood. Words that filter nothing are noted.
    """
    if len(text) > QUERY_CHARS_MAX:
        raise LinkError(f"A link of {len(text):,} characters is none of ours.")
    page, query = _parts(text)
    asked: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=False):
        asked.setdefault(name, []).append(value)
    own, found = _own(asked)
    filters = _filters(asked, home, now=now)
    if filters.notes:  # a page says so and goes on; a file would be taken for what was asked
        raise LinkError(f"{' '.join(filters.notes)} {_allowed(asked)}".strip())
    if len(found) > 1:
        raise LinkError(f"The link holds choices of several pages: {', '.join(sorted(found))}.")
    # the choices tell the page where the address does not; those of another page say nothing.
    # Open and closed beta are pages without choices
    if page not in {*CHOICES, *DIMENSIONS["stages"].closed}:
        page = ""
    page = page or next(iter(found), "")
    chosen = own.get(page, {})
    _known(page, chosen)
    plain = {name: asked[name] for name in _OF_A_PAGE if name in asked}
    return Link(page, filters, chosen, plain, tuple(_strange(asked, own)))


def _parts(text: str) -> tuple[str, str]:
    """Return the page and the query of a link; the page is empty when there is the query alone."""
    text = text.strip()
    if "://" in text:
        parts = urlsplit(text)
        return parts.path.rstrip("/").rpartition("/")[2], parts.query
    path, mark, query = text.partition("?")
    if mark and "=" not in path:
        return path.strip("/").rpartition("/")[2], query.partition("#")[0]
    return "", text.partition("#")[0]


def _own(asked: Mapping[str, list[str]]) -> tuple[dict[str, dict[str, list[str]]], set[str]]:
    own: dict[str, dict[str, list[str]]] = {}
    for key, values in asked.items():
        page, dot, name = key.partition(".")
        if dot:
            own.setdefault(page, {})[name] = values
    return own, set(own) & set(CHOICES)


def _known(page: str, chosen: Iterable[str]) -> None:
    known = CHOICES.get(page, {})
    for name in chosen:
        if known and name not in known and (page, name) not in _ONLY_SHOWN:
            raise LinkError(
                f"The page {page} has no choice {name!r}. "
                f"{near(f'{page}.{name}', [f'{page}.{one}' for one in known])}"
            )


# choices that change what is drawn and no metric
_ONLY_SHOWN: Final = {
    *(("models", "rank"), ("features", "all"), ("users", "order")),
    *(("users", "kinds"), ("users", "names"), ("users", "page")),
}


def _allowed(asked: Mapping[str, list[str]]) -> str:
    """Say which values the filters with a closed list take, where another one was asked for."""
    said = []
    for dimension in DIMENSIONS.values():
        values = asked.get(dimension.query_name, [])
        wrong = [one for one in values if dimension.closed and one not in dimension.closed]
        said += [f"{dimension.query_name}: {near(one, dimension.closed)}" for one in wrong[:1]]
    if asked.get("span") and asked["span"][-1] not in SPANS:
        said.append(f"span: {near(asked['span'][-1], SPANS)}")
    return " ".join(said)


def _strange(asked: Iterable[str], own: Mapping[str, object]) -> list[str]:
    words = {"span", "from", "to", "until", "timezone", "week_starts_on"}
    words |= {*_SWITCHES, *_OF_A_PAGE, *_SILENT}
    words |= {dimension.query_name for dimension in DIMENSIONS.values()}
    strange = sorted(name for name in set(asked) - words if name.partition(".")[0] not in own)
    strange += sorted(page for page in own if page not in CHOICES)
    return [f"Ignored unknown parts of the link: {', '.join(strange[:5])}."] if strange else []


def _filters(asked: Mapping[str, list[str]], home: str | Path | None, *, now: datetime) -> Filters:
    """Return the filters, with a relative span ending where the sidebar would let it end."""
    team = settings(home)
    custom = {"span": ["custom"]} if asked.get("from") and asked.get("to") else {}
    complete, live = (_switched(asked, name, default=name == "complete") for name in _SWITCHES[1:])
    return resolve(
        custom | dict(asked),
        now=now,
        today=now.astimezone(ZoneInfo(team.timezone)).date(),
        timezone=team.timezone,
        week_starts_on=team.week_starts_on,
        first_day=first_day(home, timezone=team.timezone),
        last_day=last_day(home, now=now, timezone=team.timezone),
        complete=complete,
        live=live,
    ).filters


def _switched(asked: Mapping[str, list[str]], name: str, *, default: bool) -> bool:
    said = asked.get(name)
    if not said:
        return default
    if said[-1].lower() not in _TRUTH:
        raise LinkError(f"{name}={said[-1]!r} is neither true nor false.")
    return _TRUTH[said[-1].lower()]


def near(name: str, known: Iterable[str]) -> str:
    """Say which names there are, and which of them may have been meant."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}There {'are' if len(names) != 1 else 'is'}: {', '.join(names) or 'none'}."
