"""Who are they? Everybody in a list, one person from their first event on, and groups by name."""

from __future__ import annotations

import streamlit as st

from pages.components import charts, options, people, person, pictures, sentences
from pages.components.cell import ask, cell
from pages.components.head import head, reading, section
from pages.components.headline import headline
from pages.components.view import current

PAGE = "users"
view = current()
who = people.chosen()
may_list = view.facts.settings.people_lists


def everybody() -> None:
    """Lay out the page about all of them."""
    head(view, "Who are they?", "People by pseudonym; nobody's name or address is kept.")
    reading(view, lambda: sentences.people(view))
    headline(view, lambda: people.numbers(view))

    # How many, how often?
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "People by tier",
            ask("activity", by=("user_tier",)),
            lambda data: charts.lines(
                *pictures.spread(data.now, "user_tier", "users"), open_from=view.open_from("1d")
            ),
            subtitle="People with any event per day; on the day of a change one is in both tiers",
            alt=lambda data: pictures.said(data.now, "users", "people per day and tier"),
            empty="Nobody was here in this period.",
        )
    with right:
        cell(
            view,
            "How often they come",
            ask("stickiness"),
            lambda data: charts.columns(data.now, {"users": "people"}, x="periods_active"),
            subtitle=f"People by their number of active days, out of {view.window.days}",
            alt=lambda data: pictures.said_bars(data.now, "periods_active", "users"),
            empty="Nobody was active in this period.",
            is_empty=lambda data: not pictures.total(data.now, "users"),
            **people.behind_days(view),
        )

    # Everybody, or those one looks for
    section(view, "Everybody", "everybody")
    if may_list:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            find = options.written(
                PAGE,
                "find",
                "Find",
                placeholder="The hash's beginning",
                help="Also the silent ones.",
            )
            order = options.choose(PAGE, "order", "Most first by", list(people.ORDERS), "events")
            search = people.Search(find, order)
            people.saver(view, search)
        people.picker(view, search)
        cell(
            view,
            "People",
            search.ask(),
            lambda data: people.table(data, search),
            subtitle=lambda data: people.counted(view, data, search),
            alt="A table of people with what they did and met in this period.",
            empty="Nobody was here in this period."
            if not find
            else "Nobody's hash begins so. Try fewer characters, or fewer filters.",
            is_empty=lambda data: data.now.is_empty(),
            on_row=people.choose_row,
            hint="Choose a row to open a page",
        )
    else:
        people.closed()
        people.saver(view)

    # Groups of people by name
    section(view, "Segments", "segments")
    st.caption(
        "People saved by name: a filter on every page. They are told from all history, whatever "
        "else is filtered."
    )
    people.segments(view)


if who and may_list:
    head(view, "What did this person do, and what did they meet?", "One person, by pseudonym.")
    person.show(view, who)
else:
    everybody()
