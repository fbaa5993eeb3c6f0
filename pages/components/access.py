"""Who is looking, and what they may do.

Where nobody signs in, whoever sits at this machine is its admin. Where people do, this is the only
part of the pages that looks at st.user; who may come in is decided in pages/server/entry.py.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from pages.components import home, text
from pages.server import policy
from pages.server.entry import Entry, Role, decide

if TYPE_CHECKING:
    from pages.server.policy import Policy

ROLES: Final[tuple[Role, ...]] = ("viewer", "analyst", "admin")  # each may do what those before may
NEEDED: Final[dict[str, Role]] = {
    "explore": "analyst",
    "export": "analyst",
    "write": "analyst",  # notes, segments, the team's views
    "admin": "admin",  # deletion, tokens, configuration
}
_WHAT: Final = {
    "explore": "Explore needs",
    "export": "Exports need",
    "write": "Writing for the team needs",
    "admin": "This needs",
}
# Streamlit's own button over a table: what it saves is on the screen already, but a viewer reads
_NO_DOWNLOADS: Final = (
    '<style>[aria-label^="Download as CSV"] { display: none !important; }</style>'
)
GATE_PX: Final = 560
HERE_ONLY: Final = "Open to this machine only"


def who() -> str:
    """Return the reader's e-mail address; empty when nobody has to sign in."""
    return _entry().address


def role() -> Role:
    """Return the reader's role; who sits at this machine is its admin when nobody signs in."""
    return _entry().role


def may(what: str) -> bool:
    """Say whether the reader may do one of NEEDED: explore, export, write or admin."""
    entry = _entry()
    return entry.is_in and ROLES.index(entry.role) >= ROLES.index(NEEDED[what])


def refusal(what: str) -> str:
    """Return the sentence that stands where a role may not do something."""
    needed = NEEDED[what]
    article = "the" if needed == "analyst" else "an"
    return f"{_WHAT[what]} {article} {needed} role. Ask an admin."


def may_or_say(what: str) -> bool:
    """Say whether the reader may do something, and write the sentence where they may not."""
    allowed = may(what)
    if not allowed:
        st.caption(f":material/lock: {refusal(what)}")
    return allowed


def _entry() -> Entry:
    found = policy.current(home.chosen())
    if not found.is_on:
        return Entry(role="admin", why="")
    if found.missing:
        return Entry(why="settings")
    return decide(st.user.to_dict(), found.sign_in, time.time())


# --- the gate of the frame --------------------------------------------------------------------


def is_in() -> bool:
    """Tell whether the reader may see anything; asked before anything of the data is read."""
    return _entry().is_in


def gate() -> None:
    """Show the way in: how to sign in, or why that did not do."""
    entry, found = _entry(), policy.current(home.chosen())
    with st.container(width=GATE_PX, key="gate"):
        st.title("Betascope")
        if entry.why in ("anonymous", "expired") and not found.missing:
            _sign_in(found, is_over=entry.why == "expired")
        else:
            _refused(entry)


def _sign_in(found: Policy, *, is_over: bool) -> None:
    if is_over:
        st.info("Your session is over. Sign in again to go on.", icon=":material/schedule:")
    st.markdown("How people use the product, and how it behaves. Sign in to see it.")
    for name in found.providers:
        words = "Sign in" if name == policy.DEFAULT_PROVIDER else f"Sign in with {name.title()}"
        st.button(words, key=f"sign-in-{name}", type="primary", on_click=partial(_go, name))
    st.caption(_who_may(found))


def _go(name: str) -> None:
    st.login(None if name == policy.DEFAULT_PROVIDER else name)


def _who_may(found: Policy) -> str:
    """Say in words who may come in; the lists themselves are nobody's business out here."""
    said = found.sign_in
    ways = [
        words
        for words, listed in (
            ("have an address of the team's domain", said.domains),
            ("are listed by their address", said.addresses),
            ("belong to a group that is let in", said.groups),
        )
        if listed
    ]
    return f"For people who {' or '.join(ways)}. The address has to be verified by the provider."


def _refused(entry: Entry) -> None:
    address = _as_it_is(entry.address) if entry.address else "This account"
    reasons = {
        "address": "Your provider did not say which e-mail address is yours.",
        "unverified": f"{address} is not verified by your provider. Verify it there, then sign in "
        "again.",
        "unlisted": f"{address} is not among those who may come in here. Ask whoever runs this to "
        "add it, or use another account.",
        "settings": "The settings of the sign-in cannot be used, so nobody can come in. Whoever "
        "runs this finds the reason by starting the server anew.",
    }
    st.warning(reasons[entry.why], icon=":material/lock:")
    if entry.address or entry.why == "address":
        st.button("Sign out", on_click=st.logout, key="sign-out-gate")


def _as_it_is(address: str) -> str:
    """Return an address as markdown that makes no link of it."""
    return f"`{text.plain(address).replace('`', '')}`"


# --- in the sidebar ---------------------------------------------------------------------------


def badge() -> None:
    """Say at the foot of the sidebar who is signed in, or that nobody has to be."""
    entry = _entry()
    if not may("export"):
        st.html(_NO_DOWNLOADS)
    if not entry.address:
        st.caption(
            f":material/lock: {HERE_ONLY}",
            help="The server answers this machine alone, so nobody signs in. To let others in, "
            "turn sign-in on: docs/SIGN_IN.md says how.",
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", key="signed-in"):
        st.caption(f"{_as_it_is(entry.address)} {entry.role}", width="stretch")
        st.button("Sign out", type="tertiary", on_click=st.logout, key="sign-out")
