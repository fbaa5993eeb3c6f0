"""The client a product's own code calls: it says what happened and goes on.

A call puts one tuple into a bounded buffer. It never waits, never raises and never touches the
disk; `ingest.pipeline` says what happens next.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Self, cast

from ingest import consent as consents
from ingest.boundary import Boundary
from ingest.lifecycle import watch
from ingest.pipeline import WAKE_EVERY, Options, Pipeline
from ingest.said import WHO_SAID, CallSaid, ErrorSaid, EventSaid, TraceSaid, TurnSaid
from ingest.vocabulary import ChannelType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from ingest.events import Error, Event, Trace
    from ingest.said import WhoSaid
    from ingest.span import Span

HOME_VARIABLE: Final = "TELEMETRY_HOME"
HOME_DEFAULT: Final = "telemetry"
STRICT_VARIABLE: Final = "TELEMETRY_STRICT"
FLUSH_TIMEOUT_S: Final = 5.0
_WAKE_MASK: Final = WAKE_EVERY - 1


class Client:
    """Says what happens in a product, to the files of one telemetry home.

    Every method may be called from any thread, from a signal handler, after a fork and after
    `close`. None raises, unless TELEMETRY_STRICT=1.

    Parameters
    ----------
    home : the telemetry home; $TELEMETRY_HOME or ./telemetry when not given.
    channel : server, extension or web; any other text is kept as well.
    release : the product's version.
    user_id, user_id_hash, user_tier, session_id, project_id : for calls that do not say their own.
    enabled : False turns this client off, whatever the settings say; True cannot turn it on.
    environ : the environment to read settings from.
    now : the clock, in seconds since 1970.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        channel: ChannelType | str = ChannelType.SERVER,
        release: str | None = None,
        user_id: str | None = None,
        user_id_hash: str | None = None,
        user_tier: str | None = None,
        session_id: str | None = None,
        project_id: str | None = None,
        enabled: bool = True,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
    ) -> None:
        from pathlib import Path  # noqa: PLC0415 - 7 ms that `import ingest` need not take

        self.home = Path(home or environ.get(HOME_VARIABLE) or HOME_DEFAULT)
        self._boundary = Boundary(strict=environ.get(STRICT_VARIABLE) == "1")
        with self._boundary:  # there may be no current folder any more
            self.home = self.home.absolute()
        self._now = now
        self._enabled = enabled
        own = (user_id, user_id_hash, user_tier, session_id, None, project_id, None, None)
        self._own: WhoSaid | None = None if all(one is None for one in own) else own
        where = channel.value if isinstance(channel, Enum) else channel
        self._options = Options(self.home, where, release, environ, now)
        self._pipeline = self._new_pipeline()
        self._buffer = self._pipeline.buffer  # one look-up less in each call
        if self._pipeline.consent.enabled:
            with self._boundary:
                watch(self)

    # --- saying something ---

    def track(
        self,
        name: str | Event = "",
        *,
        user_id: str | None = None,
        user_id_hash: str | None = None,
        user_tier: str | None = None,
        session_id: str | None = None,
        channel: str | None = None,
        project_id: str | None = None,
        branch_id: str | None = None,
        context_id: str | None = None,
        result: str = "success",
        duration_ms: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: object = None,
        **more_metadata: object,
    ) -> bool:
        """Say that something happened; return whether there was room for it.

        Parameters
        ----------
        name : one of the standard names (`CortexEventName`), any other text, or an `Event`.
        user_id, user_id_hash : hashed with the home's salt, or kept as it is; without either it is
            this installation.
        session_id, project_id, branch_id, context_id : ids; one that looks like a name or a path is
            kept as a pseudonym.
        result : success, error, timeout, ...
        duration_ms : milliseconds.
        metadata, more_metadata : kept as far as the allow-list goes (`vocabulary.METADATA`).
        timestamp : when; now if not given. A datetime, ISO 8601, or seconds since 1970.
        """
        if type(name) is not str and getattr(name, "kind", None) == "events":  # an Event
            return self.record(cast("Event", name))
        buffer = self._buffer
        waiting = len(buffer)
        if waiting >= self._pipeline.limit:
            return self._pipeline.refuse()
        if type(metadata) is dict:
            metadata = metadata.copy()  # the host may use its own again
        who = (
            user_id,
            user_id_hash,
            user_tier,
            session_id,
            channel,
            project_id,
            branch_id,
            context_id,
        )
        if self._own is not None:
            who = self._filled(who)
        # a plain tuple in EventSaid's order: a named one would double the cost of the call
        buffer.append(
            (self._now(), name, who, result, duration_ms, metadata, more_metadata, timestamp, None)
        )
        if not waiting & _WAKE_MASK:
            self._pipeline.wake(waiting)
        return True

    def error(
        self,
        error: BaseException | Error | str | None = None,
        *,
        severity: str = "error",
        related_event_name: str | None = None,
        error_type: str = "Error",
        metadata: Mapping[str, Any] | None = None,
        timestamp: object = None,
        **more: Any,  # noqa: ANN401 - who, and more metadata
    ) -> bool:
        """Say that something failed; return whether there was room for it.

        Equal errors of a minute share one record with their count. Message and trace are scrubbed
        before they are written, and source lines are never read.

        Parameters
        ----------
        error : the exception (the one being handled, when not given), an `Error`, or a message.
        severity : debug, info, warning, error or critical.
        related_event_name : the event during which it happened.
        error_type : what to call a message without an exception.
        metadata, more : metadata as for `track`, and who: user_id, session_id, project_id, ...
        timestamp : when, as for `track`.
        """
        with self._boundary:
            if self._pipeline.consent.enabled and not self._pipeline.consent.errors:
                return False
            at_s, who = self._now(), self._who(more)
            if getattr(error, "kind", None) == "errors":  # an Error, without loading its class
                return self._record(cast("Error", error), at_s)
            kind, message, trace = _described(cast("BaseException | str | None", error))
            said = ErrorSaid(
                *(at_s, error_type if kind is None else kind, who, message, trace),
                severity=severity,
                related_event_name=related_event_name,
                metadata=_copied(metadata),
                more=more,
                timestamp=timestamp,
            )
            return self._pipeline.submit(said)
        return self._pipeline.fail()

    def trace(
        self,
        name: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        **more: Any,  # noqa: ANN401 - who, and more metadata
    ) -> Span:
        """Time a stretch of work: `with`, `async with`, or as a decorator.

        Parameters
        ----------
        name : what is timed; the span takes result_count, success and more metadata.
        metadata, more : metadata as for `track`, and who: user_id, session_id, project_id, ...
        """
        from ingest.span import Span  # noqa: PLC0415 - it loads inspect, which not every host needs

        who = self._who(more)

        def emit(span: Span, took_ms: float) -> None:
            with self._boundary:
                self._timed(
                    name, took_ms, span.success, span.result_count, span.metadata, who, more
                )
                return
            self._pipeline.fail()

        given = _copied(metadata)
        return Span(emit, time.perf_counter, {} if given is None else given)

    def timed(
        self,
        name: str,
        took_ms: float,
        /,
        *,
        success: bool = True,
        result_count: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        **more: Any,  # noqa: ANN401 - who, and more metadata
    ) -> bool:
        """Say how long something took that was timed elsewhere; return whether there was room.

        Parameters
        ----------
        name : what was timed; it ended now.
        took_ms : milliseconds.
        success, result_count : how it went.
        metadata, more : metadata as for `track`, and who: user_id, session_id, project_id, ...
        """
        with self._boundary:
            kept = _copied(metadata)
            return self._timed(name, took_ms, success, result_count, kept, self._who(more), more)
        return self._pipeline.fail()

    def called(
        self,
        event: str,
        operation: str,
        took_ms: float,
        *,
        result: str = "success",
        result_count: int | None = None,
        metadata: dict[str, Any] | None = None,
        **who: Any,  # noqa: ANN401 - as for track
    ) -> bool:
        """Say one call as an event and as a trace, at the price of one.

        Parameters
        ----------
        event, operation : the event's name and what was timed; the call ended now.
        took_ms : milliseconds.
        result, result_count, metadata, who : as for `track` and `timed`.
        """
        with self._boundary:
            said = CallSaid(
                *(self._now(), event, operation, self._who(who)),
                *(result, float(took_ms), result_count, _copied(metadata) or {}),
            )
            return self._pipeline.submit(said)
        return self._pipeline.fail()

    def record(self, said: Event | Error | Trace) -> bool:
        """Say one of the three as an object; return whether there was room for it."""
        with self._boundary:
            if said.kind == "errors" and not self._pipeline.consent.errors:
                return False
            return self._record(said, self._now())
        return self._pipeline.fail()

    def turn(
        self,
        session_id: str | None = None,
        **values: Any,  # noqa: ANN401 - who, and the numbers of the turn
    ) -> bool:
        """Add one turn of a model to its session's rollup; return whether there was room.

        One record per session is written: when `session_ended` is tracked, when the client closes,
        or when the session grows too long.

        Parameters
        ----------
        session_id : the session; the client's own when not given.
        values : who, and tokens_input, tokens_output, cost_usd, compression_ms, before_tokens,
            after_tokens, observation_count, obs_type_*, tokens_saved_vs_naive: numbers; outcome:
            ok, error, aborted or invalid_output; model: text.
        """
        with self._boundary:
            values["session_id"] = session_id
            return self._pipeline.submit(TurnSaid(self._now(), self._who(values), values))
        return self._pipeline.fail()

    def injected(self, **values: Any) -> bool:  # noqa: ANN401 - who, and its numbers
        """Add one context given to a model, which belongs to no session; return as `turn` does.

        One record per person and five minutes is written.

        Parameters
        ----------
        values : who, and observation_count, tokens_saved_vs_naive, tokens_injected: numbers;
            outcome: ok or error.
        """
        with self._boundary:
            who = self._who(values)
            return self._pipeline.submit(TurnSaid(self._now(), (*who[:3], None, *who[4:]), values))
        return self._pipeline.fail()

    def instrument(
        self,
        level: int | str,
        message: str,
        *,
        event: str | None = None,
        error: BaseException | None = None,
        logger: str = "product",
        **fields: Any,  # noqa: ANN401 - as for track
    ) -> None:
        """Write a line to the local log and, where telemetry is on, the event and the error.

        Parameters
        ----------
        level : a level of `logging`, by name or number.
        message : for the local log only; it is never part of the telemetry.
        event : the name of the event; none is tracked without it.
        error : the exception; it goes into both.
        logger : the name of the host's logger.
        fields : as for `track`; the local log gets them as the record's `fields`.
        """
        import logging  # noqa: PLC0415 - a host that has no log does not pay for it

        with self._boundary:
            names = logging.getLevelNamesMapping()
            number = level if isinstance(level, int) else names.get(str(level).upper(), 20)
            log = logging.getLogger(logger)
            log.log(number, message, exc_info=error, extra={"fields": fields}, stacklevel=2)
            if error is not None:
                severity = logging.getLevelName(number).lower()
                self.error(error, **{"severity": severity, "related_event_name": event, **fields})
            if event:
                result = "error" if number >= logging.ERROR else "success"
                self.track(event, **{"result": result, **fields})

    # --- waiting, stopping, asking ---

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Wait until everything said so far is in the log; return whether it is.

        Repeated errors and turns still wait for the record they share; `close` writes those too.
        """
        with self._boundary:
            return self._pipeline.flush(timeout_s)
        return False

    def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Write everything and stop; return whether nothing was left at the deadline.

        What was left is counted in `stats()["dropped"]`.
        """
        with self._boundary:
            return self._pipeline.close(timeout_s)
        return False

    shutdown = close

    def stats(self) -> dict[str, Any]:
        """Return what became of everything said, in this process.

        buffered, written (records in the log), sampled_out, held and merged (errors and turns that
        wait for a shared record, or share one), flagged (values left out of a record), dropped
        (reason -> number), faults (exceptions of ours that were stopped), consent.
        """
        pipeline = self._pipeline
        return {
            "buffered": pipeline.waiting,
            **pipeline.counts.to_dict(),
            "faults": self._boundary.caught,
            "trouble": pipeline.trouble,
            "consent": pipeline.consent.enabled,
        }

    def explain(self, said: Event | Trace | Error | Mapping[str, Any] | str | None = None) -> str:
        """Say which setting decided whether telemetry is on, or why something is kept or not."""
        with self._boundary:
            if not self._enabled:
                return "Telemetry is off: this client was made with enabled=False."
            if said is None:
                return consents.explain(self._options.environ, self.home)
            from ingest.explain import sampling  # noqa: PLC0415 - a person asks, not a hot path

            asked = {"event_name": said} if isinstance(said, str) else said
            return sampling(asked, self.home, self._options.environ)
        return "This cannot be explained."

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close the client; an exception of the host goes on."""
        self.close()

    def start_over(self) -> None:
        """Begin empty, in a copied process: what waits belongs to the one it was copied from."""
        was_closed = self._pipeline.closed
        self._pipeline = self._new_pipeline()
        self._buffer = self._pipeline.buffer
        if was_closed:
            self._pipeline.close(0.0)

    # --- the details ---

    def _timed(self, name: str, took_ms: float, *rest: Any) -> bool:  # noqa: ANN401 - see TraceSaid
        success, result_count, metadata, who, more = rest
        began_s = self._now() - took_ms / 1_000
        return self._pipeline.submit(
            TraceSaid(began_s, name, who, took_ms, success, result_count, metadata, more)
        )

    def _new_pipeline(self) -> Pipeline:
        consent = consents.OFF_HERE
        if self._enabled:
            consent = consents.resolve(self._options.environ, self.home)
        return Pipeline(self._options, consent, self._boundary, weakref.ref(self))

    def _record(self, said: Event | Error | Trace, at_s: float) -> bool:
        record = said.to_record()
        record["metadata"] = _copied(record.get("metadata"))
        if record.pop("is_paid_user", False) and not record.get("user_tier"):
            record["user_tier"] = "paid"
        who = self._who(record)
        kind = _SAID[said.kind]
        needed = dict.fromkeys(set(kind._fields) - set(kind._field_defaults) - {"at_s", "who"})
        return self._pipeline.submit(kind(at_s, who=who, **(needed | record)))

    def _who(self, given: dict[str, Any]) -> WhoSaid:
        """Take who out of keyword arguments, and add what this client was made with."""
        who = cast("WhoSaid", tuple([given.pop(name, None) for name in WHO_SAID]))
        return who if self._own is None else self._filled(who)

    def _filled(self, who: WhoSaid) -> WhoSaid:
        """Put this client's own values where the call says nothing."""
        own = cast("WhoSaid", self._own)
        if who[0] is not None or who[1] is not None:  # another user: never a mix of two
            own = (None, None, *own[2:])
        pairs = zip(who, own, strict=True)
        return cast("WhoSaid", tuple([mine if said is None else said for said, mine in pairs]))


def _described(error: BaseException | str | None) -> tuple[str | None, str, str | None]:
    """Return type, message and trace of an error; a message alone has neither type nor trace."""
    if isinstance(error, str):
        return None, error, None
    found = error if error is not None else sys.exc_info()[1]
    if not isinstance(found, BaseException):
        return None, "" if found is None else str(found), None
    from ingest.exceptions import describe  # noqa: PLC0415 - the first error pays for it

    return describe(found)


def _copied(metadata: object) -> Any:  # noqa: ANN401 - whatever the host gave
    """Copy a dict, which the host may use again; anything else is looked at later."""
    return metadata.copy() if type(metadata) is dict else metadata


_SAID: Final[dict[str, Any]] = {
    "events": EventSaid,
    "errors": ErrorSaid,
    "traces": TraceSaid,
}
