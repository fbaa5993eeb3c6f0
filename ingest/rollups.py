"""Rollups: many small facts about turns and injected contexts become one record each.

`SessionRollups` makes one record per session, `WindowRollup` one per user and window for what
has no session. They hold sums and give finished records back, in the words `Client.track` takes;
they never write, read no clock, keep no text of a session and never raise over a value.

    rollups = SessionRollups()
    who = {"user_id_hash": "ada", "user_tier": "free", "channel": "server"}
    records = rollups.add("s1", who, {"tokens_input": 900, "model": "opus", "outcome": "ok"}, now)
    records += rollups.due(now)             # now and then: sessions that run for hours
    record = rollups.end("s1", at=now)      # None when nothing waits: ending twice is harmless
    records += rollups.end_all()            # when the process stops
    for record in records:
        client.track(record.pop("event_name"), **record)

A quantity nobody reported is missing from the record rather than 0. A value of the wrong kind is
left out and counted in `ignored`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ingest.vocabulary import METADATA, NAME_CHARS_MAX, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTEXT_ROLLUP", "SESSION_ROLLUP", "SessionRollups", "WindowRollup"]

SESSION_ROLLUP: Final = "observer_turn_rollup"
CONTEXT_ROLLUP: Final = "context_injected_rollup"

SAFETY_TURNS_MAX: Final = 1_000
SAFETY_SECONDS_MAX: Final = 3_600.0
SESSIONS_MAX: Final = 2_000  # about 1.5 KB each
SEQUENCES_MAX: Final = 4_096  # sessions whose next window_seq is remembered
MODELS_MAX: Final = 50  # different models told apart in one record
WINDOW_S: Final = 300.0
USERS_MAX: Final = 1_000
VALUE_MAX: Final = 1e12  # of one turn; 1,000 of them are the largest number metadata takes

OUTCOMES: Final = ("ok", "error", "aborted", "invalid_output")
WHO: Final = (
    *("user_id_hash", "user_id", "user_tier", "channel", "project_id", "branch_id", "context_id"),
)

# what a turn says -> what the record sums it up as
_SESSION_SUMS: Final = {
    "tokens_input": "tokens_input",
    "tokens_output": "tokens_output",
    "cost_usd": "total_cost_usd",
    "compression_ms": "compression_ms",
    "before_tokens": "before_tokens",
    "after_tokens": "after_tokens",
    "observation_count": "observations_created",
    "tokens_saved_vs_naive": "tokens_saved_vs_naive",
} | {name: name for name in METADATA if name.startswith("obs_type_")}
_CONTEXT_SUMS: Final = {
    "observation_count": "total_observations_injected",
    "tokens_saved_vs_naive": "total_tokens_saved_vs_naive",
    "tokens_injected": "tokens_injected",
}
_MAY_BE_NEGATIVE: Final = frozenset({"tokens_saved_vs_naive"})  # a context may cost more than none
_OTHER_TYPES: Final = "obs_type_other"
_DIGITS: Final = 9  # a billionth of a dollar; hides the crumbs of adding floats

Record = dict[str, Any]


@dataclass(slots=True)
class _Sums:
    """Sums of named numbers, and how many values could not be added."""

    names: Mapping[str, str]
    totals: dict[str, float] = field(default_factory=dict)

    def add(self, values: Mapping[str, object]) -> int:
        """Add one turn's numbers; return how many had the wrong kind."""
        ignored = 0
        for name, value in values.items():
            total = self._total_of(name)
            if total is None or value is None:
                continue
            number = _number(value, least=-VALUE_MAX if name in _MAY_BE_NEGATIVE else 0)
            if number is None:
                ignored += 1
            else:
                self.totals[total] = self.totals.get(total, 0) + number
        return ignored

    def _total_of(self, name: str) -> str | None:
        """Return what a value is added to; a type of observation nobody knows is an other."""
        total = self.names.get(name)
        if total is None and _OTHER_TYPES in self.names and str(name).startswith("obs_type_"):
            return self.names[_OTHER_TYPES]
        return total

    def finished(self) -> Record:
        return {
            name: round(total, _DIGITS) if isinstance(total, float) else total
            for name, total in self.totals.items()
        }


@dataclass(slots=True)
class _Turns:
    """What one session has done since its last record."""

    first_at: datetime
    last_at: datetime
    who: Record = field(default_factory=dict)
    turns: int = 0
    sums: _Sums = field(default_factory=lambda: _Sums(_SESSION_SUMS))
    outcomes: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)

    def add(self, who: Mapping[str, object], values: Mapping[str, object], at: datetime) -> int:
        """Add one turn; return how many of its values were of no use."""
        self.turns += 1
        self.last_at = max(self.last_at, at)
        self.who |= _who(who)
        ignored = self.sums.add(values)
        ignored += _count(self.outcomes, values.get("outcome"), among=OUTCOMES)
        return ignored + _count(self.models, values.get("model"), most=MODELS_MAX)

    def metadata(self) -> Record:
        found: Record = {"turns": self.turns} | self.sums.finished()
        before, after = found.get("before_tokens"), found.get("after_tokens")
        if before and after is not None:
            found["savings_rate"] = round(1 - after / before, _DIGITS)
        found |= {f"outcome_{name}": number for name, number in self.outcomes.items()}
        if self.models:
            found["top_model"] = max(self.models, key=self.models.__getitem__)  # ties: first seen
        return found


@dataclass(slots=True)
class SessionRollups:
    """One `observer_turn_rollup` per session, in parts when it grows too long or too many run.

    Parameters
    ----------
    records_max : turns in one record, up to SAFETY_TURNS_MAX; the next turn sends it off.
    sessions_max : sessions at a time; a further one sends off the one that was quiet longest.
    seconds_max : seconds one record may span before `add` or `due` sends it off.

    Raises
    ------
    ValueError : when a limit is out of its range.
    """

    records_max: int = SAFETY_TURNS_MAX
    sessions_max: int = SESSIONS_MAX
    seconds_max: float = SAFETY_SECONDS_MAX
    ignored: int = field(default=0, init=False)  # values of the wrong kind
    _sessions: dict[str, _Turns] = field(default_factory=dict, init=False)  # quiet longest first
    _sequences: dict[str, int] = field(default_factory=dict, init=False)  # oldest first

    def __post_init__(self) -> None:
        if not 1 <= self.records_max <= SAFETY_TURNS_MAX:
            raise ValueError(
                f"records_max={self.records_max!r} must lie between 1 and {SAFETY_TURNS_MAX:,}."
            )
        if self.sessions_max < 1 or not self.seconds_max > 0:
            raise ValueError(
                f"sessions_max={self.sessions_max!r} and seconds_max={self.seconds_max!r} "
                "must be above 0."
            )

    @property
    def sessions(self) -> int:
        """Sessions that have something waiting."""
        return len(self._sessions)

    @property
    def held(self) -> int:
        """Turns that wait to come out."""
        return sum(turns.turns for turns in self._sessions.values())

    def add(
        self,
        session_id: str,
        who: Mapping[str, object],
        values: Mapping[str, object],
        at: datetime,
    ) -> list[Record]:
        """Add one turn and return what had to leave to make room, usually nothing.

        Parameters
        ----------
        session_id : the product's own id; a turn without one is ignored.
        who : user_id_hash or user_id, user_tier, channel, project_id, branch_id, context_id; the
            last that is known of each stays.
        values : tokens_input, tokens_output, cost_usd, compression_ms, before_tokens, after_tokens,
            observation_count, obs_type_*, tokens_saved_vs_naive: numbers; outcome: one of OUTCOMES;
            model: text. Anything else is left out.
        at : when the turn happened; naive is UTC.
        """
        key = _session_key(session_id)
        if not key:
            self.ignored += 1
            return []
        moment = _utc(at)
        left = self._sent_off(key) if self._is_full(self._sessions.get(key), moment) else []
        turns = self._sessions.pop(key, None)
        if turns is None:
            if len(self._sessions) >= self.sessions_max:
                left += self._sent_off(next(iter(self._sessions)))
            turns = _Turns(moment, moment)
        self._sessions[key] = turns
        self.ignored += turns.add(who, values, moment)
        return left

    def due(self, at: datetime) -> list[Record]:
        """Return a record for each session whose first waiting turn is too long ago."""
        moment = _utc(at)
        old = [key for key, turns in self._sessions.items() if self._is_old(turns, moment)]
        return [record for key in old for record in self._sent_off(key)]

    def end(
        self, session_id: str, *, reason: str = "session_end", at: datetime | None = None
    ) -> Record | None:
        """Return the session's record and forget its sums; None when nothing waits.

        Parameters
        ----------
        session_id : as given to `add`.
        reason : the record's rollup_reason.
        at : the record's time; None: that of the last turn, so that nobody seems to have been
            there when a process tidied up after them.
        """
        key = _session_key(session_id)
        turns = self._sessions.pop(key, None)
        if turns is None:
            return None
        details = {"rollup_reason": reason, "window_seq": self._next_sequence(key)}
        return _record(
            SESSION_ROLLUP,
            turns.who,
            turns.last_at if at is None else at,
            turns.metadata() | details,
            session_id=key,
        )

    def end_all(self) -> list[Record]:
        """Return a record for each session that has something waiting, as the process stops."""
        ended = [self.end(key, reason="worker_shutdown") for key in list(self._sessions)]
        return [record for record in ended if record is not None]

    def _is_full(self, turns: _Turns | None, at: datetime) -> bool:
        return turns is not None and (turns.turns >= self.records_max or self._is_old(turns, at))

    def _is_old(self, turns: _Turns, at: datetime) -> bool:
        # a clock that was set back must not make a record span more than it may
        turns.first_at = min(turns.first_at, at)
        return (at - turns.first_at).total_seconds() >= self.seconds_max

    def _sent_off(self, key: str) -> list[Record]:
        record = self.end(key, reason="safety_flush")
        return [] if record is None else [record]

    def _next_sequence(self, key: str) -> int:
        sequence = self._sequences.pop(key, 0)
        if len(self._sequences) >= SEQUENCES_MAX:
            del self._sequences[next(iter(self._sequences))]
        self._sequences[key] = sequence + 1
        return sequence


@dataclass(slots=True)
class _Contexts:
    """What was injected for one user in this window."""

    last_at: datetime
    who: Record = field(default_factory=dict)
    count: int = 0
    errors: int = 0
    sums: _Sums = field(default_factory=lambda: _Sums(_CONTEXT_SUMS))


@dataclass(slots=True)
class WindowRollup:
    """One `context_injected_rollup` per user and window, for what belongs to no session.

    The window opens with the first `add` after the last record and is over at the first `due`
    that finds it `window_s` old.

    Parameters
    ----------
    window_s : seconds.
    users_max : users at a time; what further ones do in a window is counted in `overflow`.

    Raises
    ------
    ValueError : when one of them is not above 0.
    """

    window_s: float = WINDOW_S
    users_max: int = USERS_MAX
    ignored: int = field(default=0, init=False)  # values of the wrong kind
    overflow: int = field(default=0, init=False)  # contexts that no record will ever show
    _opened: datetime | None = field(default=None, init=False)
    _users: dict[str, _Contexts] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not self.window_s > 0 or self.users_max < 1:
            raise ValueError(
                f"window_s={self.window_s!r} and users_max={self.users_max!r} must be above 0."
            )

    @property
    def held(self) -> int:
        """Contexts that wait to come out."""
        return sum(contexts.count for contexts in self._users.values())

    def add(self, who: Mapping[str, object], values: Mapping[str, object], at: datetime) -> bool:
        """Add one injected context; tell whether a record will show it.

        Parameters
        ----------
        who : as for `SessionRollups.add`; without a user nothing can be recorded.
        values : observation_count, tokens_saved_vs_naive, tokens_injected: numbers; outcome.
        at : when it happened; naive is UTC.
        """
        moment, known = _utc(at), _who(who)
        key = known.get("user_id_hash") or known.get("user_id")
        contexts = self._users.get(key) if key else None
        if contexts is None:
            if not key or len(self._users) >= self.users_max:
                self.overflow += 1
                return False
            contexts = self._users[key] = _Contexts(moment)
        if self._opened is None:
            self._opened = moment
        contexts.last_at = max(contexts.last_at, moment)
        contexts.who |= known
        contexts.count += 1
        outcome = values.get("outcome")
        contexts.errors += outcome == "error"
        self.ignored += contexts.sums.add(values) + (
            outcome is not None and outcome not in OUTCOMES
        )
        return True

    def due(self, now: datetime) -> list[Record]:
        """Return the window's records when it is over, else nothing."""
        if self._opened is None:
            return []
        moment = _utc(now)
        # a clock that was set back must not make a window longer than a window
        self._opened = min(self._opened, moment)
        return self.close() if moment - self._opened >= timedelta(seconds=self.window_s) else []

    def close(self, now: datetime | None = None) -> list[Record]:
        """Return the records of the window so far; `now`, or the last injection, is their time."""
        users, self._users, self._opened = self._users, {}, None
        return [
            _record(
                CONTEXT_ROLLUP,
                contexts.who,
                contexts.last_at if now is None else now,
                {"count": contexts.count, "error_count": contexts.errors}
                | contexts.sums.finished(),
            )
            for contexts in users.values()
        ]


def _record(
    name: str, who: Mapping[str, object], at: datetime, metadata: Record, **columns: str
) -> Record:
    given = {"event_name": name, **columns, **who}
    return given | {"timestamp": parse_time(at), "metadata": metadata}


def _who(who: Mapping[str, object]) -> Record:
    return {name: value for name in WHO if isinstance(value := who.get(name), str) and value}


def _session_key(session_id: object) -> str:
    """Return the session's id as text, as long as its column takes; empty when it is none."""
    if isinstance(session_id, int) and not isinstance(session_id, bool):
        return str(session_id)
    return session_id[:NAME_CHARS_MAX] if isinstance(session_id, str) else ""


def _count(
    counts: dict[str, int], value: object, *, among: tuple[str, ...] = (), most: int = 0
) -> int:
    """Count a text, one of `among` or one of at most `most` different ones; return 1 if not."""
    if not isinstance(value, str):
        return int(value is not None)
    if not value:
        return 0
    if among and value not in among:
        return 1
    name = value[:NAME_CHARS_MAX]
    if most and name not in counts and len(counts) >= most:
        return 1
    counts[name] = counts.get(name, 0) + 1
    return 0


def _number(value: object, *, least: float) -> float | None:
    """Return a number within its range, an int as an int; None for anything else."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if least <= value <= VALUE_MAX else None  # which no NaN and no infinity does


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
