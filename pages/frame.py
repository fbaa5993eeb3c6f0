"""The frame around every page: navigation, the shared filters, and what is known about the data.

It runs first on every page and every change. The clock is read here, once, and handed on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

import streamlit as st

import data_access
from data_access import DataUnavailable
from pages.components import (
    access,
    copy_link,
    embed,
    explore,
    filters,
    home,
    marks,
    menu,
    notices,
    options,
    recorder,
    style,
    text,
    titles,
    views,
)
from pages.components import notes as teams_notes
from pages.components import settings as setup
from pages.components.load import Facts, facts
from pages.components.view import View, publish

st.set_page_config(page_icon=style.ICON, layout="wide")
st.html(style.CSS)

if home.is_without_server():
    st.error("Nothing is shown this way, where nobody stands at the door: `streamlit run app.py`.")
    st.stop()

now = datetime.now(UTC)
where = home.chosen()

# 1. Who is it? Nothing of the data is read or shown before that is settled.
home_page = st.Page(
    menu.PAGES[0].file, title="Betascope", url_path="home", default=True, visibility="hidden"
)
page = st.navigation(
    {"": [home_page]}
    | {
        heading: [
            st.Page(
                entry.file,
                title=entry.title,
                icon=f":material/{entry.icon}:",
                url_path=entry.address,
            )
            for entry in entries
        ]
        for heading, entries in menu.SECTIONS.items()
    },
    expanded=True,
    position="sidebar" if access.is_in() and embed.asked() is None else "hidden",
)
if not access.is_in():
    access.gate()
    st.stop()

# 2. Which data, and in which state?
known: Facts | None = None
version, today, trouble = "", now.date(), ""
own_use = recorder.OFF
try:
    settings = data_access.settings(where)
    own_use = recorder.of(where, settings)
    version = notices.prepared(where)
    today = now.astimezone(ZoneInfo(settings.timezone)).date()
    known = facts(where, version, today)
except DataUnavailable as error:
    trouble = str(error)
    own_use.met(error)

# 3. Which question? One cell alone, in another page's frame, is asked for by the link only.
slug = embed.asked()
if slug is not None:
    embed.show(
        slug,
        page,
        home=where,
        version=version,
        facts=known,
        now=now,
        today=today,
        recorder=own_use,
    )
    st.stop()
here = page.url_path or menu.PAGES[0].address
marks.take()
with st.sidebar:
    with st.container(key="filters"):
        place_of_views = st.container()
        choice = filters.sidebar(known, now=now, today=today)
        filters.own_choices()
        place_of_link = st.container()
    access.badge()
options.begin()
marks.follow()
explore.follow()
if page.url_path != menu.EXPLORE.address:
    explore.left()
days = text.window(choice.filters.window, today=today)
st.set_page_config(titles.page(here, choice.filters, days))


def query(dates: str) -> str:
    """Return what is shown as a query string, once the page has said what it lets one choose."""
    own = [*filters.in_link(), *options.in_link()]
    own += options.frozen() if dates == "frozen" else []
    return filters.query(choice, own, dates=dates)


def link(dates: str = "frozen") -> str:
    """Return the link to what is shown, the same today and next year."""
    return f"{views.base()}/{here}?{query(dates)}"


# 4. Show it, or say why not. How the notebook is set up is shown whatever the data.
if page.url_path == menu.SETTINGS.address:
    setup.publish(setup.Here(where, version, today, known, trouble))
    own_use.opened(page.url_path)
    page.run()
    st.stop()
if known is None:
    notices.no_data(trouble)
    st.stop()

notices.banner(known, where)
notices.problems(known)
notices.notes(choice.notes)

seen: set[str] = st.session_state.setdefault("_seen", set())
view = View(
    home=where,
    version=version,
    filters=choice.filters,
    compare=choice.compare,
    facts=known,
    now=now,
    today=today,
    complete=choice.complete and not choice.live,
    latest=choice.latest,
    linker=link,
    mover=partial(link, "relative"),
    is_first_look=page.url_path not in seen,
    recorder=own_use,
)
publish(view)
own_use.opened(here)
page.run()
shown, saved = views.shown(where, here, choice, query, today=today), views.saved(where, here)
with place_of_views:
    views.bar(shown, saved)
with place_of_link:
    copy_link.button(link())
    views.popover(shown, saved, today=today)
    teams_notes.popover(view)
for fill in view.pending:
    fill()
seen.add(page.url_path)
st.html(style.foot(link()))  # shown on paper alone

if choice.live:
    notices.follow(where, version)
