"""How far do people get, where do they leave, and how long does it take."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.components import charts, funnel_charts, funnels, pictures, text
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.marks import token_at
from pages.components.tables import Table
from pages.components.view import current

view = current()
longer = view.at_least(84)

head(view, "How far do people get?", "People on their way through a funnel, step by step.")
funnel = funnels.choose(view)
for note in funnel.notes:
    st.warning(note, icon=":material/rule:")
reading(view, partial(funnels.sentences, view, funnel))
headline(view, partial(funnels.numbers, view, funnel))
EMPTY = f"Nobody did {text.escaped(funnel.options['steps'][0])} in this period."
NOBODY = "Nobody got through in this period. Allow more time, fewer steps, or a longer period."

# Where do they leave?
cell(
    view,
    "Step by step",
    ask("funnel", **funnel.options),
    lambda data: funnel_charts.steps(
        data.now, data.before, optional=funnel.optional, numbered=funnel.is_in_order
    ),
    subtitle="People and their share of all who entered; hatched is who did not go on"
    + (", the thin line the period before" if view.previous else ""),
    alt=lambda data: ". ".join(
        funnel_charts.said(row, funnel.optional, name_of=text.plain)
        for row in data.now.iter_rows(named=True)
    ),
    empty=EMPTY,
    is_empty=lambda data: not data.now["users"].sum(),
    compare=True,
    height=funnel_charts.height_of(len(funnel.options["steps"])),
    marks=partial(funnels.marks, funnel),
    at=token_at,
    behind=partial(funnels.behind, view, funnel),
)

# Does it get better?
left, right = st.columns(2)
with left:
    cell(
        longer,
        "Conversion over time",
        funnel.trend(),
        lambda data: charts.lines(
            data.now,
            {"rate": "conversion"},
            kind="percent",
            before=funnels.settled_before(data),
            open_from=funnels.open_from(data),
        ),
        subtitle=partial(funnels.entrants, longer, funnel),
        alt=lambda data: pictures.said(data.now, "rate", "conversion by period of entry"),
        empty=EMPTY,
        compare=True,
        note=funnels.open_note,
    )
with right:
    cell(
        longer,
        "Time to convert over time",
        funnel.trend(),
        lambda data: funnel_charts.medians(data.now, open_from=funnels.open_from(data)),
        subtitle=f"Median of those who converted within {funnel.trend_within}, by period of entry",
        alt="A line of the median time to convert by period of entry; the rows hold the numbers.",
        empty=NOBODY,
        is_empty=lambda data: not data.now["converted"].sum(),
    )

# How long does it take, and where do they end?
left, right = st.columns(2)
with left:
    cell(
        view,
        "Time to convert",
        [ask("funnel_histogram", **funnel.options), ask("funnel", **funnel.options)],
        lambda data: funnel_charts.times(
            data.now, data.frames["funnel"]["seconds_p50"][funnel.last]
        ),
        subtitle="People by the time from the first step to the last",
        alt=lambda data: funnel_charts.times_said(data.now),
        empty=NOBODY,
        is_empty=lambda data: not data.now.height,
    )
with right:
    cell(
        view,
        "Moves between tiers",
        ask("tier_moves"),
        lambda data: Table(
            data.now.sort("users", descending=True),
            {"from_tier": "From", "to_tier": "To", "users": "People", "moves": "Moves"},
            rows=pictures.ROWS,
        ),
        subtitle="Where the way from free to paid ends; everybody's moves in this period",
        alt="A table of moves from tier to tier.",
        empty="Nobody changed tier in this period.",
        is_empty=lambda data: not data.now.height,
    )

# Who gets further?
cell(
    view,
    f"By {text.escaped(funnel.by)}",
    funnel.by_group(),
    lambda data: funnel_charts.groups(data.now, optional=funnel.optional),
    subtitle="Share of each group's own people who got to a step; the group is the one they "
    "were in on entering",
    alt=lambda data: funnel_charts.groups_said(data.now),
    empty="No group is large enough to be shown.",
    is_empty=lambda data: not data.now["users"].sum(),
)
