"""Tail-aware sampling: keep what went wrong, what was slow or matters, and a share of the rest.

Whether an ordinary success is kept depends on its user alone, by a hash that is the same in every
process and release: a user is kept whole or left out whole, and one kept at 1 % is kept at 5 % too.
A kept ordinary success weighs 1 / keep rate; what is always kept weighs 1, whoever did it. It
decides and explains; it drops, counts and writes nothing.

    sampling = Sampling(keep_rate=0.05)
    decision = sampling.decide(record)          # after scrubbing: the user is already a hash
    if decision.keep:
        record["weight"] = decision.weight      # times the weight it had, if it had one

What this does to numbers. Sums of weights (events, errors, cost) and counts of people and sessions
by their smallest qualifying weight are unbiased. A number that needs two facts about one person, or
that nothing came before, is not, once such a person shows both weights: of a user who was left out
only the slow and the failed is known, so they seem new, and their way through the product has
holes. Such numbers want the users that were chosen and nobody else, each at 1 / keep rate:
`share_of(user) < keep_rate` says who that is. For the same reason `session_started` is not
critical by default: kept for everybody at weight 1 it would make the active users exact, but
leave nearly every session a single event long and every funnel from it short by the keep rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ingest.vocabulary import ALIASES, SHARE_BYTES, SHARES, CortexEventName, share_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CRITICAL",
    "REASONS",
    "Decision",
    "Sampling",
    "from_settings",
    "standard_error",
    "standard_error_of_sum",
]

REASONS: Final = ("off", "error", "slow", "critical", "sampled_in", "sampled_out")

# rare, and each one counts: money, and the product stepping in to protect somebody's context
CRITICAL: Final = frozenset(
    name.value
    for name in (
        CortexEventName.PAID_SUBSCRIPTION_STARTED,
        CortexEventName.PAID_SUBSCRIPTION_CANCELED,
        CortexEventName.CONTEXT_PROTECTION_TRIGGERED,
        CortexEventName.CONTEXT_PROTECTION_BLOCKED,
    )
)

KEYS_REMEMBERED_MAX: Final = 16_384  # 4 MB; then all are forgotten, to be hashed again at 1 µs
KEY_CHARS_SHOWN: Final = 8
NUMBER_MAX: Final = 1e300  # a longer integer is no float
_NAMES_SHOWN_MAX: Final = 200

_FALSE_WORDS: Final = frozenset({"0", "false", "no", "f"})  # as the vocabulary reads a flag
_METADATA_NAME_FIELDS: Final = ("tool_name", "route")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a record is kept, how many records it then stands for, and why.

    `weight` is 0 for one that is left out; `reason` is one of REASONS.
    """

    keep: bool
    weight: float
    reason: str


_OFF: Final = Decision(keep=True, weight=1.0, reason="off")
_ERROR: Final = Decision(keep=True, weight=1.0, reason="error")
_SLOW: Final = Decision(keep=True, weight=1.0, reason="slow")
_IS_CRITICAL: Final = Decision(keep=True, weight=1.0, reason="critical")
_NOBODY: Final = Decision(keep=True, weight=1.0, reason="sampled_in")  # nothing to choose it by
_OUT: Final = Decision(keep=False, weight=0.0, reason="sampled_out")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which records are kept. It remembers recent users' verdicts, so one thread at a time.

    Parameters
    ----------
    keep_rate : share of ordinary successes kept, above 0 and up to 1; 1 is off, 0.01 to 0.1 usual.
    slow_ms : milliseconds; an event or trace that took longer is always kept. `math.inf`: none is.
    critical : names always kept: standard event names, operation names, and the `tool_name` and
        `route` of the metadata.

    Raises
    ------
    ValueError : when one of them is of another kind or out of its range.
    """

    keep_rate: float = 1.0
    slow_ms: float = 1_000.0
    critical: frozenset[str] = CRITICAL
    _critical_events: frozenset[str] = field(init=False, repr=False, compare=False)
    _kept_below: bytes = field(init=False, repr=False, compare=False)
    _in: Decision = field(init=False, repr=False, compare=False)
    _verdicts: dict[str, Decision] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        if not _is_number(self.keep_rate) or not 0 < self.keep_rate <= 1:
            raise ValueError(
                f"keep_rate = {self.keep_rate!r} is not a share to keep. Use a number above 0 and "
                "up to 1, such as 0.05 for 5 %; 1 turns sampling off."
            )
        if not _is_number(self.slow_ms) or not self.slow_ms > 0:
            raise ValueError(
                f"slow_ms = {self.slow_ms!r} is not a time limit. Use milliseconds above 0, such "
                "as 1000 to keep whatever took longer than a second."
            )
        put = object.__setattr__  # the dataclass is frozen, also to itself
        critical = _names(self.critical)
        older = (old for old, standard in ALIASES.items() if standard in critical)
        put(self, "critical", critical)
        put(self, "_critical_events", critical.union(older))
        if self.keep_rate < 1:
            put(self, "_kept_below", int(self.keep_rate * SHARES).to_bytes(SHARE_BYTES, "big"))
        put(self, "_in", Decision(keep=True, weight=1 / self.keep_rate, reason="sampled_in"))

    def decide(self, record: Mapping[str, object]) -> Decision:
        """Return whether to keep a record, at which weight and why; about a microsecond.

        Parameters
        ----------
        record : an event, error or trace under the vocabulary's column names, `metadata` a mapping.
            Values of a wrong kind are read as the vocabulary reads them, or count as missing.
        """
        if self.keep_rate == 1:
            return _OFF
        if _failure(record) is not None:
            return _ERROR
        duration_ms = record.get("duration_ms")
        if duration_ms is not None and _number(duration_ms) > self.slow_ms:
            return _SLOW
        if self._critical_name(record) is not None:
            return _IS_CRITICAL
        key = record.get("user_id_hash")
        if not isinstance(key, str) or not key:
            _, key = _key(record)
        if not key:
            return _NOBODY
        verdict = self._verdicts.get(key)
        return self._chosen(key) if verdict is None else verdict

    def explain(self, record: Mapping[str, object]) -> str:
        """Return the decision on a record and its reason, as a sentence."""
        decision = self.decide(record)
        if decision.reason == "off":
            return "Kept: sampling is off."
        if decision.reason == "error":
            return f"Kept: {_failure(record)}."
        if decision.reason == "slow":
            took = _number(record.get("duration_ms"))
            return f"Kept: it took {took:,.10g} ms, over the limit of {self.slow_ms:,.10g} ms."
        if decision.reason == "critical":
            return f"Kept: {self._critical_name(record)!r} is critical, and always kept."
        return self._explain_choice(record, kept=decision.keep)

    def _explain_choice(self, record: Mapping[str, object], *, kept: bool) -> str:
        kind, key = _key(record)
        if not key:
            return "Kept: it has no user, session, request or event id to choose it by."
        shown = key if len(key) <= KEY_CHARS_SHOWN else f"{key[:KEY_CHARS_SHOWN]}..."
        share = f"the {100 * self.keep_rate:.10g} % whose ordinary successes are kept"
        if kept:
            weight = f"{1 / self.keep_rate:,.4g}"
            return f"Kept: {kind} {shown} is among {share}. It stands for {weight} like it."
        return f"Left out: {kind} {shown} is not among {share}."

    def _chosen(self, key: str) -> Decision:
        """Return the verdict on a key, and remember it."""
        if len(self._verdicts) >= KEYS_REMEMBERED_MAX:
            self._verdicts.clear()
        verdict = self._verdicts[key] = self._in if share_digest(key) < self._kept_below else _OUT
        return verdict

    def _critical_name(self, record: Mapping[str, object]) -> str | None:
        """Return the name that makes a record critical, if one does."""
        name = record.get("event_name")
        if isinstance(name, str) and name in self._critical_events:
            return name
        name = record.get("operation_name")
        if isinstance(name, str) and name in self.critical:
            return name
        metadata = record.get("metadata")
        if metadata and isinstance(metadata, (dict, Mapping)):
            for key in _METADATA_NAME_FIELDS:
                name = metadata.get(key)
                if isinstance(name, str) and name in self.critical:
                    return name
        return None


def from_settings(raw: Mapping[str, object]) -> Sampling:
    """Return what the `[sampling]` table of telemetry.toml asks for; an empty table is off.

    Parameters
    ----------
    raw : keep_rate, slow_ms, and critical, a list of names that replaces the usual ones.

    Raises
    ------
    ValueError : when a key is unknown or a value cannot be used; the message names it.
    """
    known = ("keep_rate", "slow_ms", "critical")
    unknown = sorted(set(raw) - set(known))
    if unknown:
        raise ValueError(f"[sampling] has no setting {unknown[0]!r}. It has {', '.join(known)}.")
    given = {"keep_rate": 1.0, "slow_ms": 1_000.0, "critical": CRITICAL} | dict(raw)
    try:
        return Sampling(**given)  # type: ignore[arg-type] # it checks each of them itself
    except ValueError as error:
        raise ValueError(f"[sampling] in telemetry.toml: {error}") from None


def standard_error(users_kept: float, keep_rate: float) -> float:
    """Return the standard error of a count of people estimated as users_kept / keep_rate.

    Each user is in the sample or not, independently, so the estimate has the variance
    N (1 - p) / p, and N is users_kept / p. People who are counted with weight 1 add nothing to it.
    About 19 in 20 estimates lie within two standard errors of the truth. Counts of events and
    sessions vary more, for they come in bundles, one per user: see `standard_error_of_sum`.

    Parameters
    ----------
    users_kept : people counted with a weight of 1 / keep_rate, unweighted.
    keep_rate : share of users kept, above 0 and up to 1.
    """
    return math.sqrt(users_kept * (1 - keep_rate)) / keep_rate


def standard_error_of_sum(per_user: Iterable[float], keep_rate: float) -> float:
    """Return the standard error of the total estimated as sum(per_user) / keep_rate.

    The square root of the sum of (1 - p) (y / p)^2 over the kept users. For a ratio of two totals
    a / b let y be a_user - ratio * b_user, and divide the result by the estimate of b.

    Parameters
    ----------
    per_user : for each kept user how much they add: their events, sessions or cost that carry a
        weight of 1 / keep_rate, unweighted. What has weight 1 is known exactly and left out.
    keep_rate : share of users kept, above 0 and up to 1.
    """
    return math.sqrt((1 - keep_rate) * math.fsum(y * y for y in per_user)) / keep_rate


# --- reading a record as the vocabulary does --------------------------------------------------


def _failure(record: Mapping[str, object]) -> str | None:
    """Return what makes a record an error, in words; None for a success."""
    error_type = record.get("error_type")
    if error_type:
        return f"it is an error, {str(error_type)[:_NAMES_SHOWN_MAX]}"
    result = record.get("result")
    if result != "success" and result is not None and result != "":
        said = str(result).lower()
        if said != "success":
            return f"its result is {said[:_NAMES_SHOWN_MAX]!r}, not success"
    success = record.get("success")
    if success is not True and success is not None and _is_false(success):
        return "it did not succeed"
    return "it carries an error message" if record.get("error_message") else None


def _is_false(value: object) -> bool:
    if isinstance(value, (bool, int, float)):
        return not value
    return str(value).strip().lower() in _FALSE_WORDS


def _number(value: object) -> float:
    """Return a number as the vocabulary reads it; NaN, which exceeds nothing, when it is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return math.nan
    return value if isinstance(value, (int, float)) and value < NUMBER_MAX else math.nan


def _key(record: Mapping[str, object]) -> tuple[str, str]:
    """Return what a record is chosen by, as a word and a value; ("", "") when it has nothing."""
    user = record.get("user_id_hash")
    if user is not None and user != "":
        return "user", str(user)
    for kind, value in (
        ("session", record.get("session_id")),
        ("request", _metadata(record).get("request_id")),
        ("event", record.get("event_id")),
    ):
        if value is not None and value != "":
            return kind, str(value)
    return "", ""


_NOTHING: Final[Mapping[str, object]] = {}


def _metadata(record: Mapping[str, object]) -> Mapping[str, object]:
    metadata = record.get("metadata")
    return metadata if isinstance(metadata, (dict, Mapping)) else _NOTHING


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _names(value: object) -> frozenset[str]:
    several = isinstance(value, (list, tuple, set, frozenset))
    if not several or not all(isinstance(name, str) and name for name in value):  # type: ignore[attr-defined] # it is one of the four
        raise ValueError(
            f"critical = {value!r} is not a list of names. Use event names, operation names, "
            'tool names or routes, such as ["paid_subscription_started", "/checkout"].'
        )
    return frozenset(value)  # type: ignore[call-overload,no-any-return] # checked above
