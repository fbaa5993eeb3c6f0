"""A page's own choices, each in the link as `<page>.<name>`: what to compute, never whose data.

They are bound to the URL like the shared filters. Their values are the URL's own tokens, so they
are readable words. A choice a link names but the page does not offer is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

from data_access.filters import VALUE_CHARS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pages.components.view import View

VALUES_MAX: Final = 20  # chosen in one list
WIDTH: Final = 230
NO_BREAKDOWN: Final = "none"
_DRAWN: Final = "_options"
_ALSO: Final = "_options_also"
_SILENT: Final = "_options_by_link_alone"

Value = str | bool | int | tuple[str, ...]


def begin(*, by_link_alone: bool = False) -> None:
    """Forget the choices of the page before: the frame calls it once a run.

    `by_link_alone`: nothing is offered, the link has said it all.
    """
    st.session_state[_DRAWN] = {}
    st.session_state[_ALSO] = {}
    st.session_state[_SILENT] = by_link_alone


def also(name: str, value: str) -> None:
    """Let a link with its dates written out say one thing more, so that it shows the same."""
    st.session_state.setdefault(_ALSO, {})[name] = value


def frozen() -> list[tuple[str, str]]:
    """Return what `also` was told in this run."""
    return list(st.session_state.get(_ALSO, {}).items())


def in_link() -> list[tuple[str, str]]:
    """Return what a link has to say of the choices drawn in this run, defaults left out."""
    drawn: Mapping[str, Value] = st.session_state.get(_DRAWN, {})
    found: list[tuple[str, str]] = []
    for key, default in drawn.items():
        value = st.session_state.get(key, default)
        several = tuple(value) if isinstance(value, list) else value
        if several == default or value is None:
            continue
        if isinstance(several, tuple):
            found += [(key, str(one)) for one in several or ("",)]  # emptied is a choice, too
        else:
            found.append((key, str(value).lower() if isinstance(value, bool) else str(value)))
    return found


def reset() -> None:
    """Take back the choices of the page on show: the frame's reset calls it."""
    drawn: Mapping[str, Value] = st.session_state.get(_DRAWN, {})
    for key, default in drawn.items():
        st.session_state[key] = list(default) if isinstance(default, tuple) else default


def choose(
    page: str,
    name: str,
    label: str,
    values: Sequence[str],
    default: str,
    *,
    help: str | None = None,  # noqa: A002 - Streamlit's word for it
    width: int = WIDTH,
) -> str:
    """Offer one of several values in a list.

    Parameters
    ----------
    page : the page's address; with `name` it is the choice's place in the link.
    values : the tokens the link carries.
    default : the one not written into links; added to the values when it is not among them.
    """
    key = _key(page, name, default)
    offered = list(values) if default in values else [default, *values]
    if _is_silent():
        return _of_link(key, default, offered)
    _only(key, offered)
    chosen: str | None = st.selectbox(
        label,
        offered,
        index=offered.index(default),
        key=key,
        bind="query-params",
        help=help,
        width=width,
    )
    return chosen or default


def pills(
    page: str,
    name: str,
    label: str,
    values: Sequence[str],
    default: str,
    *,
    help: str | None = None,  # noqa: A002 - Streamlit's word for it
) -> str:
    """Offer one of a few values side by side."""
    key = _key(page, name, default)
    if _is_silent():
        return _of_link(key, default, values)
    _only(key, values)
    chosen: str | None = st.segmented_control(
        label,
        list(values),
        default=default,
        required=True,
        key=key,
        bind="query-params",
        help=help,
    )
    return chosen or default


def several(
    page: str,
    name: str,
    label: str,
    values: Sequence[str],
    default: Sequence[str] = (),
    *,
    new: bool = False,
    help: str | None = None,  # noqa: A002 - Streamlit's word for it
    placeholder: str | None = None,
    most: int = VALUES_MAX,
) -> tuple[str, ...]:
    """Offer a list of which several can be chosen, in the order chosen; `new`: typed ones too."""
    key = _key(page, name, tuple(default))
    if _is_silent():
        said = st.query_params.get_all(key)
        several = tuple(one[:VALUE_CHARS_MAX] for one in said if one and (new or one in values))
        found = several[:most] if key in st.query_params else tuple(default)
        st.session_state[key] = found
        return found
    asked = st.query_params.get_all(key) if new and key in st.query_params else []
    kept = [*st.session_state.get(key, ()), *(asked if new else ())]
    offered = list(dict.fromkeys([*values, *default, *(kept if new else ())]))
    if any(one not in offered for one in st.session_state.get(key, ())):
        del st.session_state[key]
    chosen = st.multiselect(
        label,
        offered,
        default=list(default),
        key=key,
        bind="query-params",
        accept_new_options=new,
        max_selections=most,
        help=help,
        placeholder=placeholder,
    )
    return tuple(str(one)[:VALUE_CHARS_MAX] for one in chosen[:most])


def switch(
    page: str,
    name: str,
    label: str,
    *,
    help: str | None = None,  # noqa: A002 - Streamlit's word for it
) -> bool:
    """Offer yes or no; it is no until somebody says yes."""
    key = _key(page, name, default=False)
    if _is_silent():
        found = _of_link(key, "false", ("true", "false")) == "true"
        st.session_state[key] = found
        return found
    return bool(st.toggle(label, key=key, bind="query-params", help=help))


def number(  # noqa: PLR0917 - a label, a default and its limits read in this order
    page: str,
    name: str,
    label: str,
    default: int,
    low: int,
    high: int,
    *,
    help: str | None = None,  # noqa: A002 - Streamlit's word for it
) -> int:
    """Offer a whole number between two others, both included."""
    key = _key(page, name, default)
    if _is_silent():
        said = _of_link(key, str(default))
        st.session_state[key] = min(max(int(said), low), high) if _is_number(said) else default
        return int(st.session_state[key])
    if key in st.session_state and not low <= (st.session_state[key] or low) <= high:
        st.session_state[key] = min(max(st.session_state[key], low), high)  # the data has changed
    chosen = st.number_input(
        label, low, high, default, 1, key=key, bind="query-params", help=help, width=WIDTH
    )
    return min(max(int(chosen if chosen is not None else default), low), high)


def written(
    page: str,
    name: str,
    label: str,
    default: str = "",
    *,
    help: str | None = None,  # noqa: A002 - Streamlit's word for it
    placeholder: str | None = None,
) -> str:
    """Offer a line to write in."""
    key = _key(page, name, default)
    if _is_silent():
        return _of_link(key, default).strip()
    said = st.text_input(
        label,
        default,
        max_chars=VALUE_CHARS_MAX,
        key=key,
        bind="query-params",
        help=help,
        placeholder=placeholder,
        width=WIDTH,
    )
    return (said or "").strip()[:VALUE_CHARS_MAX]


def held(page: str, names: Sequence[str], several: Sequence[str] = ()) -> dict[str, list[str]]:
    """Keep choices in the link that other fields of the page make, through `hold`.

    Hidden fields do it, bound like all others; every value is taken as it is. Each is empty unless
    it was held: Streamlit warns of a field with a default whose value is also set.

    Parameters
    ----------
    page : the page's address.
    names : of choices of one value; `several` : of those of any number.

    Returns
    -------
    name -> its values as a link has them, none where there is none.
    """
    found: dict[str, list[str]] = {}
    with st.container(key=f"held-{page}-hidden"):
        for name in names:
            key = _key(page, name, "")
            said = st.text_area(key, key=key, bind="query-params")
            found[name] = [said] if said else []
        for name in several:
            key = _key(page, name, ())
            asked = st.query_params.get_all(key) if key in st.query_params else []
            known = list(dict.fromkeys([*st.session_state.get(key, ()), *asked]))
            found[name] = st.multiselect(
                key, known, key=key, bind="query-params", accept_new_options=True
            )
    return found


def hold(page: str, values: Mapping[str, Sequence[str]]) -> None:
    """Put choices into the fields of `held`: in a callback, or before they are drawn."""
    for name, several in values.items():
        key = f"{page}.{name}"
        st.session_state[key] = several if isinstance(several, str) else list(several)


def breakdown(page: str, view: View) -> str | None:
    """Offer what to break numbers down by; None when they stay whole. Pass it as `split=`."""
    chosen = choose(
        page,
        "by",
        "Break down by",
        [NO_BREAKDOWN, *view.breakdowns()],
        NO_BREAKDOWN,
        help="The five groups with most people, and the rest as one. A person may be in two.",
    )
    return None if chosen == NO_BREAKDOWN else chosen


def _key(page: str, name: str, default: Value) -> str:
    key = f"{page}.{name}"
    st.session_state.setdefault(_DRAWN, {})[key] = default
    return key


def _only(key: str, values: Sequence[str]) -> None:
    """Drop a choice that is no longer offered: the data it came from has changed."""
    if key in st.session_state and st.session_state[key] not in values:
        del st.session_state[key]


def _is_silent() -> bool:
    return bool(st.session_state.get(_SILENT))


def _of_link(key: str, default: str, values: Sequence[str] | None = None) -> str:
    """Return what the link says of a choice; the default when it says nothing that is offered."""
    said = st.query_params.get(key, default)[:VALUE_CHARS_MAX]
    found = said if values is None or said in values else default
    st.session_state[key] = found
    return found


def _is_number(said: str) -> bool:
    return said.isascii() and said.removeprefix("-").isdigit()
