"""`python -m data_access export`: a link and a metric in, a file out.

It never overwrites without being told to, and a file is whole or not there.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import data_access
from data_access import export, notebook
from data_access.config import PEOPLE_COLUMNS
from data_access.home import open_home
from data_access.links import near, read_link
from data_access.measures import MEASURES
from data_access.metrics import METRICS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import polars as pl

    from data_access.errors import Problem
    from data_access.links import Request
    from data_access.measures import Measure
    from data_access.metrics.registry import Metric

STDOUT: Final = "-"
BAR_WIDTH: Final = 24
BAR_AFTER_S: Final = 0.5  # shorter work needs no bar
BAR_EVERY_S: Final = 0.2
PROBLEMS_SAID_MAX: Final = 3  # of the data's, worst first; the app has them all
OF_ONE: Final = frozenset({"user", "users"})  # options of metrics about somebody
FORMATS: Final = (*export.FORMATS, *notebook.KINDS)


class AskedWrong(ValueError):  # noqa: N818 - names the situation
    """The command's arguments make no sense. The message says what to write."""


class CannotExport(RuntimeError):  # noqa: N818 - the same
    """The file cannot be made here. The message says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `export` takes."""
    parser.add_argument("--metric", metavar="NAME", help="which number; --list prints them all")
    parser.add_argument(
        "--query",
        default="",
        metavar="QUERY",
        help="the query of a copied link, or the whole link (default: the last 28 days)",
    )
    parser.add_argument("--format", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument(
        "--home", help="telemetry home (default: $TELEMETRY_HOME, else ./telemetry)"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="where to write; - for standard output (default: METRIC-FROM-TO.FORMAT here)",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the metric, such as every=1d; again for a further value of a list",
    )
    parser.add_argument("--split", metavar="BY", help="once per group: tier, channel, a key, ...")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--list", action="store_true", help="print the metrics and end")


def run(chosen: argparse.Namespace, *, now: datetime) -> int:
    """Export what the arguments ask for and return the exit code."""
    if chosen.list:
        listed: list[Metric | Measure] = [*METRICS.values(), *MEASURES.values()]
        for name, first in sorted((one.name, one.definition.partition("\n")[0]) for one in listed):
            print(f"{name:<24} {first}")  # noqa: T201 - the command line talks to a person
        return 0
    if not chosen.metric:
        raise AskedWrong("Say which number with --metric NAME. --list prints them all.")
    ending = _format(chosen)
    # what the terminal sent as bytes that are no text can be in no link either
    query = chosen.query.encode("utf-8", "replace").decode()
    settings = data_access.settings(chosen.home)
    _warn(settings.problems)
    link = read_link(query, chosen.home, now=now)
    options = _options(chosen.metric, chosen.option)
    asked = link.request(chosen.metric, chosen.home, split=chosen.split, **options)
    for note in (*link.notes, *asked.notes):
        _say(f"note: {note}")
    kind = notebook.KINDS.get(ending)
    path = _path(chosen, asked, kind.ending if kind else ending)
    bar = _Bar(sys.stderr.isatty())
    data_access.prepare(chosen.home, progress=bar.of("reading the home"))
    found = data_access.problems(chosen.home, now=now)
    _warn([one for one in found if one not in settings.problems][:PROBLEMS_SAID_MAX])
    limit = settings.limits.export_rows
    frame = asked.compute(chosen.home).collect()
    named = OF_ONE & {*asked.options} or {*PEOPLE_COLUMNS} & {*frame.columns}
    if named and not settings.people_lists:
        raise CannotExport(
            f"{asked.metric.name} lists single people, and the team has closed such lists: "
            "people_lists = false in telemetry.toml. Numbers about everybody stay open."
        )
    about = about_of(asked, chosen.home, now=now)
    if kind is not None:
        return _notebook(kind, _story(asked, frame, about, chosen.home), path)
    if path is None:
        _to_stdout(frame, ending, about, limit)
        return 0
    written = export.write(frame, path, ending, about, limit=limit, progress=bar.of("writing"))
    bar.end()
    print(path)  # noqa: T201 - what a script wants to know
    _say(f"{path}: {written.said}.")
    for note in written.notes if written.is_complete else written.notes[1:]:
        _say(f"note: {note}.")
    if ending in export.SIDECARS:
        beside = path.with_name(export.sidecar_name(path.name))
        export.write_bytes(beside, export.sidecar(path.name, frame.schema, written, about))
        _say(f"{beside}: what the rows are.")
    return 0


def about_of(asked: Request, home: str | Path | None, *, now: datetime) -> export.About:
    """Return what the rows are, for the file's metadata."""
    filters, team = asked.filters, data_access.settings(home)
    window = filters.window
    latest = data_access.data_as_of(home, now=now)
    chosen = "; ".join(
        f"{name} {', '.join(values)}" for name, values in sorted(filters.chosen().items())
    )
    days = f"{window.start} to {window.end - timedelta(days=1)}, {window.timezone}"
    return export.About(
        title=asked.metric.name,
        words=f"{days}; {chosen}" if chosen else days,
        facts={
            "metric": asked.metric.name,
            "definition": asked.metric.definition.partition("\n")[0],
            "options": json.dumps(asked.options, default=str),
            "split": asked.split or "",
            "period": f"{window.opens_at.isoformat()}/{window.closes_at.isoformat()}",
            "timezone": window.timezone,
            "filters": chosen or "none",
            "query": filters.to_query(),
            "data_version": data_access.version(home),
            "data_as_of": latest.isoformat() if latest else "",
            "demo": "made-up data" if team.is_demo else "",
        },
        made_at=now,
    )


def _story(
    asked: Request, frame: pl.DataFrame, about: export.About, home: str | Path | None
) -> notebook.Story:
    """Return what a notebook tells of a metric by itself."""
    name = asked.metric.name
    facts = {key: about.facts[key] for key in ("query", "data_version", "data_as_of", "demo")}
    return notebook.Story(
        title=name,
        words=(asked.metric.definition.partition("\n")[0], notebook.unlinked(about.words)),
        parts=(notebook.Part(name, name, frame, asked.options, asked.split),),
        filters=asked.filters,
        home=str(open_home(home).path),
        version=about.facts["data_version"],
        facts=facts | {"made_at": about.made_at.isoformat() if about.made_at else ""},
    )


def _notebook(kind: notebook.Kind, story: notebook.Story, path: Path | None) -> int:
    try:
        made = kind.write(story)
    except notebook.CannotTell as error:
        raise AskedWrong(str(error)) from None
    if path is None:
        sys.stdout.buffer.write(made)
        return 0
    export.write_bytes(path, made)
    print(path)  # noqa: T201 - as above
    _say(f"{path}: a notebook of {kind.label}, with what it needs in its header.")
    return 0


# --- arguments -------------------------------------------------------------------------------


def _format(chosen: argparse.Namespace) -> str:
    said = chosen.format
    if said is None:
        said = Path(chosen.output or "").suffix.removeprefix(".")
        said = {one.ending: kind for kind, one in notebook.KINDS.items()}.get(said, said)
    if said not in FORMATS:
        if not said:
            raise AskedWrong(f"Say which kind of file with --format: {', '.join(FORMATS)}.")
        raise AskedWrong(f"There is no format {said!r}. {near(said, FORMATS)}")
    return str(said)


def _options(metric: str, said: Sequence[str]) -> dict[str, Any]:
    """Return the options as the metric's signature wants them; repeated ones are a list."""
    found: dict[str, list[str]] = {}
    for one in said:
        name, mark, value = one.partition("=")
        if not mark or not name:
            raise AskedWrong(f"--option {one!r} is no KEY=VALUE, such as every=1d.")
        found.setdefault(name.strip(), []).append(value)
    known = METRICS.get(metric)
    if known is None:
        return dict(found)
    kinds = known.option_kinds()
    return {
        name: _read(name, values, kinds[name]) if name in kinds else values
        for name, values in found.items()
    }


def _read(name: str, values: list[str], kind: str) -> object:
    """Return typed text as the plain value an option takes, by its annotation in the source."""
    if "None" in kind and values[-1].lower() in {"none", "null"}:
        return None
    if values[-1].startswith("["):
        return _lists(name, values[-1])
    if kind.startswith("Sequence"):
        inner = kind.removeprefix("Sequence[").removesuffix("]")
        if inner == "Exclusion":
            return tuple(_lists(name, value) for value in values)
        return tuple(_read(name, [value], inner) for value in values)
    value = values[-1]
    for word, read in (("bool", _truth), ("int", int), ("float", float)):
        if kind.partition(" | ")[0] == word:
            try:
                return read(value)
            except ValueError:
                raise AskedWrong(f"--option {name}={value!r} is no {_WORDS[word]}.") from None
    return value


_WORDS: Final = {"bool": "true or false", "int": "whole number", "float": "number"}


def _truth(value: str) -> bool:
    try:
        return {"true": True, "false": False}[value.lower()]
    except KeyError:
        raise ValueError(value) from None


def _lists(name: str, value: str) -> tuple[Any, ...]:
    """Return a JSON list as a tuple, its own lists too."""
    try:
        read = json.loads(value)
    except ValueError:
        raise AskedWrong(f"--option {name}={value!r} begins a JSON list and is none.") from None
    if not isinstance(read, list):
        raise AskedWrong(f"--option {name}={value!r} is no list.")
    return tuple(tuple(one) if isinstance(one, list) else one for one in read)


def _path(chosen: argparse.Namespace, asked: Request, ending: str) -> Path | None:
    """Return where to write; None for standard output."""
    if chosen.output == STDOUT:
        return None
    window = asked.filters.window
    last = window.end - timedelta(days=1)
    named = f"{asked.metric.name}-{window.start}-{last}.{ending}"
    path = Path(chosen.output or named)
    if path.is_dir():
        path /= named
    if not path.parent.is_dir():
        raise CannotExport(f"There is no folder {path.parent}. Make it, or choose another place.")
    beside = [path.with_name(export.sidecar_name(path.name))] if ending in export.SIDECARS else []
    for one in (path, *beside):
        if one.exists() and not one.is_file():  # a device, a pipe: a file would take its place
            raise CannotExport(f"{one} is no file. Name one with --output; - is standard output.")
        if one.exists() and not chosen.force:
            raise CannotExport(f"{one} is there already. Say --force to replace it, or --output.")
    return path


# --- writing ---------------------------------------------------------------------------------


def _to_stdout(frame: pl.DataFrame, ending: str, about: export.About, limit: int) -> None:
    """Write the file to standard output; what is cut is said on the other one."""
    if sys.stdout is None:
        raise CannotExport("Standard output is closed. Name a file with --output.")
    if sys.stdout.isatty() and ending not in export.SIDECARS:
        raise AskedWrong("This kind of file is not for a screen. Send it to a file or a command.")
    out = sys.stdout.buffer
    if ending in export.SIDECARS:
        for piece in export.chunks(frame, ending, limit=limit):
            out.write(piece)
    else:
        with tempfile.TemporaryDirectory(prefix="betascope-export-") as folder:
            path = Path(folder) / f"rows.{ending}"
            export.write(frame, path, ending, about, limit=limit)
            with path.open("rb") as file:
                shutil.copyfileobj(file, out)
    out.flush()
    most = export.rows_max_of(ending, limit)
    if frame.height > most:
        _say(f"note: cut at {most:,} of {frame.height:,} rows.")


def _warn(problems: Sequence[Problem]) -> None:
    for problem in problems:
        _say(f"warning: {problem.where}: {problem.what} {problem.what_to_do}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the command line talks to a person


class _Bar:
    """A progress bar on a terminal, a line at the end of long work elsewhere; none for short."""

    def __init__(self, is_drawn: bool) -> None:  # noqa: FBT001 - the only thing it needs to know
        self.is_drawn = is_drawn
        self.began = self.drawn_at = time.monotonic()
        self.was_drawn = False

    def of(self, words: str) -> Callable[[int, int], None]:
        """Return what is called with how much is done, and of how much."""

        def tick(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self.began < BAR_AFTER_S or not total:
                return
            if now - self.drawn_at < BAR_EVERY_S and done < total:
                return
            self.drawn_at, full = now, BAR_WIDTH * done // total
            if self.is_drawn:
                bar = "#" * full + "." * (BAR_WIDTH - full)
                line = f"\r{words} [{bar}] {done:,} of {total:,}"
                print(line, end="", file=sys.stderr, flush=True)  # noqa: T201 - a person looks
                self.was_drawn = True
            elif done == total:
                _say(f"{words}: {done:,} of {total:,}")

        return tick

    def end(self) -> None:
        """Go to a new line where a bar was drawn."""
        if self.was_drawn:
            print(file=sys.stderr)  # noqa: T201 - the same
