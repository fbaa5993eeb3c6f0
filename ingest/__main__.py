"""The command line of ingest: what a person runs to make, load and bring over telemetry.

    python -m ingest demo
    python -m ingest load FILE...
    python -m ingest migrate OLD_DB

Exit codes: 0 done, 1 some lines were quarantined or a file broke off, 2 a file, or all of them,
could not be loaded at all.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ingest import demo
from ingest.loader import CannotLoad, LoadSummary, load, replay_log
from ingest.migrate import OldDatabase

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
        return _load(chosen.files, home)
    except (OldDatabase, demo.DemoRefused) as error:
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
    moved = commands.add_parser("migrate", help="bring an older system's database into the home")
    moved.add_argument("files", nargs=1, type=Path, metavar="OLD_DB")
    for command in (made, loaded, moved):
        command.add_argument("--home", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _load(files: list[Path], home: Path) -> int:
    replayed = replay_log(home)
    if replayed:
        print(f"{replayed:,} rows came in from the event log first.")
    code = 0
    for path in files:
        bar = _Bar(path.name)
        try:
            summary = load(path, home, progress=bar)
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
        now = time.monotonic()
        if not self.shown or (now - self.drawn < BAR_EVERY_S and done < total):
            return
        self.drawn = now
        share = done / total if total else 1.0
        filled = "#" * round(share * BAR_WIDTH)
        print(
            f"\r{self.name} [{filled:<{BAR_WIDTH}}] {share:4.0%} "
            f"{summary.lines:,} lines, {summary.lines / self.seconds:,.0f} rows/s ",
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
        print(f"    line {one.line}: {one.reason}")
    if summary.quarantined > len(summary.refused):
        print("    ... all of them are in the table telemetry_quarantine.")
    for name, count in summary.flagged.most_common():
        print(f"  unusable or unusual {name} in {count:,} of the rows; kept without it")
    if summary.trouble:
        print(f"  {summary.trouble}. What came before is loaded; load a whole copy to go on.")


if __name__ == "__main__":
    sys.exit(main())
