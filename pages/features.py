"""What do they use? Which features, which tools fail, what is combined, and whether it helps."""

from __future__ import annotations

import streamlit as st

from data_access.links import EVERY
from pages.components import feature_cells, feature_words, feature_worth, options
from pages.components.head import head, reading, section
from pages.components.headline import headline
from pages.components.view import current

PAGE = "features"
view = current()

head(view, "What do they use?", "Features: tools people call, and what else they do on purpose.")
reading(view, lambda: [*feature_words.sentences(view), *feature_worth.sentences(view)])
headline(view, lambda: feature_words.numbers(view))

with st.container(horizontal=True, vertical_alignment="bottom"):
    choices = feature_cells.Choices(
        split=options.breakdown(PAGE, view),
        every=options.pills(PAGE, "every", "Over time by", list(EVERY), "week"),
        everything=options.switch(PAGE, "all", "Combine all features, not tools alone"),
    )

section(view, "Which feature is used most, and by whom?", "used")
feature_cells.used(view, choices)

section(view, "Which tool fails most, and how are tools combined?", "tools-and-combinations")
feature_cells.working(view, choices)

section(view, "Do they help: are tokens saved, suggestions accepted, answers found?", "helpful")
feature_cells.helpful(view, choices)

section(view, "Which features are worth building on?", "worth")
feature_worth.cells(view)
