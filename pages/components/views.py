"""Saved views in the sidebar: one click to switch, saved for oneself or for the team.

The third file of the pages that writes, through `ingest.views` into the home on show. A view is
opened by a plain link, so Back, a new tab and a colleague find the very same; the link names the
view, and whether it was changed since is told by comparing it with what is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import streamlit as st

import data_access
from data_access import DataUnavailable
from ingest.views import change, remove, restore, save_view
from ingest.vocabulary import VIEW_NAME_CHARS_MAX, VIEW_WORDS_CHARS_MAX
from pages.components import access, filters, menu, team, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from data_access import SavedView
    from ingest.views import Kept
    from pages.components.filters import Choice

QUICK_MAX: Final = 6  # views that are one click away; the others are two
LISTED_MAX: Final = 60  # at once in the list; the rest is found by name
_OPENED: Final = "_opened_view"  # the view that is open, and its revision when it was opened
_REMOVED: Final = "_removed_view"
_FORM: Final = "_view_form"
_FIND: Final = "_view_find"
_SPANS: Final = {
    "24h": "the last 24 hours",
    "7d": "the last 7 days",
    "28d": "the last 28 days",
    "90d": "the last 90 days",
    "week": "the current week",
    "month": "the current month",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is on show, as a view would keep it: plain values, for callbacks to hold on to."""

    home: str
    page: str
    relative: str
    frozen: str
    span: str
    days: str

    def query(self, dates: str) -> str:
        """Return it as a query string, its dates relative or frozen."""
        return self.frozen if dates == "frozen" else self.relative


@dataclass(frozen=True, slots=True)
class Saved:
    """What the reader has saved, which of it is open, and why it could not be read."""

    views: tuple[SavedView, ...]
    active: SavedView | None
    trouble: str = ""


def shown(
    home: str, page: str, choice: Choice, query: Callable[[str], str], *, today: date
) -> Shown:
    """Return what is on show. `query` gives it as a query string, "relative" or "frozen"."""
    days = text.window(choice.filters.window, today=today)
    return Shown(home, page, query("relative"), query("frozen"), choice.span, days)


def saved(home: str, page: str) -> Saved:
    """Return what the reader has saved; `page` is the one on show."""
    try:
        found = data_access.views(home, who=access.who())
    except DataUnavailable as error:
        return Saved((), None, str(error))
    return Saved(tuple(found), _active(found, page))


def bar(here: Shown, found: Saved) -> None:
    """Draw the first views to click, and which is open; nothing before one is saved."""
    _quick(found)
    if found.active is not None:
        _state(found.active, here)


def popover(here: Shown, found: Saved, *, today: date) -> None:
    """Offer every saved view, what may be done with the one that is open, and to save another."""
    place = st.popover(
        "Saved views",
        icon=":material/bookmarks:",
        width="stretch",
        key="views",
        on_change="rerun",
    )
    if not place.open:
        return
    with place:
        if found.trouble:
            st.caption(f":material/error: {text.escaped(found.trouble, most=400)}")
            return
        _undo(here.home)
        _all(found)
        if found.active is not None:
            _about(found.active, here, today=today)
        _new(here)


# --- what is open ----------------------------------------------------------------------------


def _active(found: list[SavedView], page: str) -> SavedView | None:
    """Return the view the link names, while its page is on show; remember how it was opened."""
    named = st.session_state.get(filters.VIEW)
    active = next((view for view in found if view.id == named), None)
    if active is None or active.page != page:
        return None
    if st.session_state.get(_OPENED, ("", 0))[0] != active.id:
        st.session_state[_OPENED] = (active.id, active.revision)
    return active


def is_changed(view: SavedView, here: Shown) -> bool:
    """Tell whether what is shown is no longer what the view says; order says nothing."""
    return _said(view.query) != _said(here.query(view.dates))


def _said(query: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(query, keep_blank_values=True))


def _quick(found: Saved) -> None:
    own_first = sorted(found.views, key=lambda view: view.scope != "personal")[:QUICK_MAX]
    if own_first:
        with st.container(key="quick-views"):
            _links(own_first, found.active)


def _links(
    views: Sequence[SavedView], active: SavedView | None, label: str = "Saved views"
) -> None:
    """Draw views as links: everything in them is escaped, and none leads out of the app."""
    drawn = []
    for view in views:
        words = view.description or f"A {view.scope} view"
        name, title = escape(text.plain(view.name)), escape(text.plain(words, most=300))
        if view.page not in _pages():
            drawn.append(f'<span title="Its page, {escape(view.page)}, is gone">{name}</span>')
            continue
        here = ' aria-current="true"' if active is not None and view.id == active.id else ""
        drawn.append(f'<a href="{escape(_address(view))}" title="{title}"{here}>{name}</a>')
    st.html(f'<nav class="views" aria-label="{label}">{"".join(drawn)}</nav>')


def _address(view: SavedView) -> str:
    joint = "&" if view.query else "?"
    return f"{base()}/{view.link}{joint}{filters.VIEW}={view.id}"


def _pages() -> set[str]:
    return {entry.address for entry in menu.PAGES}


def _state(active: SavedView, here: Shown) -> None:
    """Say what was changed in the view that is open, and offer to keep it."""
    name = text.escaped(active.name)
    back = escape(_address(active))
    with st.container(horizontal=True, vertical_alignment="center", key="view-changed"):
        if active.revision != st.session_state[_OPENED][1]:
            who = f" by {text.escaped(active.updated_by)}" if active.updated_by else ""
            st.caption(f":material/sync_problem: “{name}” was changed{who} after you opened it.")
            st.html(f'<div class="views"><a href="{back}">Show theirs</a></div>', width="content")
        elif is_changed(active, here):
            may = active.is_changed_by(access.who(), is_admin=access.may("admin"))
            st.caption(f":material/edit: “{name}”, changed" + (". Save?" if may else ""))
            if may:
                st.button(
                    "Save",
                    key="view-update",
                    type="tertiary",
                    help="Let the view be what is shown now",
                    on_click=_update,
                    args=(here, active.id, active.dates),
                )
            st.html(f'<div class="views"><a href="{back}">Undo</a></div>', width="content")


# --- the popover -----------------------------------------------------------------------------


def _undo(home: str) -> None:
    gone = st.session_state.get(_REMOVED)
    if gone is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/delete: Removed “{text.escaped(gone[1])}”.")
        st.button(
            "Bring it back", key="view-restore", type="tertiary", on_click=_restore, args=(home,)
        )


def _all(found: Saved) -> None:
    if not found.views:
        st.caption(
            "A view keeps a page with its filters and choices under a name. Set what you want to "
            "see, then save it here."
        )
        return
    wanted = ""
    if len(found.views) > QUICK_MAX:
        wanted = st.text_input("Find a view", key=_FIND, placeholder="Part of its name").casefold()
    for scope, heading in (("personal", "Yours alone"), ("team", "The team's")):
        views = [
            view
            for view in found.views
            if view.scope == scope and wanted in f"{view.name} {view.description}".casefold()
        ]
        if views:
            st.caption(heading)
            _links(views[:LISTED_MAX], found.active, f"{heading}, all")
        if len(views) > LISTED_MAX:
            st.caption(f"And {len(views) - LISTED_MAX} more: type a part of the name.")


def _about(active: SavedView, here: Shown, *, today: date) -> None:
    """Show the view that is open: its words, its link, and what may be done with it."""
    with st.container(border=True, key="view-about"):
        whose = "The team's" if active.scope == "team" else "Yours alone"
        by = f", saved by {text.escaped(active.owner)}" if active.owner else ""
        on = text.day(active.updated_at.date(), today=today)
        moves = "its days stay" if active.dates == "frozen" else "its days move on"
        st.markdown(f"**{text.escaped(active.name)}**")
        if active.description:
            st.caption(text.escaped(active.description, most=VIEW_WORDS_CHARS_MAX))
        st.caption(f"{whose}{by}, last changed on {on}; {moves}.")
        name = f"&{filters.VIEW}={active.id}" if active.scope == "team" else ""
        st.code(f"{base()}/{active.link}{name}", language=None, wrap_lines=True)
        if not active.is_changed_by(access.who(), is_admin=access.may("admin")):
            st.caption("Its owner or an admin may change it. Save yours under another name.")
            return
        _edit(active, here)


def _edit(active: SavedView, here: Shown) -> None:
    if st.toggle("Rename, describe or remove it", key="_view_editing"):
        key = f"{_FORM}-{active.id}-{active.revision}"
        with st.form(key, border=False):
            st.text_input("Name", active.name, max_chars=VIEW_NAME_CHARS_MAX, key=f"{key}-name")
            st.text_input(
                "Description",
                active.description,
                max_chars=VIEW_WORDS_CHARS_MAX,
                key=f"{key}-words",
            )
            st.radio(
                "For",
                list(_scopes()),
                index=min(list(team.SCOPES.values()).index(active.scope), len(_scopes()) - 1),
                key=f"{key}-scope",
                horizontal=True,
            )
            st.form_submit_button("Save these", on_click=_edited, args=(here.home, active.id, key))
        with st.container(horizontal=True):
            if active.dates == "relative" and here.span != "custom":
                st.button(
                    "Freeze its days",
                    key="view-freeze",
                    help=f"Keep {here.days} instead of {_SPANS[here.span]}",
                    on_click=_update,
                    args=(here, active.id, "frozen"),
                )
            st.button(
                "Remove",
                key="view-remove",
                icon=":material/delete:",
                on_click=_remove,
                args=(here.home, active.id, active.name),
            )


def _new(here: Shown) -> None:
    """Offer to save what is shown under a new name."""
    with st.form(_FORM, border=False):
        st.markdown("**Save this page as a view**")
        st.text_input(
            "Name",
            max_chars=VIEW_NAME_CHARS_MAX,
            key=f"{_FORM}-name",
            placeholder="Paying people this month",
        )
        st.text_input(
            "Description", max_chars=VIEW_WORDS_CHARS_MAX, key=f"{_FORM}-words", placeholder="None"
        )
        st.radio(
            "For",
            list(_scopes()),
            index=0 if access.who() else 1,
            key=f"{_FORM}-scope",
            horizontal=True,
            help=_about_scopes(),
        )
        if here.span == "custom":
            st.caption(f"Its days stay as they are: {here.days}.")
        else:
            st.radio(
                "Its days",
                ("relative", "frozen"),
                key=f"{_FORM}-dates",
                format_func={
                    "relative": f"Move on: {_SPANS[here.span]}",
                    "frozen": f"Stay: {here.days}",
                }.__getitem__,
            )
        st.form_submit_button("Save view", on_click=_save, args=(here,), type="primary")


def _scopes() -> dict[str, str]:
    """Return for whom the reader may save: what all see in their sidebar is not a viewer's."""
    return team.SCOPES if access.may("write") else dict([next(iter(team.SCOPES.items()))])


def _about_scopes() -> str | None:
    if not access.may("write"):
        return access.refusal("write")
    return None if access.who() else "Nobody signs in here: whoever opens this sees both."


# --- what is done ----------------------------------------------------------------------------


def _save(here: Shown) -> None:
    state = st.session_state
    dates = "frozen" if here.span == "custom" else state[f"{_FORM}-dates"]
    with team.refusals_said():
        kept = save_view(
            here.home,
            state[f"{_FORM}-name"],
            page=here.page,
            query=here.query(dates),
            who=access.who(),
            scope=_scopes().get(state[f"{_FORM}-scope"], "personal"),
            description=state[f"{_FORM}-words"],
            dates=dates,
        )
        said = text.escaped(state[f"{_FORM}-name"])
        state[f"{_FORM}-name"] = state[f"{_FORM}-words"] = ""
        _done(kept, f"Saved the view “{said}”.")


def _update(here: Shown, view_id: str, dates: str) -> None:
    """Let the view be what is shown, unless somebody else changed it since it was opened here."""
    with team.refusals_said():
        kept = change(
            here.home,
            view_id,
            revision=st.session_state[_OPENED][1],
            page=here.page,
            query=here.query(dates),
            dates=dates,
            **team.asker(),
        )
        _done(kept, "Saved the view as it is shown now.")


def _edited(home: str, view_id: str, form: str) -> None:
    state = st.session_state
    with team.refusals_said():
        kept = change(
            home,
            view_id,
            revision=state[_OPENED][1],
            name=state[f"{form}-name"],
            description=state[f"{form}-words"],
            scope=_scopes().get(state[f"{form}-scope"], "personal"),
            **team.asker(),
        )
        _done(kept, "Saved the view's words.")


def _remove(home: str, view_id: str, name: str) -> None:
    with team.refusals_said():
        remove(home, view_id, **team.asker())
        st.session_state[_REMOVED] = (view_id, name)
        st.session_state[filters.VIEW] = ""
        st.toast(f"Removed “{text.escaped(name)}”. Saved views can bring it back.")


def _restore(home: str) -> None:
    view_id, name = st.session_state.pop(_REMOVED)
    with team.refusals_said():
        kept = restore(home, view_id, **team.asker())
        _done(kept, f"“{text.escaped(name)}” is back.")


def _done(kept: Kept, said: str) -> None:
    st.session_state[filters.VIEW] = kept.id
    st.session_state[_OPENED] = (kept.id, kept.revision)
    st.toast(said, icon=":material/bookmark_added:")


# --- links -----------------------------------------------------------------------------------


def base() -> str:
    """Return the app's own address, without the page: where links begin."""
    here = str(st.context.url or "").partition("?")[0].partition("#")[0]
    known = _pages() | {"home"}
    front, _, last = here.rstrip("/").rpartition("/")
    return front if last in known else here.rstrip("/")
