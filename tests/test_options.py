"""What a page lets one choose: from the link, into the link, and never something not on offer."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def a_page() -> None:
    import streamlit as st  # noqa: PLC0415 - the script of a page, run on its own

    from pages.components import options  # noqa: PLC0415 - the same

    options.begin(by_link_alone="by_link_alone" in st.session_state)
    found = (
        options.choose("p", "every", "Every", ["day", "week"], "week"),
        options.pills("p", "kind", "Kind", ["first", "recurring"], "first"),
        options.several("p", "steps", "Steps", ["a", "b"], ("a", "b"), new=True),
        options.switch("p", "later", "Or later"),
        options.number("p", "least", "At least", 1, 1, 9),
        options.written("p", "name", "Name"),
    )
    st.session_state["found"], st.session_state["link"] = found, options.in_link()


def run(**query: str | list[str]) -> AppTest:
    app = AppTest.from_function(a_page)
    for name, value in query.items():
        app.query_params[name.replace("_", ".")] = value
    app.run()
    assert not app.exception
    return app


def test_without_a_link_every_choice_is_its_default_and_adds_nothing_to_the_link():
    app = run()

    assert app.session_state["found"] == ("week", "first", ("a", "b"), False, 1, "")
    assert app.session_state["link"] == []


def test_a_link_sets_every_choice_and_is_written_again():
    app = run(
        p_every="day",
        p_kind="recurring",
        p_steps=["b", "typed by hand"],
        p_later="true",
        p_least="4",
        p_name="x y",
    )

    assert app.session_state["found"] == (
        "day",
        "recurring",
        ("b", "typed by hand"),
        True,
        4,
        "x y",
    )
    assert app.session_state["link"] == [
        ("p.every", "day"),
        ("p.kind", "recurring"),
        ("p.steps", "b"),
        ("p.steps", "typed by hand"),
        ("p.later", "true"),
        ("p.least", "4"),
        ("p.name", "x y"),
    ]


def test_what_is_not_on_offer_is_dropped():
    app = run(p_every="<script>", p_least="400", p_later="perhaps")

    assert app.session_state["found"] == ("week", "first", ("a", "b"), False, 1, "")


def test_by_the_link_alone_nothing_is_drawn_and_the_choices_are_the_same():
    query = {
        "p_every": "day",
        "p_kind": "nonsense",
        "p_steps": ["b", "typed by hand"],
        "p_later": "true",
        "p_least": "99",
        "p_name": " x y ",
    }
    app = AppTest.from_function(a_page)
    app.session_state["by_link_alone"] = True
    for name, value in query.items():
        app.query_params[name.replace("_", ".")] = value
    app.run()

    assert not app.exception
    assert not [*app.selectbox, *app.multiselect, *app.toggle, *app.number_input, *app.text_input]
    found = ("day", "first", ("b", "typed by hand"), True, 9, "x y")
    assert app.session_state["found"] == found
    assert ("p.every", "day") in app.session_state["link"]
    assert ("p.later", "true") in app.session_state["link"]
