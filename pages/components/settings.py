"""What the Settings page says: every key in force, where it came from, and how to change it.

It only reads. Secrets are never asked for: of the sign-in provider it names the host alone.
"""

from __future__ import annotations

import html
import json
import platform
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import streamlit as st

import data_access
from data_access.config import InForce, in_force, said
from data_access.home import settings_places
from data_access.window import Window
from pages.components import access, home, text
from pages.components.load import measured
from pages.components.recorder import RELEASE
from pages.server import policy
from pages.server.network import answers_here_only

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from data_access import Settings
    from data_access.keys import Key
    from pages.components.load import Facts
    from pages.server.policy import Policy

_KEY: Final = "_here"
NAMES_MAX: Final = 50  # of one list: more are counted
VALUE_CHARS_MAX: Final = 400
PACKAGES: Final = ("streamlit", "polars", "plotly")
# table of telemetry.toml -> what the page and docs/SETTINGS.md call it
TITLES: Final[dict[str, str]] = {
    "": "The telemetry and the team",
    "thresholds": "Thresholds",
    "sign_in": "Sign-in",
    "limits": "Limits",
    "server": "The server",
    "log": "The event log",
    "sampling": "Sampling",
    "metadata": "Metadata",
}
FOR_EVERYBODY: Final = ("", "thresholds", "limits")  # what a reader may want to know of a number
_EXAMPLES: Final = {"day": "2026-10-05", "switch": "true", "names": '["a", "b"]'}
_MAY: Final = {
    "viewer": "sees the pages",
    "analyst": "sees the pages, explores and exports",
    "admin": "does everything",
}


@dataclass(frozen=True, slots=True)
class Here:
    """What the frame knows when this page opens; without telemetry `facts` is None."""

    home: str
    version: str
    today: date
    facts: Facts | None
    trouble: str = ""


def publish(here: Here) -> None:
    """Make `here` what the page about to run sees."""
    st.session_state[_KEY] = here


def current() -> Here:
    """Return what the frame has published for this run."""
    here: Here = st.session_state[_KEY]
    return here


# --- the keys ---------------------------------------------------------------------------------


def grouped(found: Settings, here: Here) -> dict[str, list[InForce]]:
    """Return the keys in force by the table they stand in, in the order they are explained."""
    groups: dict[str, list[InForce]] = {table: [] for table in TITLES}
    for one in in_force(found):
        if one.key.name == "home" and not access.may("admin"):
            continue  # a path of the server
        told = InForce(one.key, here.home, home.said_by()) if one.key.name == "home" else one
        groups[table_of(one.key)].append(told)
    return groups


def table_of(key: Key) -> str:
    """Return the table of telemetry.toml a key stands in; empty at the top of the file."""
    return "metadata" if key.name == "metadata" else key.name.rpartition(".")[0]


def show(table: str, keys: Sequence[InForce], files: Sequence[Path], *, may_change: bool) -> None:
    """Write one group: its keys as a table, and below it the lines that would say the same."""
    st.header(TITLES[table], anchor=table.replace("_", "-") or "telemetry-and-team")
    st.html(as_table(table, keys, files))
    if may_change:
        with st.expander("To change it, in `telemetry.toml`"):
            st.code(as_toml(table, keys), language="toml")


def as_table(table: str, keys: Sequence[InForce], files: Sequence[Path]) -> str:
    """Return a group as an HTML table; what the file says is text in it, never markup."""
    rows = "".join(_row(one, files) for one in keys)
    heads = "".join(
        f'<th scope="col" role="columnheader">{head}</th>'
        for head in ("Setting", "In force", "From", "May be")
    )
    return (
        f'<table class="bs-keys" role="table" aria-label="{_plain(TITLES[table])}">'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )


def _row(one: InForce, files: Sequence[Path]) -> str:
    key = one.key
    is_default = one.place == home.DEFAULT
    default = "" if is_default else f"; otherwise {_plain(_short(key, key.default))}"
    reader = "" if key.reader == "app" else " Read by the client in your product."
    place = "default" if is_default else _plain(_place(one.place, files))
    return (
        f'<tr role="row" class="{"bs-default" if is_default else "bs-said"}">'
        f'<th scope="row" role="rowheader"><code>{_plain(key.name)}</code>'
        f"<span>{_plain(key.doc)}{reader}</span></th>"
        f'<td role="cell" data-label="In force">{_value(one)}</td>'
        f'<td role="cell" data-label="From">{place}</td>'
        f'<td role="cell" data-label="May be">{_plain(key.allowed)}{default}</td></tr>'
    )


def _value(one: InForce) -> str:
    """Return the value as HTML: lists of names fold, and only an admin unfolds them."""
    words = f"<code>{_plain(_short(one.key, one.value))}</code>"
    if one.key.kind not in ("names", "table") or not one.value or not access.may("admin"):
        return words
    names = [_plain(name) for name in list(one.value)[:NAMES_MAX]]
    more = f"<li>and {len(one.value) - NAMES_MAX:,} more</li>" if len(one.value) > NAMES_MAX else ""
    items = "".join(f"<li>{name}</li>" for name in names)
    return f"<details><summary>{words}</summary><ul>{items}{more}</ul></details>"


def _short(key: Key, value: Any) -> str:  # noqa: ANN401 - a key's value may be anything
    """Return a value in a few words; lists of people are counted, not spelt out."""
    if key.kind in ("names", "table") and value:
        return text.some(len(value), "name" if key.kind == "names" else "key")
    if isinstance(value, str) and value:
        return f'"{value}"'
    return "empty" if value in ("", ()) else said(value)


def _place(place: str, files: Sequence[Path]) -> str:
    """Return the file that said it, by its part in the settings rather than by its long path."""
    if place == str(files[0]):
        return "the home's telemetry.toml"
    return "telemetry.toml beside the app" if place == str(files[-1]) else place


def as_toml(table: str, keys: Sequence[InForce]) -> str:
    """Return a group the way telemetry.toml says it; what is a default stands in a comment."""
    lines = [f"[{table}]"] if table else []
    for one in keys:
        name = one.key.name.rpartition(".")[2]
        lines += ["", f"# {one.key.doc} It may be {one.key.allowed}."]
        if one.key.kind == "table":
            lines.append('# favourite_colour = "text"')
            continue
        value = literal(one.value) or _EXAMPLES.get(one.key.kind, '""')
        is_said = one.place != home.DEFAULT and name != "home" and bool(literal(one.value))
        lines.append(f"{name} = {value}" if is_said else f"# {name} = {value}")
    return "\n".join(lines).strip()


def literal(value: Any) -> str:  # noqa: ANN401 - a key's value may be anything
    """Return a value as TOML writes it; empty when there is none, or it is too long to show."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float):
        return repr(int(value)) if value == int(value) else repr(value)
    if isinstance(value, tuple | list) and 0 < len(value) <= NAMES_MAX:
        return f"[{', '.join(literal(one) for one in value)}]"
    if isinstance(value, str) and value:
        return json.dumps(value, ensure_ascii=True)
    return ""


# --- what is around them ----------------------------------------------------------------------


def files_of(here: Here) -> list[tuple[Path, str]]:
    """Return the files that are read, the one that decides first, and what each is there for."""
    files = settings_places(here.home)
    parts = ("decides", "fills in what the first leaves out")
    return [
        (path, part if path.is_file() else f"not there; it would be the one that {part}")
        for path, part in zip(files, parts, strict=False)
    ]


def door(found: Policy, address: str, provider: str) -> list[str]:
    """Say who can reach these pages: where the server answers, and who has to sign in."""
    if not found.is_on:
        where = "this machine" if answers_here_only(address) else "everybody who reaches it"
        return [f"Open to {where} only; nobody signs in."]
    said = found.sign_in
    lists = {"domain": said.domains, "address": said.addresses, "group": said.groups}
    plurals = {"domain": "domains", "address": "addresses", "group": "groups"}
    listed = [text.some(len(one), name, plurals[name]) for name, one in lists.items() if one]
    may = f"In come people of {text.listed(listed)}." if listed else "Nobody is listed."
    wrong = "Nobody comes in until it is set up completely; the server's log says what is missing."
    return [
        f"Everybody signs in{' with ' * bool(provider)}{provider}.",
        may,
        *([wrong] if found.missing or said.broken else []),
    ]


def provider() -> str:
    """Return the host of the sign-in provider; nothing else of the secrets is read."""
    if not st.secrets.load_if_toml_exists():
        return ""
    told: Mapping[str, Any] = st.secrets.get("auth", {})
    sections = [told, *(one for one in told.values() if hasattr(one, "get"))]
    urls = [str(one.get("server_metadata_url", "")) for one in sections]
    return next((urlsplit(url).hostname or "" for url in urls if url), "")


def reader() -> str:
    """Say who is looking, and what they may do."""
    role = access.role()
    who = access.who()
    return f"{who or 'Whoever sits here'}: {role}, who {_MAY[role]}."


def around(here: Here) -> list[tuple[str, list[str]]]:
    """Return what is true beside the keys: the telemetry, the files, the door, the reader."""
    facts, address = here.facts, st.get_option("server.address") or ""
    told = [
        ("The door", door(policy.current(here.home), str(address), provider())),
        ("You", [reader()]),
    ]
    if access.may("admin"):
        files = [f"{path}: {part}" for path, part in files_of(here)]
        said_by = home.said_by()
        by = "by default" if said_by == home.DEFAULT else f"as {said_by} says"
        told = [("Telemetry", [f"{here.home}, {by}"]), ("Settings files", files), *told]
    if facts is not None and facts.first_day is not None and facts.last_day is not None:
        days = f"{text.day(facts.first_day)} to {text.day(facts.last_day)}"
        told.append(("Its days", [f"{days}; version {here.version}"]))
    return [*told, ("Versions", [versions()])]


def versions() -> str:
    """Return what runs here, with its version."""
    others = [f"{name} {version_of(name)}" for name in PACKAGES]
    return ", ".join([f"betascope {RELEASE}", f"Python {platform.python_version()}", *others])


def sizes(here: Here) -> list[tuple[str, list[str]]]:
    """Return what the telemetry takes on disk, by place; nothing where there is none."""
    if here.facts is None:
        return []
    frame = measured("pipeline_sizes", Window.last(1, here.today), here.version, here.home)
    rows = [row for row in frame.iter_rows(named=True) if row["files"]]
    return [
        (
            row["place"].capitalize(),
            [f"{megabytes(row['bytes'])} in {text.some(row['files'], 'file')}"],
        )
        for row in rows
    ]


def megabytes(size: float) -> str:
    """Return 1.2 MB, or 340 kB."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"  # noqa: PLR2004 - a megabyte


def as_list(told: Iterable[tuple[str, Sequence[str]]], label: str) -> str:
    """Return names with what is said of each, as an HTML list of definitions."""
    rows = "".join(
        f"<div><dt>{_plain(name)}</dt>{''.join(f'<dd>{_plain(one)}</dd>' for one in lines)}</div>"
        for name, lines in told
    )
    return f'<dl class="bs-facts" aria-label="{_plain(label)}">{rows}</dl>'


def problems(found: Settings) -> None:
    """Say first what cannot be used, and what to do."""
    if not found.problems:
        return
    lines = [
        f"**{text.escaped(one.what, most=VALUE_CHARS_MAX)}** "
        f"{text.escaped(one.what_to_do, most=VALUE_CHARS_MAX)}"
        + (f"  \nin {text.escaped(one.where, most=VALUE_CHARS_MAX)}" * access.may("admin"))
        for one in found.problems[:NAMES_MAX]
    ]
    title = text.some(len(found.problems), "setting") + " cannot be used"
    st.error("\n\n".join([f"{title}.", *lines]), icon=":material/error:")


def settings(here: Here) -> Settings:
    """Return the settings in force, also where there is no telemetry."""
    return data_access.settings_anyway(here.home)


def _plain(value: object) -> str:
    return html.escape(text.plain(value, most=VALUE_CHARS_MAX))
