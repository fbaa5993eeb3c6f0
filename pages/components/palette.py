"""What each colour means, and where in the theme it lives.

Streamlit swaps the slot colours below for the theme's own in the browser, so one figure is right
in light and dark, also at the moment the reader switches. The values are in
`.streamlit/config.toml` (`chartCategoricalColors`, in this order); a test holds the two together.
"""

from __future__ import annotations

from typing import Final

# meaning -> (light, dark); the order is the order of the slots
COLOURS: Final = {
    "paid": ("#0072B2", "#0072B2"),
    "free": ("#5F6B76", "#7A8694"),
    "enterprise": ("#A86F00", "#E69F00"),
    "server": ("#00765A", "#009E73"),
    "extension": ("#9C4F7E", "#CC79A7"),
    "web": ("#2A7FAF", "#56B4E9"),
    "trial": ("#7A5C37", "#8C6D46"),
    "harm": ("#B34700", "#D55E00"),
    "ink": ("#34495E", "#B8C7D6"),  # anything without a meaning of its own
    "quiet": ("#7F8C98", "#6C7A87"),  # context: the rest, the other, the before
}
SLOTS: Final = {name: f"#{number:06d}" for number, name in enumerate(COLOURS, start=1)}
SEQUENTIAL: Final = tuple(f"#{number:06d}" for number in range(11, 21))

_JUMP: Final = 0.005  # half the width of the jump in the middle of the scale

INK: Final = SLOTS["ink"]
QUIET: Final = SLOTS["quiet"]
HARM: Final = SLOTS["harm"]
FADED_TEXT: Final = "#000036"  # Streamlit's grey for secondary text
GRID: Final = "#000039"  # and for lines behind the data
PAPER: Final = "#000038"

# what the light theme puts into the slots, for pictures that leave the app
_LIGHT_SEQUENTIAL: Final = (
    *("#EDF3F8", "#D5E4F0", "#BDD5E8", "#A5C5DF", "#8FB8D8"),
    *("#3C78A5", "#2F6F9F", "#255D88", "#1C4B71", "#12395A"),
)
LIGHT_TEXT: Final = "#5B6670"
LIGHT: Final = {
    **{SLOTS[name]: light for name, (light, _) in COLOURS.items()},
    **dict(zip(SEQUENTIAL, _LIGHT_SEQUENTIAL, strict=True)),
    FADED_TEXT: LIGHT_TEXT,
    GRID: "#E4E8EC",
    PAPER: "#FFFFFF",
}

DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PATTERNS: Final = ("", "/", ".", "x", "-", "\\")
# one meaning, one mark: the dash and the pattern go with the name, as the colour does
_MARKS: Final = {
    "paid": 0,
    "free": 1,
    "enterprise": 2,
    "trial": 3,
    "server": 0,
    "extension": 1,
    "web": 2,
}


def colour(name: str) -> str:
    """Return the slot of a tier, a channel or another meaning; ink for all else."""
    return SLOTS.get(name, INK)


def dash(name: str, position: int) -> str:
    """Return the line style that goes with a name, or with its place in the chart."""
    return DASHES[_MARKS.get(name, position) % len(DASHES)]


def pattern(name: str, position: int) -> str:
    """Return the fill pattern that goes with a name, or with its place in the chart."""
    return PATTERNS[_MARKS.get(name, position) % len(PATTERNS)]


def scale() -> list[list[float | str]]:
    """Return the one-hue scale for grids, from little to much.

    The middle is jumped over: on a medium tone neither dark nor white text is easy to read.
    """
    half = len(SEQUENTIAL) // 2
    step = (0.5 - _JUMP) / (half - 1)
    places = [number * step for number in range(half)]
    places += [1 - place for place in reversed(places)]
    return [[place, slot] for place, slot in zip(places, SEQUENTIAL, strict=True)]
