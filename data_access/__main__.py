"""The command line of data_access: what a person or a script takes out of a home.

    python -m data_access export --metric retention --query "span=28d&tier=paid" --format parquet
    python -m data_access export --list

Exit codes: 0 done, 1 it could not be done (no data, a file that is there already, a full disk),
2 what was asked for makes no sense. The message says what to do.
"""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import UTC, datetime

from data_access import exporting
from data_access.errors import DataUnavailable, MetricError
from data_access.links import LinkError
from data_access.window import WindowError


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        return exporting.run(chosen, now=datetime.now(UTC))
    except (LinkError, MetricError, WindowError, exporting.AskedWrong) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (DataUnavailable, exporting.CannotExport) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(
            f"error: the file cannot be written ({error}). Choose another place with --output, or "
            "make room.",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("\nStopped. No file was written.", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_access",
        description=(__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    exporting.add_arguments(
        commands.add_parser(
            "export",
            help="write a metric's numbers to a file, or a notebook that computes them",
            description="Write a metric's numbers to a file. The query is the part of a copied "
            "link after the question mark; a whole link is answered as its page shows it.",
        )
    )
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as with Ctrl-C, nothing is left
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` has read enough
    sys.exit(main())
