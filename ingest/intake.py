"""From what was said to rows: events and traces one by one, errors and turns folded together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from ingest.repeats import Repeats, Verdict
from ingest.rollups import SessionRollups, WindowRollup
from ingest.said import WHO_SAID, CallSaid, ErrorSaid, EventSaid, TraceSaid, TurnSaid
from ingest.vocabulary import ALIASES, TABLES, CortexEventName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.counts import Counts
    from ingest.prepare import Preparer
    from ingest.said import WhoSaid
    from ingest.vocabulary import Row

_NAME_AT: Final = TABLES["events"].column_names.index("event_name")
_SESSION_AT: Final = TABLES["events"].column_names.index("session_id")
_WHO: Final = (
    *("user_id_hash", "user_tier", "is_paid_user", "session_id", "channel"),
    *("project_id", "branch_id", "context_id"),
)
_END: Final = CortexEventName.SESSION_ENDED.value
_ENDED: Final = frozenset((_END, *(old for old, new in ALIASES.items() if new == _END)))


class Intake:
    """Makes the rows of one client; used by its background thread only."""

    def __init__(self, preparer: Preparer, counts: Counts) -> None:
        self._preparer = preparer
        self._counts = counts
        self._repeats = Repeats()
        self._sessions = SessionRollups()
        self._windows = WindowRollup()
        self._folded_in = self._folded_out = 0

    def take(self, said: object) -> list[Row]:
        """Return the rows that can be written now; often one, or none yet."""
        if type(said) in (tuple, EventSaid):  # `track` puts a plain tuple into the buffer
            return self._event(cast("EventSaid", said))
        if type(said) is TraceSaid:
            row = self._preparer.trace(said)
            return [] if row is None else [row]
        if type(said) is CallSaid:
            return self._preparer.call(said)
        if type(said) is ErrorSaid:
            self._met(said)
        elif type(said) is TurnSaid:
            return self._turn(said)
        return []

    def due(self, at_s: float, now_s: float) -> list[Row]:
        """Return the shared records whose window is over.

        Parameters
        ----------
        at_s : seconds since 1970.
        now_s : seconds of a clock that is never set back.
        """
        at = _utc(at_s)
        records = [*self._sessions.due(at), *self._windows.due(at)]
        return self._folded(self._repeats.due(now_s), records)

    def close(self) -> list[Row]:
        """Return a record for everything that still waits."""
        records = [*self._sessions.end_all(), *self._windows.close()]
        return self._folded(self._repeats.close(), records)

    def _event(self, said: tuple[Any, ...]) -> list[Row]:
        row = self._preparer.event(said)
        if row is None:
            return []
        rows = [row]
        if row.values[_NAME_AT] in _ENDED:
            ended = self._sessions.end(row.values[_SESSION_AT], at=_utc(said[0]))
            rows += self._folded((), [] if ended is None else [ended])
        return rows

    def _met(self, said: ErrorSaid) -> None:
        error = self._preparer.error(said)
        key = (error["stack_hash"], error["who"][0], "")  # one client has one release
        if self._repeats.add(key, error, said.at_s) is Verdict.OVERFLOW:
            self._counts.drop("error_keys_full", error["occurrences"])
        else:
            self._folded_in += error["occurrences"]

    def _turn(self, said: TurnSaid) -> list[Row]:
        who = dict(zip(_WHO, self._preparer.who(said.who), strict=True))
        if who["session_id"]:
            left = self._sessions.add(who["session_id"], who, said.values, _utc(said.at_s))
            self._folded_in += 1
            return self._folded((), left)
        if self._windows.add(who, said.values, _utc(said.at_s)):
            self._folded_in += 1
        else:
            self._counts.drop("rollup_full")
        return []

    def _folded(
        self, errors: Iterable[Mapping[str, Any]], records: Iterable[Mapping[str, Any]]
    ) -> list[Row]:
        """Return the rows of shared records; count what they stand for besides themselves."""
        rows = [self._preparer.error_row(error) for error in errors]
        for record in records:
            who = tuple(record.get(name) for name in WHO_SAID)
            said = EventSaid(
                _seconds(record["timestamp"]),
                record["event_name"],
                cast("WhoSaid", who),
                metadata=record["metadata"],
            )
            row = self._preparer.event(said, sampled=False)
            if row is not None:
                rows.append(row)
        self._folded_out += len(rows)
        held = self._repeats.held + self._sessions.held + self._windows.held
        self._counts.held = held
        self._counts.merged = self._folded_in - self._folded_out - held
        return rows


def _utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
