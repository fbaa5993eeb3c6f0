"""The command line of ingest: what a person runs to make, load and bring over telemetry.

    python -m ingest demo
    python -m ingest load FILE...
    python -m ingest migrate OLD
    python -m ingest retain
    python -m ingest token create | list | revoke

Exit codes: 0 done, 1 some lines were quarantined or a file broke off, 2 a file, or all of them,
could not be loaded at all. For retain: 1 some files had to be kept, 2 the database failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ingest import demo, token_command
from ingest.loader import CannotLoad, LoadSummary, load, replay_log
from ingest.migrate import OldDatabase
from ingest.old_logs import migrate
from ingest.retention import RetainSummary, retain
from ingest.salt import read_salt
from ingest.settings import DAYS_MAX, MB, IngestSettings, read_settings
from ingest.tokens import TokenRefused, tokens_file
from ingest.vocabulary import DATABASE_FILE

HOME_DEFAULT: Final = "telemetry"
BAR_WIDTH: Final = 24
BAR_EVERY_S: Final = 0.2


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    home = Path(chosen.home or os.environ.get("TELEMETRY_HOME") or HOME_DEFAULT)
    try:
        if chosen.command == "demo":
            return demo.run(chosen, home=home, today=datetime.now(UTC).date())
        if chosen.command == "retain":
            return _retain(chosen, home)
        if chosen.command == "token":
            return _token(chosen, home)
        if chosen.command == "migrate":
            return _migrate(chosen, home)
        return _load(chosen.files, home)
    except (OldDatabase, demo.DemoRefused, TokenRefused) as error:
        print(f"error: {error}", file=sys.stderr)
    except sqlite3.Error as error:
        print(
            f"error: {home / 'telemetry.db'} cannot be written ({error}). "
            "Close what else has it open, or check the disk, and run the command again.",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("\nStopped. What was written stays; running it again goes on.", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ingest",
        description=(__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--home", help="telemetry home (default: $TELEMETRY_HOME, else ./telemetry)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = commands.add_parser("demo", help="write a home with made-up data of a believable beta")
    demo.add_arguments(made)
    loaded = commands.add_parser(
        "load",
        help="load JSONL or CSV (plain or gzip) and older databases into the home",
        description="Load files into the home. Loading one twice changes nothing.",
    )
    loaded.add_argument("files", nargs="+", type=Path, metavar="FILE")
    moved = commands.add_parser(
        "migrate",
        help="bring an older system's database or log folder into the home",
        description="Bring an older system's database, log file or folder of log files (.jsonl, "
        ".jsonl.gz) into the home. It may be repeated: nothing comes in twice.",
    )
    moved.add_argument("old", type=Path, metavar="OLD")
    moved.add_argument(
        "--again", action="store_true", help="read also what was brought over before"
    )
    retained = commands.add_parser(
        "retain",
        help="compress old log files, and remove those SQLite has all of",
        description="Load what is in the log only, compress its old files, and remove those that "
        "are older still and fully loaded. The rows stay in telemetry.db.",
    )
    for name in ("compress", "remove"):
        retained.add_argument(
            f"--{name}-after-days",
            type=_days,
            metavar="N",
            help=f"{name} files older than N days (default: telemetry.toml, else "
            f"{getattr(IngestSettings(), f'{name}_after_days')})",
        )
    retained.add_argument(
        "--dry-run", action="store_true", help="say what a run would do and change nothing"
    )
    given = commands.add_parser("token", help="make, list and revoke tokens of the HTTP API")
    token_command.add_arguments(given)
    for command in (made, loaded, moved, retained, given):
        command.add_argument("--home", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _token(chosen: argparse.Namespace, home: Path) -> int:
    try:
        return token_command.run(
            chosen,
            home,
            now=datetime.now(UTC),
            say=print,
            explain=lambda words: print(words, file=sys.stderr),
        )
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        print(
            f"error: {tokens_file(home)} cannot be used ({reason}). Run the command as the user "
            "who owns the home.",
            file=sys.stderr,
        )
        return 2


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > DAYS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 0 to {DAYS_MAX:,}")
    return int(text)


def _settings(home: Path) -> IngestSettings:
    """Return the home's settings and say which of them cannot be used."""
    settings = read_settings(home)
    for problem in settings.problems:
        print(f"warning: {problem}", file=sys.stderr)
    return settings


def _retain(chosen: argparse.Namespace, home: Path) -> int:
    if not home.is_dir():
        print(
            f"error: There is no telemetry home at {home}. Name one with --home.", file=sys.stderr
        )
        return 2
    names = ("compress_after_days", "remove_after_days")
    given = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    bar = _Bar("log")
    summary = retain(
        home,
        today=datetime.now(UTC).date(),
        settings=replace(_settings(home), **given),
        dry_run=chosen.dry_run,
        progress=lambda done, total: bar.draw(done, total, f"{done:,} of {total:,} files"),
    )
    bar.close()
    _print_retained(summary, dry_run=chosen.dry_run)
    if summary.trouble:
        print(
            f"error: {home / DATABASE_FILE} cannot be used ({summary.trouble}), so no log file was "
            "removed. Close what else has it open, or mend it, and run the command again.",
            file=sys.stderr,
        )
        return 2
    return 1 if summary.problems or (summary.kept and not chosen.dry_run) else 0


def _print_retained(summary: RetainSummary, *, dry_run: bool) -> None:
    head = "A run would do this; nothing was changed." if dry_run else "The log is in order."
    if summary.kept or summary.problems or summary.trouble:
        head = head if dry_run else "The log is in order but for what is named below."
    print(
        f"{head}\n"
        f"  rows loaded first  {summary.replayed:>10,}\n"
        f"  compressed         {summary.compressed:>10,} files\n"
        f"  removed            {summary.removed:>10,} files\n"
        f"  kept, not loaded   {summary.kept:>10,} files\n"
        f"  counters removed   {summary.pruned:>10,} files\n"
        f"  freed              {summary.freed_bytes / MB:>10,.1f} MB"
    )
    for reason in summary.reasons:
        print(f"    {reason}")
    if summary.kept > len(summary.reasons):
        print(f"    ... and {summary.kept - len(summary.reasons):,} more.")
    for problem in summary.problems:
        print(f"  {problem}")


def _migrate(chosen: argparse.Namespace, home: Path) -> int:
    _settings(home)
    _replay_first(home)
    bar = _Bar(chosen.old.name)
    try:
        summary = migrate(
            chosen.old,
            home,
            salt=read_salt(home, os.environ),
            again=chosen.again,
            progress=bar,
        )
    except CannotLoad as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    bar.close()
    if summary.already:
        print(
            f"{chosen.old}: already brought over"
            + (f" ({summary.already:,} files)" if summary.already > 1 else "")
            + "; --again reads it once more."
        )
    if summary.files:
        _print_summary(summary.account, bar.seconds)
    for problem in summary.failed:
        print(f"error: {problem}", file=sys.stderr)
    if summary.failed:
        return 2
    return 1 if summary.account.quarantined or summary.account.trouble else 0


def _replay_first(home: Path) -> None:
    replayed = replay_log(home)
    if replayed:
        print(f"{replayed:,} rows came in from the event log first.")


def _load(files: list[Path], home: Path) -> int:
    _settings(home)
    _replay_first(home)
    salt = read_salt(home, os.environ)
    code = 0
    for path in files:
        bar = _Bar(path.name)
        try:
            summary = load(path, home, salt=salt, progress=bar)
        except CannotLoad as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
            continue
        bar.close()
        _print_summary(summary, bar.seconds)
        if summary.quarantined or summary.trouble:
            code = max(code, 1)
    return code


class _Bar:
    """A progress line on a terminal; silent where nobody looks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = self.drawn = time.monotonic()
        self.shown = sys.stderr.isatty()

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.started, 1e-9)

    def __call__(self, summary: LoadSummary, done: int, total: int) -> None:
        rate = summary.lines / self.seconds
        self.draw(done, total, f"{summary.lines:,} lines, {rate:,.0f} rows/s")

    def draw(self, done: int, total: int, words: str) -> None:
        now = time.monotonic()
        if not self.shown or (now - self.drawn < BAR_EVERY_S and done < total):
            return
        self.drawn = now
        share = done / total if total else 1.0
        filled = "#" * round(share * BAR_WIDTH)
        print(
            f"\r{self.name} [{filled:<{BAR_WIDTH}}] {share:4.0%} {words} ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        if self.shown:
            print(file=sys.stderr)


def _print_summary(summary: LoadSummary, seconds: float) -> None:
    print(
        f"{summary.file}: {summary.lines:,} lines in {seconds:.1f} s "
        f"({summary.lines / seconds:,.0f} rows/s)\n"
        f"  accepted    {summary.accepted:>10,}\n"
        f"  duplicates  {summary.duplicates:>10,}\n"
        f"  quarantined {summary.quarantined:>10,}"
    )
    for one in summary.refused:
        where = "" if one.file == summary.file else f"{one.file} "
        print(f"    {where}line {one.line}: {one.reason}")
    if summary.quarantined > len(summary.refused):
        print("    ... all of them are in the table telemetry_quarantine.")
    for name, count in summary.flagged.most_common():
        print(f"  unusable or unusual {name} in {count:,} of the rows; kept without it")
    if summary.numbers:
        print(f"  {summary.numbers:,} numbers the older system had computed, in telemetry_metrics")
    if summary.trouble:
        print(f"  {summary.trouble}. What came before is loaded; load a whole copy to go on.")


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` has read enough
    sys.exit(main())
