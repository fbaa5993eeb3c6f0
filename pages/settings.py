"""How is this notebook set up? Every setting in force, and where it came from."""

from __future__ import annotations

import streamlit as st

from data_access.home import settings_places
from pages.components import access, notices, recorder, settings, style
from pages.components.boundary import alone

here = settings.current()
found = settings.settings(here)
is_admin = access.may("admin")

st.html(style.NO_FILTERS)
st.title("How is this notebook set up?", anchor=False)
st.caption(
    "Every setting with its value and where it came from. Nothing is changed here: "
    "`telemetry.toml` is the place, and what it says counts from the next click on."
)

# What is wrong comes first.
settings.problems(found)
if here.trouble:
    notices.no_telemetry(here.trouble)

# What is this, and who is let in?
st.html(settings.as_list(settings.around(here), "This notebook"))

# What is in force?
places = settings_places(here.home)
for table, keys in settings.grouped(found, here).items():
    if is_admin or table in settings.FOR_EVERYBODY:
        settings.show(table, keys, places, may_change=is_admin)
if not is_admin:
    st.caption(":material/info: Sign-in, server and log are shown to those who are admins here.")

# What does it take on disk, and what is written about its use?
if here.facts is not None:
    with alone("What the telemetry takes on disk"):
        st.header("On disk", anchor="on-disk")
        st.html(settings.as_list(settings.sizes(here), "On disk"))
    st.header("The app's own use", anchor="own-use")
    recorder.foot(here.home, found)
