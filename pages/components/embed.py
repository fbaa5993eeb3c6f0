"""One cell alone, for a frame in another page: read-only, and nothing else of its page computed.

The address is the page's own with `embed=true&cell=<name of the cell>` and the filters. Which sites
may put it into a frame is said by the server, as `server.embed_origins`.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final

import streamlit as st

from pages.components import filters, menu, notices, options, style, text, titles, views
from pages.components.view import View, publish

if TYPE_CHECKING:
    from datetime import date, datetime

    from streamlit.navigation.page import StreamlitPage

    from pages.components.load import Facts
    from pages.components.recorder import Recorder

CELL: Final = "cell"
SLUG_CHARS_MAX: Final = 100
FRAME_PX: Final = 190  # around a picture: title, subtitle, note, and the last line
SKELETON_PX: Final = 320
_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def asked() -> str | None:
    """Return the name of the one cell to show; None when this is no embed of a cell."""
    if not st.context.is_embedded or CELL not in st.query_params:
        return None
    return st.query_params.get_all(CELL)[-1][:SLUG_CHARS_MAX]


def snippet(link: str, slug: str, height: int) -> str:
    """Return the HTML that puts a cell of the page `link` shows into another page."""
    page, _, query = link.partition("?")
    address = f"{page}?embed=true&{CELL}={slug}" + (f"&{query}" if query else "")
    return (
        f'<iframe src="{escape(address)}" title="{escape(slug)}" width="100%" '
        f'height="{height + FRAME_PX}" style="border:0" loading="lazy"></iframe>'
    )


def show(
    slug: str,
    page: StreamlitPage,
    *,
    home: str,
    version: str,
    facts: Facts | None,
    now: datetime,
    today: date,
    recorder: Recorder,
) -> None:
    """Draw the cell, or say why there is none; `facts` is None when there is no data."""
    st.html(style.EMBED)
    here = page.url_path or menu.PAGES[0].address
    place = st.container(key="embed", height="stretch")
    if facts is None:
        _nothing(place, "There is no telemetry here yet.")
        return
    if here not in {entry.address for entry in menu.REPORTS}:
        _nothing(place, "This page has no pictures that could stand alone.")
        return
    choice = filters.of_link(facts, now=now, today=today)
    view = View(
        home=home,
        version=version,
        filters=choice.filters,
        compare=choice.compare,
        facts=facts,
        now=now,
        today=today,
        complete=choice.complete and not choice.live,
        latest=choice.latest,
        linker=str,
        is_first_look=False,
        recorder=recorder,
        only=slug,
    )
    filters.own_of_link()
    options.begin(by_link_alone=True)
    publish(view)
    recorder.opened(here)
    slot = place.skeleton(SKELETON_PX)
    between = st.empty()
    with between.container(key="embed-hidden"):  # what a page says between its cells: taken away
        page.run()
        for fill in view.pending:
            if view.alone.fill is None:
                fill()
    between.empty()
    found = view.alone.view or view
    days = text.window(found.window, today=today)
    named = slug if _SLUG.fullmatch(slug) else ""
    st.set_page_config(titles.page(here, found.filters, days, cell=named))
    with slot.container(height="stretch", border=False, key="embed-cell"):
        if view.alone.fill is None:
            _unknown(slug, view.alone.slugs)
            return
        view.alone.fill()
        _last_line(found, choice, here)
    if choice.live:
        notices.follow(home, version)


def _last_line(view: View, choice: filters.Choice, here: str) -> None:
    """Say whose numbers these are, of when, and where the whole page is."""
    for note in choice.notes:
        st.caption(f":material/info: {text.escaped(note, most=300)}")
    own = [*filters.in_link(), *options.in_link()]
    link = f"{views.base()}/{here}?{filters.query(choice, own, dates='relative')}"
    facts, window = view.facts, view.window
    said = [titles.APP, f"{text.window(window, today=view.today)}, {text.escaped(window.timezone)}"]
    narrowed = text.filtered(view.filters)
    if narrowed:
        said.append(f"only {text.escaped(narrowed, most=300)}")
    if facts.as_of is not None:
        said.append(f"data as of {text.clock(facts.as_of, view.now, view.timezone)}")
    said.append(f"[Open the whole page]({_in_markdown(link)})")
    st.caption(" · ".join(said))


def _in_markdown(link: str) -> str:
    return link.replace("(", "%28").replace(")", "%29").replace(" ", "%20")


def _unknown(slug: str, there: list[str]) -> None:
    st.markdown(f"**There is no picture “{text.escaped(slug)}” on this page.**")
    if there:
        st.caption(f"There are: {', '.join(f'`{one}`' for one in dict.fromkeys(there))}.")


def _nothing(place: st.delta_generator.DeltaGenerator, why: str) -> None:
    place.markdown(f"**{titles.APP}**")
    place.caption(why)
