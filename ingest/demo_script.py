"""The story the demo tells: what ships when, who there is, what breaks. It writes nothing.

Constants first, then the calendar (`Story`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# --- the calendar, as parts of the period ------------------------------------------------------

OPEN_BETA_AT: Final = 0.60
PAID_PLANS_AT: Final = 0.25
RELEASES: Final = ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0")
RELEASES_AT: Final = (0.0, 0.18, 0.38, 0.57, 0.80, 0.88)
BAD_RELEASE: Final = RELEASES.index("1.4.0")  # the next one fixes it
INCIDENT_DAYS_BEFORE_END: Final = range(5, 12)  # the latest Tuesday to Thursday in there
INCIDENT_HOURS: Final = (12, 17)  # UTC
SATURDAY: Final = 5
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000

# --- the size ------------------------------------------------------------------------------------

EVENTS_PER_SESSION: Final = 12
SESSION_EVENTS_MIN: Final = 4  # install, activation, start and one more; or start, view, payment
TESTERS: Final = 40
TESTERS_MIN: Final = 3
TESTER_SHARE_MAX: Final = 0.40  # of all sessions; a small demo invites fewer people
NO_SHOWS: Final = 2  # of TESTERS: on the list, never seen
OPEN_USERS_MIN: Final = 5

# --- people --------------------------------------------------------------------------------------

# region, minutes east of UTC, how many people, network distance
REGIONS: Final = (
    ("us-east", -300, 22, 1.0),
    ("us-west", -480, 16, 1.0),
    ("south-america", -180, 6, 1.25),
    ("eu-west", 0, 18, 1.0),
    ("eu-central", 60, 13, 1.0),
    ("india", 330, 10, 1.25),
    ("korea", 540, 12, 1.15),
    ("australia", 600, 3, 1.3),
)
HOUR_WEIGHTS: Final = (
    *(2, 1, 1, 1, 1, 2, 6, 14, 40, 70, 80, 78),  # local time, midnight to noon
    *(50, 62, 80, 82, 74, 60, 40, 30, 32, 30, 18, 8),
)
SYSTEMS: Final = (("macos", 46), ("linux", 24), ("windows", 30))
# editor, people, weights of the channels extension, server, web
IDES: Final = (
    ("vscode", 44, (70, 20, 10)),
    ("cursor", 24, (68, 22, 10)),
    ("jetbrains", 12, (62, 24, 14)),
    ("claude-code", 15, (0, 88, 12)),
    ("zed", 5, (48, 40, 12)),
)
CHANNEL_ORDER: Final = ("extension", "server", "web")
EXTENSION_FOLDERS: Final = {"cursor": ".cursor", "jetbrains": ".jetbrains", "zed": ".zed"}
LANGUAGES: Final = (
    *(("python", 34), ("typescript", 30), ("go", 9), ("rust", 8), ("java", 8)),
    *(("csharp", 5), ("kotlin", 3), ("ruby", 3)),
)
# model, provider, people, US dollars for a million tokens in and out
MODELS: Final = (
    ("claude-sonnet-4-5", "anthropic", 38, 3.0, 15.0),
    ("claude-haiku-4-5", "anthropic", 14, 1.0, 5.0),
    ("gpt-5", "openai", 22, 1.25, 10.0),
    ("gpt-5-mini", "openai", 10, 0.25, 2.0),
    ("gemini-2.5-pro", "google", 11, 1.25, 10.0),
    ("qwen3-coder", "local", 5, 0.0, 0.0),
)
NAMES: Final = (
    *("anna", "ben", "chloe", "dae", "elif", "farid", "greta", "hugo", "ines", "jun", "kofi"),
    *("lena", "mateo", "nadia", "omar", "priya", "quinn", "rosa", "sven", "tariq", "uma"),
    *("viktor", "wei", "ximena", "yuki", "zofia"),
)
FLAG: Final = "compact_summaries"  # the experiment, from the open beta on
VARIANTS: Final = ("control", "compact")
COMPACT_LIFT: Final = 1.3  # conversions and accepted insertions in the second variant

# tier at the start, of testers and of everybody after them
TESTER_TIERS: Final = (("free", 62), ("trial", 26), ("enterprise", 12))
OPEN_TIERS: Final = (("free", 84), ("trial", 12), ("enterprise", 4))
CONVERTS: Final = {("free", True): 0.38, ("trial", True): 0.6} | {
    ("free", False): 0.17,  # of those who stay for CONVERTS_AFTER_DAYS active days
    ("trial", False): 0.36,
}
CONVERTS_AFTER_DAYS: Final = 3
TRIAL_DAYS: Final = 14
TRIAL_FIRST: Final = 0.5
CANCELS: Final = 0.5  # of those still around then
CANCELS_AFTER_DAYS: Final = (6, 30)
STARTS_AGAIN: Final = 0.2
PLANS: Final = (("pro-monthly", 500), ("pro-yearly", 6000))

# how long people stay: share, mean days from the first, chance to be active on a weekday (a beta)
LIVES_OF_TESTERS: Final = ((0.10, 12.0, 2.0, 5.0), (0.90, 260.0, 3.2, 2.8))
LIVES_OF_OTHERS: Final = ((0.26, 0.1, 1.0, 9.0), (0.30, 11.0, 2.0, 5.0), (0.44, 160.0, 2.2, 3.4))
WEEKEND_FACTOR: Final = 0.34
HOBBYISTS: Final = 0.14  # busier at the weekend
HOBBYIST_FACTORS: Final = (0.6, 1.4)
BREAKS: Final = 0.42  # of those who stay long: one long silence
BREAK_DAYS: Final = (9, 34)
BREAK_LIFE_DAYS: Final = 30
COMES_BACK_LATE: Final = 0.16  # of those who left
COMES_BACK_AFTER_DAYS: Final = (12, 60)
RETURN_GAP_DAYS: Final = 8  # seven or more whole idle days between
RETURNS_BY_CONTEXT: Final = 0.58  # of returns open with session_resumed_from_context
INVITATION_WAVES: Final = (0.0, 0.0, 0.12, 0.28, 0.45, 0.62)  # of the closed beta
ADOPTS_AT_ONCE: Final = 0.5
ADOPTION_DAYS_MEAN: Final = 2.4
ENTERPRISE_SLOWNESS: Final = 2.5
MORE_SESSIONS: Final = (0.32, 0.10)  # a second and a third one on an active day
TIER_APPETITE: Final = {"free": 1.0, "trial": 1.15, "paid": 1.4, "enterprise": 1.5}
TIER_LOADS: Final = {"free": 0.36, "trial": 0.44, "paid": 0.60, "enterprise": 0.64}

# --- what happens in a session --------------------------------------------------------------------

ACTIONS: Final[dict[str, dict[str, float]]] = {
    "extension": {"operation": 31, "context_modified": 13, "context_loaded": 4}
    | {"context_resumed": 2.5, "context_created": 2.5, "context_auto_created": 2.2}
    | {"context_merged": 0.8, "context_deleted": 0.9, "protection": 1.5, "code_insert": 14}
    | {"context_switch": 8, "ui_interaction": 9},
    "server": {"operation": 54, "context_modified": 15, "context_loaded": 5}
    | {"context_resumed": 3, "context_created": 3, "context_auto_created": 3.4}
    | {"context_merged": 1, "context_deleted": 0.9, "protection": 2, "context_switch": 6},
    "web": {"web_view_opened": 38, "ui_interaction": 36, "operation": 12, "context_modified": 4}
    | {"context_merged": 1.5, "context_deleted": 2, "context_loaded": 4},
}
PROTECTION_BLOCKS: Final = 0.55
BLOCK_IS_OVERRIDDEN: Final = 0.4
SESSION_PAUSE_MS: Final = 2_000_000  # over half an hour: sessions found by their gaps agree
CONTEXTS_MAX: Final = 8  # a person's latest; older ones are not opened again
NEW_CONTEXT: Final = 0.1  # of sessions work in a new one
LOADS_NOT_RESUMES: Final = 0.75
RESUMES_FROM_CONTEXT: Final = 0.12  # an ordinary session
ENDS_PROPERLY: Final = 0.8  # the others lose their session_ended
GAP_S_MEDIAN: Final = 38.0
GAP_SIGMA: Final = 1.25
GAP_S_MAX: Final = 1_500.0
LONG_BREAK: Final = 0.008  # lunch: the session goes on after more than half an hour
LONG_BREAK_S: Final = (1_860.0, 3_300.0)
ROUTES: Final = ("/contexts", "/search", "/usage", "/projects", "/settings", "/billing")
ELEMENTS: Final = ("context_list", "search_box", "summary_card", "branch_menu", "timeline")
CONTEXT_FAILURE: Final = 0.015
ACTIVATION_FAILURE: Final = 0.032
INTERFACE_FAILURE: Final = 0.02
ACCEPTS: Final = 0.31


@dataclass(frozen=True, slots=True)
class Operation:
    """One traced operation: a lognormal duration, and how often it fails."""

    name: str
    median_ms: float
    sigma: float
    failure: float


OPERATIONS: Final = {
    operation.name: operation
    for operation in (
        Operation("context_load", 45.0, 0.55, 0.018),
        Operation("rag_search", 140.0, 0.60, 0.021),
        Operation("memory_update", 70.0, 0.60, 0.018),
        Operation("summary_read", 24.0, 0.50, 0.0),
        Operation("compress_context", 900.0, 0.70, 0.022),
        Operation("ontology_classify", 120.0, 0.60, 0.0),
        Operation("branch_create", 35.0, 0.45, 0.010),
        Operation("reference_suggest", 260.0, 0.75, 0.018),
    )
}
# MCP tool -> (its share of the calls, the operation behind it)
TOOLS: Final = {
    "initialize_context": (13, "context_load"),
    "create_branch": (6, "branch_create"),
    "search_context": (34, "rag_search"),
    "update_memory": (21, "memory_update"),
    "get_active_summary": (10, "summary_read"),
    "compress_context": (7, "compress_context"),
    "reference_suggest": (9, "reference_suggest"),
}
TAIL_SHARE: Final = 0.012  # of calls hit a cold cache or a busy disk
TAIL_FACTOR: Final = 6.0
REGRESSION_FACTOR: Final = 2.3  # rag_search in the bad release
REGRESSION_FAILURE: Final = 0.055
INCIDENT_FAILURE: Final = 0.55
INCIDENT_FAILURE_ELSEWHERE: Final = 0.15  # events that call no operation
INCIDENT_FACTOR: Final = 2.6
TIMEOUT_SHARE: Final = 0.3
TIMEOUT_SHARE_INCIDENT: Final = 0.6
TIMEOUT_MS: Final = (30_000.0, 30_400.0)
UPDATE_CLASSIFIES: Final = 0.25
# what a memory is about -> its share, and how sure the ontology is of it (a beta distribution)
CATEGORIES: Final = {
    "code": (34, 14, 2),
    "decision": (22, 9, 3),
    "requirement": (16, 7, 3),
    "architecture": (13, 8, 2),
    "error": (9, 12, 2),
    "other": (6, 3, 4),
}

# --- what breaks ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the product: what it says, where it happens, and in which releases.

    `frames` are (file, function, line in 1.0.0, code), outermost first; `cause` is the exception
    it was raised from. `during` names the operations and events it interrupts.
    """

    error_type: str
    message: str
    frames: tuple[tuple[str, str, int, str], ...]
    during: tuple[str, ...]
    weight: float = 1.0
    severity: str = "error"
    since: int = 0
    until: int = len(RELEASES)
    only_on: str = ""
    cause: str = ""
    incident: bool = False

    @property
    def is_python(self) -> bool:
        """Whether the trace is Python's; the others are JavaScript's."""
        return self.frames[0][0].endswith(".py")


_CALL = ("cortex_mcp/tools/cortex_tools.py", "call_tool", 112, "result = handler(arguments)")
_HTTPX = ("site-packages/httpx/_client.py", "send", 914, "response = self._send_handling_auth(")

FAULTS: Final = (
    Fault(
        "TimeoutError",
        "Query timeout after {ms} ms in collection {context}",
        (
            _CALL,
            ("cortex_mcp/core/rag_engine.py", "search_context", 208, "hits = self._nearest(query)"),
            ("cortex_mcp/core/rag_engine.py", "_nearest", 251, "return self.store.query(vector)"),
            ("cortex_mcp/core/vector_store.py", "query", 87, "raise TimeoutError(text)"),
        ),
        ("rag_search",),
        weight=2.0,
        incident=True,
    ),
    Fault(
        "EmbeddingMismatchError",
        "Embedding dimension mismatch in {context}: index has 768, query has 1536",
        (
            _CALL,
            ("cortex_mcp/core/rag_engine.py", "search_context", 208, "hits = self._rerank(query)"),
            ("cortex_mcp/core/rerank.py", "score", 44, "check_dimensions(index, vector)"),
            ("cortex_mcp/core/rerank.py", "check_dimensions", 71, "raise EmbeddingMismatchError("),
        ),
        ("rag_search",),
        weight=6.0,
        since=BAD_RELEASE,
        until=BAD_RELEASE + 1,
    ),
    Fault(
        "ValueError",
        "Invalid project ID {project}",
        (
            _CALL,
            ("cortex_mcp/tools/cortex_tools.py", "initialize_context", 164, "engine.load(project)"),
            ("cortex_mcp/core/engine.py", "load_project", 155, "raise ValueError(text)"),
        ),
        ("context_load", "context_loaded"),
        severity="warning",
    ),
    Fault(
        "FileNotFoundError",
        "[Errno 2] No such file or directory: '{home}/.cortex/contexts/{context}.json'",
        (
            _CALL,
            ("cortex_mcp/core/context_manager.py", "load_context", 97, "text = self._read(path)"),
            ("cortex_mcp/core/context_manager.py", "_read", 140, "with open(path) as file:"),
        ),
        ("context_load", "context_loaded", "context_resumed"),
        weight=1.4,
    ),
    Fault(
        "MemoryWriteError",
        "Could not store observation {request}: database is locked",
        (
            _CALL,
            ("cortex_mcp/core/memory_manager.py", "update_memory", 310, "self.store.append(row)"),
            ("cortex_mcp/core/store.py", "append", 66, "raise MemoryWriteError(row_id) from error"),
        ),
        ("memory_update", "context_modified"),
        weight=1.6,
        cause="sqlite3.OperationalError: database is locked",
    ),
    Fault(
        "KeyError",
        "'{branch}'",
        (
            _CALL,
            ("cortex_mcp/core/branch_manager.py", "create_branch", 58, "self.fork(parent)"),
            ("cortex_mcp/core/branch_manager.py", "fork", 93, "origin = self.branches[parent]"),
        ),
        ("branch_create", "context_merged", "context_created", "context_switch"),
        weight=4.0,
        severity="warning",
        until=RELEASES.index("1.3.0"),
    ),
    Fault(
        "CompressionError",
        "Context {context} grew while compressing: {count} tokens before, {ms} after",
        (
            _CALL,
            ("cortex_mcp/core/compressor.py", "compress_context", 129, "self._verify(result)"),
            ("cortex_mcp/core/compressor.py", "_verify", 188, "raise CompressionError(text)"),
        ),
        ("compress_context",),
    ),
    Fault(
        "ProviderUnavailableError",
        "Provider answered 503 for request {request} after {count} ms",
        (
            _CALL,
            ("cortex_mcp/llm/gateway.py", "complete", 73, "return self._post(payload)"),
            ("cortex_mcp/llm/gateway.py", "_post", 118, "response = self.http.send(request)"),
            _HTTPX,
            ("cortex_mcp/llm/gateway.py", "_checked", 141, "raise ProviderUnavailableError(text)"),
        ),
        ("reference_suggest", "compress_context", "memory_update", "rag_search"),
        weight=0.5,
        incident=True,
    ),
    Fault(
        "TypeError",
        "Cannot read properties of undefined (reading 'contextId')",
        (
            ("out/extension.js", "onDidChangeActiveEditor", 231, ""),
            ("out/panels/contextPanel.js", "ContextPanel.refresh", 88, ""),
            ("out/panels/contextPanel.js", "ContextPanel.select", 142, ""),
        ),
        ("ui_interaction", "context_switch"),
        severity="warning",
    ),
    Fault(
        "Error",
        "EPERM: operation not permitted, rename '{home}/.cortex/contexts/{context}.tmp'",
        (
            ("out/storage/contextFile.js", "ContextFile.flush", 57, ""),
            ("node:internal/fs/promises", "rename", 779, ""),
            ("out/storage/contextFile.js", "ContextFile.replace", 91, ""),
        ),
        ("context_modified", "code_insert"),
        weight=4.0,
        only_on="windows",
    ),
    Fault(
        "ServerExitedError",
        "Cortex MCP server (pid {count}) exited before it was ready",
        (
            ("out/extension.js", "activate", 41, ""),
            ("out/server/launcher.js", "ServerLauncher.start", 76, ""),
            ("out/server/launcher.js", "ServerLauncher.onExit", 119, ""),
        ),
        ("extension_activated",),
        severity="critical",
    ),
    Fault(
        "ChunkLoadError",
        "Loading chunk {count} failed.",
        (
            ("https://app.cortex.example/assets/main.js", "openRoute", 2, ""),
            ("https://app.cortex.example/assets/loader.js", "loadChunk", 5, ""),
        ),
        ("web_view_opened",),
    ),
)
FAULTS_DURING: Final = {
    name: tuple(fault for fault in FAULTS if name in fault.during)
    for name in sorted({name for fault in FAULTS for name in fault.during})
}
INCIDENT_FAULTS: Final = tuple(fault for fault in FAULTS if fault.incident)
CAUSE_LINE: Final = 74
REPEATS: Final = 0.06  # of errors: one row for several occurrences


def possible_faults(during: str, release: int, system: str) -> tuple[Fault, ...]:
    """Return the faults that can interrupt `during` in this release on this system."""
    return tuple(
        fault
        for fault in FAULTS_DURING.get(during, ())
        if fault.since <= release < fault.until and fault.only_on in ("", system)
    )


def stack_of(
    fault: Fault, message: str, *, home: str, editor_folder: str, system: str, release: int
) -> str:
    """Return the stack trace as this machine's runtime prints it."""
    if fault.is_python:
        return _python_stack(fault, message, home, system, release)
    lines = [f"{fault.error_type}: {message}"]
    for path, function, line, _ in reversed(fault.frames):
        place = f"{home}/{editor_folder}/extensions/cortex.cortex-{RELEASES[release]}/{path}"
        column, line_now = 9 + (line + 5 * release) % 40, line + 6 * release
        if ":" in path:  # the web app and the runtime's own files have no home
            place, line_now = path, line
        lines.append(f"    at {function} ({_native(place, system)}:{line_now}:{column})")
    return "\n".join(lines)


def _python_stack(fault: Fault, message: str, home: str, system: str, release: int) -> str:
    lines = ["Traceback (most recent call last):"]
    for path, function, line, code in fault.frames:
        folder, line_now = f"{home}/cortex", line + 11 * release
        if path.startswith("site-packages"):
            folder += "/.venv/Lib" if system == "windows" else "/.venv/lib/python3.12"
            line_now = line
        place = _native(f"{folder}/{path}", system)
        lines += [f'  File "{place}", line {line_now}, in {function}', f"    {code}"]
    lines.append(f"{fault.error_type}: {message}")
    text = "\n".join(lines) + "\n"
    if not fault.cause:
        return text
    place = lines[-3].rpartition(", line ")[0]
    inner = [
        lines[0],
        f"{place}, line {CAUSE_LINE + 11 * release}, in _execute",
        "    self.connection.execute(_INSERT, row)",
        fault.cause,
    ]
    link = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    return "\n".join(inner) + link + text


def _native(path: str, system: str) -> str:
    return path.replace("/", "\\") if system == "windows" and path[1:3] == ":/" else path


# --- the calendar ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Story:
    """When things happen; days count from 0, the first day of the data."""

    start: date
    days: int
    open_day: int
    paid_day: int
    release_days: tuple[int, ...]
    incident_day: int
    weekend: tuple[bool, ...]
    start_ms: int

    def date_of(self, day: int) -> date:
        """Return the calendar date of a day of the story."""
        return self.start + timedelta(days=day)

    @property
    def incident_ms(self) -> tuple[int, int]:
        """First and last instant of the incident, in milliseconds since 1970."""
        midnight = self.start_ms + self.incident_day * DAY_MS
        return midnight + INCIDENT_HOURS[0] * HOUR_MS, midnight + INCIDENT_HOURS[1] * HOUR_MS


def story_of(end: date, days: int) -> Story:
    """Lay the calendar over the `days` days before `end`; nothing ships at a weekend."""
    start = end - timedelta(days=days)
    weekend = tuple((start + timedelta(days=day)).weekday() >= SATURDAY for day in range(days))
    release_days = [0]
    for part in RELEASES_AT[1:]:
        release_days.append(max(_workday(weekend, round(part * days)), release_days[-1] + 1))
    incident = next(
        days - back
        for back in INCIDENT_DAYS_BEFORE_END
        if (start + timedelta(days=days - back)).weekday() in (1, 2, 3)
    )
    return Story(
        start=start,
        days=days,
        open_day=_workday(weekend, round(OPEN_BETA_AT * days)),
        paid_day=_workday(weekend, round(PAID_PLANS_AT * days)),
        release_days=tuple(release_days),
        incident_day=incident,
        weekend=weekend,
        start_ms=(start - date(1970, 1, 1)).days * DAY_MS,
    )


def _workday(weekend: Sequence[bool], day: int) -> int:
    return next(later for later in range(day, len(weekend)) if not weekend[later])
