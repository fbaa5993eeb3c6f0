"""Is the closed beta worth its testers' time? Who depends on it, who went quiet, who is stuck."""

from __future__ import annotations

import streamlit as st

from pages.components import behind, charts, kpi, people, pictures, sentences, testers, text
from pages.components.cell import ask, cell
from pages.components.head import head, reading, stage_notes
from pages.components.headline import headline
from pages.components.view import current

everyone = current()
view = everyone.of_stage("closed-beta")
head(view, "Do the invited testers come to depend on it?", "Closed-beta testers.")
stage_notes(everyone, "closed-beta")
reading(
    view,
    lambda: [*sentences.quiet(view), *sentences.unlucky(view), *sentences.people(view)],
)
headline(
    view,
    lambda: [
        kpi.number(view, "cdr"),
        kpi.number(view, "resurrection"),
        kpi.number(view, "dau", past=kpi.daily_active(view)),
        kpi.number(view, "paid_conversion"),
        kpi.sessions(view),
    ],
)

# Who are they, and what did each of them do?
may_list = view.facts.settings.people_lists
if may_list:
    cell(
        view,
        "Testers",
        ask("testers"),
        lambda data: testers.table(data.now, "last_seen"),
        subtitle=lambda data: (
            f"{text.some(data.now.height, 'tester')}; counts are of the period shown. "
            "Created, loaded and resumed are contexts"
        ),
        alt="A table with a row per tester.",
        empty="Nobody yet. A tester appears with their first event.",
        is_empty=lambda data: not data.now.height,
    )
else:
    people.closed()

months = view.at_least(180)
left, right = st.columns(2)
with left:
    if may_list:
        cell(
            view,
            "Who went quiet",
            ask("testers"),
            lambda data: testers.table(
                data.now, "quiet_days", "errors", columns=testers.QUIET, most=pictures.ROWS
            ),
            subtitle="Days since each was last seen, longest first, and the errors they met",
            alt="A table of the testers who have been quiet longest.",
            empty="Nobody yet.",
            is_empty=lambda data: not data.now.height,
        )
    cell(
        months,
        "How far new testers get",
        ask("activation"),
        lambda data: charts.bars(
            data.now,
            name="name",
            value="users",
            said=[
                f"{text.count(users)} · {text.percent(rate)}"
                for users, rate in data.now.select("users", "rate_from_first").iter_rows()
            ],
            height=charts.HEIGHT,
        ),
        subtitle="People first seen in the "
        f"{text.window(months.window, today=view.today)} who took each step, in any order",
        alt=lambda data: pictures.said_bars(data.now, "name", "users"),
        empty="Nobody was first seen in these days. A longer period may hold newcomers.",
        is_empty=lambda data: not data.now["users"].sum(),
    )
with right:
    if may_list:
        cell(
            view,
            "Who meets most errors",
            ask("testers"),
            lambda data: testers.table(
                data.now, "errors", "error_groups", columns=testers.UNLUCKY, most=pictures.ROWS
            ),
            subtitle="Errors met in this period, most first",
            alt="A table of the testers who met most errors.",
            empty="No tester met an error in this period.",
            is_empty=lambda data: not data.now["errors"].sum(),
        )
    cell(
        view,
        "Testers active each day",
        ask("active_users"),
        lambda data: charts.lines(
            data.now,
            {"users": "testers"},
            before=data.before,
            open_from=view.open_from("1d"),
            fill=True,
        ),
        compare=True,
        subtitle=f"Testers per day{pictures.before_is(view)}",
        alt=lambda data: pictures.said(data.now, "users", "active testers per day"),
        empty="Nobody was active in this period.",
        **behind.of_periods(view),
    )

weeks = view.at_least(56)
left, right = st.columns(2)
with left:
    cell(
        weeks,
        "What happens to contexts",
        ask("context_lifecycle"),
        lambda data: charts.small_multiples(
            data.now, pictures.used(data.now, testers.CONTEXTS), open_from=weeks.open_from("1w")
        ),
        subtitle=f"Events per week, on one scale, {text.window(weeks.window, today=view.today)}",
        alt=lambda data: pictures.said(data.now, "context_created", "contexts created per week"),
        empty="No context was created, used or changed.",
    )
with right:
    cell(
        weeks,
        "When protection steps in",
        ask("context_lifecycle"),
        lambda data: charts.lines(
            data.now, testers.GUARDED, open_from=weeks.open_from("1w"), height=charts.TALL
        ),
        subtitle=f"Protections per week, {text.window(weeks.window, today=view.today)}",
        alt=lambda data: pictures.said(data.now, "protections_triggered", "protections per week"),
        empty="No protection was triggered.",
        is_empty=lambda data: not any(data.now[name].sum() for name in testers.GUARDED),
    )
