"""Visit every page again and again, and see whether the server's memory grows with the visits.

    python -m bench.visits                       the million events of `python -m bench`
    python -m bench.visits --home telemetry --rounds 30

One reader opens every page, over another period in each round, so the cache answers nothing and is
soon full. Memory is the server's resident size, taken after
each round; what counts is whether the second half of the rounds is higher than the first.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from datetime import date, timedelta
from pathlib import Path

from bench.serving import serving
from pages.components import menu

VISIT_S = 120
END = date(2026, 11, 20)


def main() -> None:
    """Run the visits asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.visits", description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    home = chosen.home or Path(tempfile.gettempdir()) / "betascope-bench-1000000"
    with serving(home, "--server.enableAgentApi=true") as (address, pid):
        _rounds(pid, address, chosen.rounds)


def _rounds(pid: int, server: str, rounds: int) -> None:
    sizes, session = [], ""
    for number in range(rounds):
        start = time.perf_counter()
        last = END - timedelta(days=number)
        days = {"from": [str(last - timedelta(days=27))], "to": [str(last)], "span": ["custom"]}
        for entry in menu.PAGES:
            session = _visit(server, entry.address, days, session)
        sizes.append(_resident_mb(pid))
        seconds = time.perf_counter() - start
        print(f"round {number + 1:>3}: {sizes[-1]:>7,.0f} MB   {seconds:>6.1f} s", flush=True)
    half = len(sizes) // 2
    if half:
        first, second = max(sizes[:half]), max(sizes[half:])
        print(f"\nhighest of the first half {first:,.0f} MB, of the second {second:,.0f} MB")


def _visit(server: str, page: str, query: dict[str, list[str]], session: str) -> str:
    asked = {"page": page, "query_params": query} | ({"session_id": session} if session else {})
    body = json.dumps(asked).encode()
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{server}/_stcore/agent/interact",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=VISIT_S) as answer:  # noqa: S310 - our own server
        found = json.load(answer)
    if found["status"] != "ready" or "could not be computed" in json.dumps(found):
        raise SystemExit(f"{page} failed: {json.dumps(found)[:300]}")
    return str(found["session_id"])


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [one for one in status.splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
