"""One session of the demo as rows: what a person does, what it costs, what breaks."""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import date
from math import exp
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from ingest import demo_script as script
from ingest.demo_cast import Person, Step, Wheel
from ingest.stack_hash import HASH_VERSION, stack_hash
from ingest.vocabulary import PAID_TIERS

if TYPE_CHECKING:
    from ingest.demo_script import Story

_TIME_OF: Final = itemgetter(1)
_TIME_AND_ID: Final = itemgetter(1, 0)
SPARE_MS: Final = 60_000  # between the last event of the last day and its midnight

Row = tuple[Any, ...]


@dataclass(slots=True)
class Rows:
    """Rows not yet written; `take` hands out those before `until`, in order of time."""

    TABLES = ("events", "errors", "traces", "sessions")

    until: str = ""
    events: list[Row] = field(default_factory=list)
    errors: list[Row] = field(default_factory=list)
    traces: list[Row] = field(default_factory=list)
    sessions: list[Row] = field(default_factory=list)

    def take(self) -> dict[str, list[Row]]:
        """Return the rows before `until` by table; sessions past midnight keep the others."""
        taken = {"sessions": self.sessions}
        self.sessions = []
        for table in ("events", "errors", "traces"):
            rows: list[Row] = getattr(self, table)
            rows.sort(key=_TIME_AND_ID)
            split = bisect_left(rows, self.until, key=_TIME_OF)
            taken[table] = rows[:split]
            setattr(self, table, rows[split:])
        return taken


# --- ids and times ---

_DAYS: dict[int, str] = {}


def iso(moment_ms: int) -> str:
    """Write milliseconds since 1970 the canonical way; a day's text is made once."""
    day, rest = divmod(moment_ms, script.DAY_MS)
    text = _DAYS.get(day)
    if text is None:
        text = _DAYS[day] = date.fromordinal(date(1970, 1, 1).toordinal() + day).isoformat()
    seconds, milliseconds = divmod(rest, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{text}T{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}Z"


def _uuid7(rng: random.Random, moment_ms: int) -> str:
    """Make an id of the UUIDv7 shape whose random part comes from the seed."""
    bits = rng.getrandbits(74)
    head, tail = f"{moment_ms:012x}", bits & 0xFFFF_FFFF_FFFF
    variant = 0x8000 | (bits >> 48) & 0x3FFF
    return f"{head[:8]}-{head[8:]}-7{bits >> 62:03x}-{variant:04x}-{tail:012x}"


# --- one session ----------------------------------------------------------------------------------

_TOOL_WHEEL: Final = Wheel({tool: share for tool, (share, _) in script.TOOLS.items()})
_CATEGORY_WHEEL: Final = Wheel({name: share for name, (share, *_) in script.CATEGORIES.items()})
_ACTION_WHEELS: Final = {channel: Wheel(weights) for channel, weights in script.ACTIONS.items()}


@dataclass(frozen=True, slots=True)
class Show:
    """A session to play: whose, on which day, from when, and how many events."""

    person: Person
    day: int
    start_ms: int
    length: int


class Session:
    """One session of one person: it holds exactly `length` events."""

    def __init__(self, rng: random.Random, story: Story, rows: Rows, show: Show) -> None:
        self.rng, self.story, self.rows = rng, story, rows
        self.person = person = show.person
        self.day = day = show.day
        self.left = self.length = show.length
        self.errors = 0
        first = person.last_day < 0
        self.comes_back = not first and day - person.last_day >= script.RETURN_GAP_DAYS
        self.step = self._due_step()
        self.channel = self._channel(first=first)
        self.head = self._head(first=first)
        self.gaps = self._gaps(len(self.head))
        self.start = self.clock = max(show.start_ms, person.free_at_ms)
        self._end_in_time()
        self.session_id = f"s-{rng.getrandbits(56):014x}"
        self.release_index = person.release_on(day)
        self.release = script.RELEASES[self.release_index]
        self.project = rng.choice(person.projects)
        self._open_context()
        self._set_tier()
        self.about = self._about()
        person.last_day = day

    # what kind of session it is

    def _due_step(self) -> Step | None:
        steps = self.person.steps
        return steps.pop(0) if steps and steps[0].day <= self.day else None

    def _channel(self, *, first: bool) -> str:
        if self.step is not None and self.step.event_name:
            return "web"  # people pay in the web app
        channel = self.person.channels.draw(self.rng)
        if first and channel == "web":
            return "server" if self.person.ide == "claude-code" else "extension"
        return channel

    def _head(self, *, first: bool) -> list[str]:
        """Return what a session opens with, one event each."""
        rng, head = self.rng, ["install"] if first else []
        if self.channel == "extension":
            head.append("extension_activated")
        head.append("session_started")
        if self.channel == "web":
            head.append("web_view_opened")
        if self.step is not None and self.step.event_name:
            head.append("payment")
        resumes = script.RETURNS_BY_CONTEXT if self.comes_back else script.RESUMES_FROM_CONTEXT
        if not first and rng.random() < resumes:
            head.append("session_resumed_from_context")
        if self.channel != "web" and rng.random() < script.TIER_LOADS[self.person.tier]:
            head.append(
                "context_loaded" if rng.random() < script.LOADS_NOT_RESUMES else "context_resumed"
            )
        return head[: self.length]

    def _gaps(self, quick: int) -> list[int]:
        """Return the milliseconds before each event; the opening ones follow quickly."""
        rng, gauss, most = self.rng, self.rng.gauss, script.GAP_S_MAX
        gaps = [0] + [rng.randint(300, 4_000) for _ in range(quick - 1)]
        for _ in range(self.length - len(gaps)):
            if rng.random() < script.LONG_BREAK:
                seconds = rng.uniform(*script.LONG_BREAK_S)
            else:
                seconds = min(script.GAP_S_MEDIAN * exp(gauss(0, script.GAP_SIGMA)), most)
            gaps.append(50 + int(seconds * 1000))
        return gaps

    def _end_in_time(self) -> None:
        """Fit a session of the last day before midnight: earlier, and if need be faster."""
        last = self.story.start_ms + self.story.days * script.DAY_MS - SPARE_MS
        lasts = sum(self.gaps)
        if self.start + lasts > last:
            self.start = self.clock = max(
                last - lasts, self.person.free_at_ms, last - script.DAY_MS + SPARE_MS
            )
            pace = min(1.0, (last - self.start) / max(lasts, 1))
            self.gaps = [int(gap * pace) for gap in self.gaps]
        # after more than half an hour: sessions by gap stay apart
        self.person.free_at_ms = self.start + sum(self.gaps) + script.SESSION_PAUSE_MS

    def _open_context(self) -> None:
        person, rng = self.person, self.rng
        if not person.contexts or rng.random() < script.NEW_CONTEXT:
            self._new_context()
        _, self.branch, self.context = rng.choice(person.contexts)

    def _new_context(self) -> None:
        bits = self.rng.getrandbits(56)
        new = (self.project, f"branch-{bits >> 32:06x}", f"ctx_{bits % 10}{bits & 0xFFF_FFFF:07x}")
        self.person.contexts = [*self.person.contexts[1 - script.CONTEXTS_MAX :], new]
        _, self.branch, self.context = new

    def _set_tier(self) -> None:
        if self.step is not None and not self.step.event_name:
            self.person.tier = self.step.tier
        person = self.person
        who = (person.user, person.tier, int(person.tier in PAID_TIERS), self.session_id)
        self.who = (*who, self.channel)

    def _about(self) -> str:
        """Return the metadata every larger event of the session carries."""
        person = self.person
        text = f'"version": "{self.release}", "os": "{person.system}", "region": "{person.region}"'
        if self.channel != "web":
            text += f', "ide": "{person.ide}", "language": "{person.language}"'
        if self.day >= self.story.open_day:
            text += f', "flag": "{script.FLAG}", "variant": "{person.variant}"'
        return text

    # playing it

    def play(self) -> None:
        """Write the session's events, what they cause, and its row."""
        proper = self.left > len(self.head) and self.rng.random() < script.ENDS_PROPERLY
        self.spare = int(proper)  # the last event is taken
        self.gaps.reverse()  # each event takes one from the end
        for action in self.head:
            getattr(self, f"_{action}")()
        wheel = _ACTION_WHEELS[self.channel]
        while self.left > self.spare:
            action = wheel.draw(self.rng)
            getattr(self, f"_{action}")()
        if proper:
            self._event("session_ended")
        self._session_row()

    def _event(
        self,
        name: str,
        metadata: str = "{}",
        result: str = "success",
        duration_ms: float | None = None,
    ) -> None:
        self.left -= 1
        self.clock += self.gaps.pop()
        place = (self.project, self.branch, self.context, result, duration_ms, metadata)
        head = (_uuid7(self.rng, self.clock), iso(self.clock), name)
        self.rows.events.append((*head, *self.who, *place, self.release, 1.0))

    def _trace(
        self, operation: str, duration_ms: float, *, success: bool, results: int | None = None
    ) -> None:
        head = (_uuid7(self.rng, self.clock), iso(self.clock), operation, duration_ms)
        place = (self.project, self.branch, self.context, "{}", self.release, 1.0)
        self.rows.traces.append((*head, int(success), results, *self.who, *place))

    def _session_row(self) -> None:
        person = self.person
        seconds = (self.clock - self.start) / 1000
        times = (iso(self.start), iso(self.clock), seconds, self.length, self.errors)
        extension = self.release if self.channel == "extension" else None
        server = self.release if self.channel == "server" else None
        ide = None if self.channel == "web" else person.ide
        who = (self.session_id, person.user, person.tier, self.channel)
        self.rows.sessions.append((*who, *times, person.system, ide, extension, server))

    # chance

    def _in_incident(self) -> bool:
        start, end = self.story.incident_ms
        return start <= self.clock < end

    def _call(self, operation: script.Operation) -> tuple[str, float]:
        """Draw how one call of an operation went: its result and its milliseconds."""
        rng, person = self.rng, self.person
        chance = operation.failure * person.luck
        duration = operation.median_ms * person.slowness * exp(rng.gauss(0, operation.sigma))
        timeouts = script.TIMEOUT_SHARE
        if rng.random() < script.TAIL_SHARE:
            duration *= script.TAIL_FACTOR
        if self.release_index == script.BAD_RELEASE and operation.name == "rag_search":
            duration *= script.REGRESSION_FACTOR
            chance += script.REGRESSION_FAILURE
        if self._in_incident():
            duration *= script.INCIDENT_FACTOR
            chance, timeouts = script.INCIDENT_FAILURE, script.TIMEOUT_SHARE_INCIDENT
        if rng.random() >= chance:
            return "success", round(duration, 1)
        if rng.random() < timeouts:
            return "timeout", round(rng.uniform(*script.TIMEOUT_MS), 1)
        return "error", round(duration * 0.6, 1)

    def _fails(self, chance: float) -> str:
        limit = (
            script.INCIDENT_FAILURE_ELSEWHERE if self._in_incident() else chance * self.person.luck
        )
        return "error" if self.rng.random() < limit else "success"

    # what can happen, one method per action of the script

    def _install(self) -> None:
        self._event("install", f"{{{self.about}}}")

    def _extension_activated(self) -> None:
        result = self._fails(script.ACTIVATION_FAILURE)
        duration = round(620 * self.person.slowness * exp(self.rng.gauss(0, 0.5)), 1)
        self._event("extension_activated", f"{{{self.about}}}", result, duration)
        if result != "success":
            self._error("extension_activated", "extension_activated")

    def _session_started(self) -> None:
        self._event("session_started", f"{{{self.about}}}")

    def _session_resumed_from_context(self) -> None:
        tokens = self.rng.randint(400, 9_000)
        metadata = f'{{"tokens_saved_vs_naive": {tokens * 4}, "token_count": {tokens}}}'
        self._event("session_resumed_from_context", metadata)

    def _payment(self) -> None:
        step, person = self.step, self.person
        if step is None:
            return
        plan, credits_ = self.rng.choice(script.PLANS)
        metadata = (
            f'{{"plan": "{plan}", "credits": {credits_}, '
            f'"from_tier": "{person.tier}", "to_tier": "{step.tier}"}}'
        )
        if step.tier in PAID_TIERS:  # the event that starts a subscription is already a paid one
            person.tier = step.tier
            self._set_tier()
        self._event(step.event_name, metadata)
        person.tier = step.tier
        self._set_tier()

    def _operation(self) -> None:
        tool = _TOOL_WHEEL.draw(self.rng)
        operation = script.OPERATIONS[script.TOOLS[tool][1]]
        result, duration = self._call(operation)
        success = result == "success"
        details, results = getattr(self, f"_about_{tool}")(success=success)
        metadata = f'{{"tool_name": "{tool}", {details}{self.about}}}'
        self._event("server_operation_called", metadata, result, duration)
        self._trace(operation.name, duration, success=success, results=results)
        if tool == "update_memory" and self.rng.random() < script.UPDATE_CLASSIFIES:
            _, duration = self._call(script.OPERATIONS["ontology_classify"])
            self._trace("ontology_classify", duration, success=True, results=self.rng.randint(1, 4))
        if not success:
            self._error(operation.name, "server_operation_called")

    def _about_initialize_context(self, *, success: bool) -> tuple[str, int | None]:
        size = self.rng.randint(2, 900)
        cached = "true" if size % 3 else "false"
        return f'"context_size_kb": {size}, "cached": {cached}, ', 1 if success else 0

    def _about_create_branch(self, *, success: bool) -> tuple[str, int | None]:
        return "", 1 if success else 0

    def _about_search_context(self, *, success: bool) -> tuple[str, int | None]:
        top_k = self.rng.choice((5, 5, 8, 10, 20))
        found = min(top_k, int(self.rng.expovariate(0.16))) if success else 0
        length = self.rng.randint(6, 180)
        return f'"query_length": {length}, "top_k": {top_k}, "results_count": {found}, ', found

    def _about_update_memory(self, *, success: bool) -> tuple[str, int | None]:
        stored = self.rng.randint(1, 6) if success else 0
        kind = self.rng.choice(("bugfix", "feature", "refactor", "change", "decision"))
        details = f'"observations_created": {stored}, "obs_type_{kind}": {stored}, '
        details += self._classified() if success else ""
        return details + self._model(900 + 260 * stored, 70 * stored), stored

    def _classified(self) -> str:
        """Return what the ontology says of a memory, by a chance that no other draw depends on."""
        own = random.Random(self.clock)  # noqa: S311 - made-up data wants a seed, not secrecy
        if own.random() >= script.UPDATE_CLASSIFIES:
            return ""
        category = _CATEGORY_WHEEL.draw(own)
        _, sure, unsure = script.CATEGORIES[category]
        confidence = round(own.betavariate(sure, unsure), 3)
        return f'"category": "{category}", "confidence": {confidence}, '

    def _about_get_active_summary(self, *, success: bool) -> tuple[str, int | None]:
        tokens = self.rng.randint(80, 1_400) if success else 0
        return f'"token_count": {tokens}, ', None

    def _about_compress_context(self, *, success: bool) -> tuple[str, int | None]:
        before = self.rng.randint(2_000, 60_000)
        saved = self.rng.betavariate(6, 4) if success else 0.0
        if self.person.variant == script.VARIANTS[1] and self.day >= self.story.open_day:
            saved += (1 - saved) * 0.2 * success
        after = round(before * (1 - saved))
        rate = round(1 - after / before, 3)
        details = f'"before_tokens": {before}, "after_tokens": {after}, "savings_rate": {rate}, '
        return details + self._model(before, after), None

    def _about_reference_suggest(self, *, success: bool) -> tuple[str, int | None]:
        count = self.rng.randint(1, 8) if success else 0
        accepted = "true" if count and self.rng.random() < script.ACCEPTS else "false"
        details = f'"suggestion_count": {count}, "accepted": {accepted}, '
        return details + self._model(self.rng.randint(300, 4_000), 40 * count), count

    def _model(self, tokens_in: int, tokens_out: int) -> str:
        model, provider, _, price_in, price_out = self.person.model
        cost = round((tokens_in * price_in + tokens_out * price_out) / 1e6, 6)
        return (
            f'"model": "{model}", "provider": "{provider}", "tokens_input": {tokens_in}, '
            f'"tokens_output": {tokens_out}, "cost_usd": {cost}, '
        )

    def _context_event(self, name: str, metadata: str, median_ms: float) -> None:
        result = self._fails(script.CONTEXT_FAILURE)
        duration = round(median_ms * self.person.slowness * exp(self.rng.gauss(0, 0.5)), 1)
        self._event(name, metadata, result, duration)
        if result != "success":
            self._error(name, name)

    def _context_created(self) -> None:
        self._new_context()
        self._context_event("context_created", '{"auto": false}', 38)

    def _context_auto_created(self) -> None:
        self._new_context()
        self._context_event("context_auto_created", '{"auto": true}', 34)

    def _context_loaded(self) -> None:
        self._context_event("context_loaded", self._size(), 52)

    def _context_resumed(self) -> None:
        self._context_event("context_resumed", self._size(), 61)

    def _size(self) -> str:
        size = self.rng.randint(2, 900)
        return f'{{"context_size_kb": {size}, "token_count": {size * 31}}}'

    def _context_modified(self) -> None:
        files = 1 + int(self.rng.expovariate(0.7))
        self._context_event("context_modified", f'{{"files_changed": {files}}}', 44)

    def _context_merged(self) -> None:
        self._context_event("context_merged", "{}", 90)

    def _context_deleted(self) -> None:
        self._context_event("context_deleted", "{}", 21)

    def _protection(self) -> None:
        """Protection triggers; it may block, and the person may override the block."""
        category = self.rng.choice(("overwrite", "stale_branch", "secret", "large_delete"))
        metadata = f'{{"category": "{category}"}}'
        self._event("context_protection_triggered", metadata)
        if self.left > self.spare and self.rng.random() < script.PROTECTION_BLOCKS:
            self._event("context_protection_blocked", metadata)
            if self.left > self.spare and self.rng.random() < script.BLOCK_IS_OVERRIDDEN:
                self._event("context_override_manual", metadata)

    def _code_insert(self) -> None:
        lines = 1 + int(self.rng.expovariate(0.09))
        compact = self.person.variant == script.VARIANTS[1] and self.day >= self.story.open_day
        likely = script.ACCEPTS * (script.COMPACT_LIFT if compact else 1)
        accepted = "true" if self.rng.random() < likely else "false"
        model = self._model(self.rng.randint(500, 12_000), lines * 11)
        details = f'"lines_inserted": {lines}, "accepted": {accepted}, {model}'
        result = self._fails(script.INTERFACE_FAILURE)
        self._event("code_insert", f"{{{details}{self.about}}}", result)
        if result != "success":
            self._error("code_insert", "code_insert")

    def _context_switch(self) -> None:
        _, self.branch, self.context = self.rng.choice(self.person.contexts)
        self._interface("context_switch", "{}")

    def _ui_interaction(self) -> None:
        element = self.rng.choice(script.ELEMENTS)
        action = self.rng.choice(("open", "select", "filter", "copy"))
        self._interface("ui_interaction", f'{{"element": "{element}", "action": "{action}"}}')

    def _web_view_opened(self) -> None:
        self._interface("web_view_opened", f'{{"route": "{self.rng.choice(script.ROUTES)}"}}')

    def _interface(self, name: str, metadata: str) -> None:
        result = self._fails(script.INTERFACE_FAILURE)
        self._event(name, metadata, result)
        if result != "success":
            self._error(name, name)

    # what breaks

    def _error(self, during: str, event_name: str) -> None:
        """Write the error behind a failure; some failures leave none."""
        faults = script.possible_faults(during, self.release_index, self.person.system)
        if self._in_incident():
            faults = script.INCIDENT_FAULTS if during in script.OPERATIONS else faults
        if not faults:
            return
        fault = self.rng.choices(faults, [fault.weight for fault in faults])[0]
        self.errors += 1
        at = self.clock + self.rng.randint(1, 40)
        message, stack = self._stack(fault)
        occurrences = self.rng.randint(2, 7) if self.rng.random() < script.REPEATS else 1
        last = iso(at + (occurrences - 1) * self.rng.randint(200, 4_000))
        kind = fault.error_type
        group = stack_hash(stack, error_type=kind, message=message)
        head = (_uuid7(self.rng, at), iso(at), kind, message, stack, group, HASH_VERSION)
        place = (self.project, self.branch, self.context, event_name, occurrences, iso(at), last)
        metadata = f"{{{self.about}}}"
        self.rows.errors.append(
            (*head, fault.severity, *self.who, *place, metadata, self.release, 1.0)
        )

    def _stack(self, fault: script.Fault) -> tuple[str, str]:
        person, rng = self.person, self.rng
        home = person.home.replace("/", "\\\\") if person.system == "windows" else person.home
        message = fault.message.format(
            home=home if fault.is_python else person.home,
            project=self.project,
            branch=self.branch,
            context=self.context,
            ms=rng.randint(5_000, 9_999),
            count=rng.randint(100, 4_999),
            request=f"req_{rng.getrandbits(64):016x}",
        )
        folder = script.EXTENSION_FOLDERS.get(person.ide, ".vscode")
        stack = script.stack_of(
            fault,
            message,
            home=person.home,
            editor_folder=folder,
            system=person.system,
            release=self.release_index,
        )
        return message, stack
