"""The little the theme cannot say: tabular figures, quiet subtitles, and room for a menu."""

from pathlib import Path
from typing import Final

ICON: Final = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from Google

CSS: Final = """<style>
.stMain, [data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; }
.stMainBlockContainer { max-width: 1320px; padding: 2.2rem 2.6rem 4rem; }
[data-testid="stCaptionContainer"] { opacity: .92; }
/* a cell's header: title left, quiet menu right, nothing between it and the picture */
[class*="st-key-cell-"] { gap: .4rem; }
[class*="st-key-cell-"] h3 { padding: 0; }
[class*="st-key-menu-"] button { min-height: 1.6rem; padding: 0 .4rem; opacity: .75; }
[class*="st-key-menu-"] button:hover, [class*="st-key-menu-"] button:focus-visible { opacity: 1; }
[data-testid="stPopoverBody"] { width: min(680px, 94vw); max-width: 94vw; }
/* room below the sidebar's last buttons for what they open */
[data-testid="stSidebar"] [data-testid="stSidebarUserContent"] { padding-bottom: 24rem; }
[data-testid="stMetricDelta"] *, [data-testid="stMetricLabel"] * {
  white-space: normal !important; overflow: visible !important;
}
[data-testid="stMetricDelta"] { height: auto !important; font-size: .8rem; line-height: 1.25; }
[data-testid="stMetricDelta"] { border-radius: 6px; }
[data-testid="stMetric"] { padding: .7rem .8rem .5rem; }
[data-testid="stMetric"] > div:first-child { padding: 0; }
.stAlert [data-testid="stAlertContainer"] { padding: .55rem .9rem; font-size: .92rem; }
.st-key-dates-hidden, .st-key-own-hidden,
[data-testid="stLayoutWrapper"]:has(> .st-key-dates-hidden),
[data-testid="stLayoutWrapper"]:has(> .st-key-own-hidden) { display: none; }
[class*="st-key-empty-"] { text-align: center; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding: 4.6rem 1rem 3rem; }
}
@media (prefers-reduced-motion: reduce) {
  * { animation: none !important; transition: none !important; }
}
</style>"""
