"""The little the theme cannot say: tabular figures, quiet subtitles, and room for a menu."""

import html
from pathlib import Path
from typing import Final

ICON: Final = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from Google

CSS: Final = """<style>
.stMain, [data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; }
.stMainBlockContainer { max-width: 1320px; padding: 2.2rem 2.6rem 4rem; }
[data-testid="stCaptionContainer"] { opacity: .92; }
/* a cell's header: title left, quiet menu right, nothing between it and the picture */
[class*="st-key-cell-"] { gap: .4rem; }
[class*="st-key-cell-"] :is(h2, h3) { padding: 0; font-size: 1.05rem; }
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
[data-testid="stVerticalBlock"]:has(> .stElementContainer > .stMetric) {
  padding: .7rem .8rem .5rem; justify-content: space-between; }
.bs-spark { height: 26px; margin-top: .3rem; background: currentColor; opacity: .7;
  mask-size: 100% 100%; mask-repeat: no-repeat; print-color-adjust: exact; }
/* a quiet button stays readable while it is pressed or open */
button[kind="tertiary"]:is(:hover, :active, :focus, [aria-expanded="true"]) {
  color: inherit !important; opacity: 1; }
/* white words on what was chosen or waits to be pressed: dark's own blue is too light for them */
[data-testid="stMultiSelect"] [data-tag] { background: light-dark(#005A8E, #1D5F8C); }
button:is([kind="primary"], [kind="primaryFormSubmit"]):not(:disabled) {
  background: light-dark(#005A8E, #1D5F8C) !important; }
button:is([kind="primary"], [kind="primaryFormSubmit"]):hover { filter: brightness(1.1); }
button kbd { color: inherit !important; opacity: 1 !important; }
/* code in the notebook's own hues: Streamlit's are too pale for small text on both grounds */
[data-testid="stCode"] pre .token:is(.comment, .prolog, .doctype, .cdata, .punctuation) {
  color: light-dark(#5A6671, #9AA7B3); }
[data-testid="stCode"] pre .token:is(.keyword, .tag, .function, .class-name, .selector,
  .property, .attr-name, .variable, .url) { color: light-dark(#005A8E, #7CC0EA); }
[data-testid="stCode"] pre .token:is(.string, .char, .attr-value, .inserted) {
  color: light-dark(#00664E, #2DBD92); }
[data-testid="stCode"] pre .token:is(.number, .boolean, .constant, .symbol, .regex, .builtin) {
  color: light-dark(#8A4176, #E0A3C6); }
[data-testid="stCode"] pre .token:is(.operator, .entity, .decorator, .atrule, .important,
  .deleted) { color: light-dark(#A04000, #F0925E); }
/* where the keyboard is, also where Streamlit draws nothing */
a:focus-visible, [data-testid="stMain"]:focus-visible, summary:focus-visible,
button[kind="elementToolbar"]:focus-visible, [role="button"]:focus-visible,
[role="option"]:focus-visible {
  outline: 2px solid currentColor !important; outline-offset: 2px; }
[data-testid="stMain"]:focus-visible, nav a:focus-visible { outline-offset: -3px !important; }
.stAlert [data-testid="stAlertContainer"] { padding: .55rem .9rem; font-size: .92rem; }
[class*="st-key-"][class*="-hidden"],
[data-testid="stLayoutWrapper"]:has(> [class*="st-key-"][class*="-hidden"]) { display: none; }
/* saved views: links that look like what they are, a step quieter than buttons */
.views { display: flex; flex-wrap: wrap; gap: .35rem; font-size: .875rem; }
.views > * { max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  padding: .15rem .55rem; border-radius: 8px; border: 1px solid color-mix(in srgb, currentColor 22%,
  transparent); }
.views a, .views a:visited { color: inherit; text-decoration: none; }
.views a:hover, .views a:focus-visible { border-color: currentColor; }
.views a[aria-current] { font-weight: 600; background: color-mix(in srgb, currentColor 10%,
  transparent); }
.views span { opacity: .65; text-decoration: line-through; }
.st-key-view-changed button { min-height: 1.6rem; padding: 0 .4rem; }
[class*="st-key-empty-"] { text-align: center; }
/* the Settings page: keys as a table, which stacks on a phone, and facts as a list */
.bs-keys { width: 100%; border-collapse: collapse; font-size: .93rem; line-height: 1.4; }
.bs-keys th, .bs-keys td { text-align: left; vertical-align: top; padding: .5rem .9rem .5rem 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 16%, transparent); font-weight: 400; }
.bs-keys thead th { font-size: .8rem; font-weight: 600; white-space: nowrap; }
.bs-keys tbody th { width: 42%; }
.bs-keys tbody th span { display: block; }
.bs-keys td { width: 20%; overflow-wrap: anywhere; }
.bs-keys td:last-child { width: 24%; }
.bs-keys .bs-said td:nth-child(2) code { font-weight: 650; }
.bs-keys code { font-size: .9em; background: none; color: inherit; padding: 0; }
.bs-keys ul { margin: .2rem 0; padding-left: 1.1rem; }
.bs-keys details { display: inline-block; }
.bs-facts, .bs-facts dd { margin: 0 !important; padding: 0 !important; }
.bs-facts { font-size: .93rem; line-height: 1.45; }
.bs-facts > div { display: flex; gap: 1rem; padding: .3rem 0; }
.bs-facts dt { flex: 0 0 9rem; font-weight: 600; }
.bs-facts dd { overflow-wrap: anywhere; }
.bs-facts > div:has(dd + dd) { display: grid; grid-template-columns: 9rem 1fr; gap: .1rem 1rem; }
.bs-facts dd + dd { grid-column: 2; }
.st-key-explore-sql textarea { font-family: "Source Code Pro", monospace; font-size: .86rem; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding: 4.6rem 1rem 3rem; }
  .bs-keys thead { position: absolute; clip-path: inset(50%); }
  .bs-keys tr { display: block; padding: .5rem 0;
    border-bottom: 1px solid color-mix(in srgb, currentColor 16%, transparent); }
  .bs-keys tbody th, .bs-keys td, .bs-keys td:last-child { display: block; width: auto;
    border: 0; padding: .1rem 0; }
  .bs-keys td::before { content: attr(data-label) ": "; font-weight: 600; }
  .bs-facts > div, .bs-facts > div:has(dd + dd) { display: block; }
}
/* beside a folded sidebar the button that opens it lies over the page's first lines */
.stApp:has([data-testid="stExpandSidebarButton"]) .stMainBlockContainer { padding-top: 4.6rem; }
/* where the reader's own colours replace ours, what is chosen must still be told apart */
@media (forced-colors: active) {
  .bs-spark { forced-color-adjust: none; background: CanvasText; }
  :is([role="radio"][aria-checked="true"], nav a[aria-current="page"]) {
    forced-color-adjust: none; background: Highlight !important; color: HighlightText !important; }
  :is([role="radio"][aria-checked="true"], nav a[aria-current="page"]) * {
    color: inherit !important; }
  .stCheckbox label > div:has(> div:empty) { forced-color-adjust: none;
    border: 1px solid CanvasText; background: Canvas; }
  .stCheckbox label > div > div:empty { background: CanvasText; }
  .stCheckbox[data-selected="true"] label > div:has(> div:empty) { background: Highlight; }
}
.bs-foot, .stElementContainer:has(.bs-paper) { display: none; }
/* on paper: the page without what is only there to be pressed, black on white in the dark as well.
   Pictures keep the width they had on the screen, so the page is drawn smaller, and wide. */
@page { size: landscape; margin: 11mm; }
@media print {
  [data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stToolbar"], .modebar,
  [data-testid="stElementToolbar"], [data-testid="stExpandSidebarButton"],
  [data-testid="stMain"] :is(.stPopover, .stButton, .stDownloadButton, .stSelectbox, .stMultiSelect,
  .stButtonGroup, .stNumberInput, .stTextInput, .stCheckbox,
  .stTooltipIcon, .st-key-demo-banner, .stExpander:has(details:not([open])),
  [data-testid="stHeaderActionElements"], [data-testid="stCodeCopyButton"]) {
    display: none !important; }
  html, body { color-scheme: light !important; }
  html, body, #root, .stApp, .stApp > *, [data-testid="stAppViewContainer"],
  [data-testid="stMain"] { background: #fff !important; }
  .stMainBlockContainer { zoom: .8; padding: 0 !important; max-width: none !important; }
  .stMainBlockContainer :not(.bs-spark) {
    color: #000 !important; background-color: #fff0 !important; }
  .bs-spark { background-color: #000 !important; }
  .js-plotly-plot .bg, .main-svg { fill: #fff0 !important; background: none !important; }
  html[style*="dark"] :is(.js-plotly-plot, .stDataFrame canvas) {
    filter: invert(1) hue-rotate(180deg); }
  .stMainBlockContainer .stHorizontalBlock { display: flex !important; flex-wrap: nowrap; }
  .stMainBlockContainer .stColumn { min-width: 0; }
  [class*="st-key-cell-"], .stMetric, .bs-keys tr, .bs-facts > div { break-inside: avoid; }
  :is(h1, h2, h3) { break-after: avoid; }
  .stVerticalBlock { border-color: #bbb !important; }
  .stElementContainer:has(.bs-paper) { display: block; }
  .bs-foot { display: block; margin-top: 1rem; font-size: .85rem; overflow-wrap: anywhere; }
}
@media (prefers-reduced-motion: reduce) {
  * { animation: none !important; transition: none !important; }
}
</style>"""
FOOT_CHARS_MAX: Final = 2_000  # of a link on paper


def foot(link: str) -> str:
    """Return what stands at the end of a printed page alone: where it came from."""
    return f'<p class="bs-foot">{html.escape(link[:FOOT_CHARS_MAX])}</p>'


def paper(words: str) -> str:
    """Return words that stand on paper alone, where fields say them on the screen."""
    return f'<p class="bs-paper">{html.escape(words)}</p>'


NO_FILTERS: Final = "<style>.st-key-filters { display: none; }</style>"  # they keep their values

# one cell in another page's frame: it fills the frame, and has nothing to press
EMBED: Final = """<style>
.stMainBlockContainer { padding: .7rem 1rem .4rem !important; max-width: none; }
[data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stExpandSidebarButton"],
[data-testid="stElementToolbar"], [data-testid="stToolbar"] { display: none; }
.stMainBlockContainer { height: 100vh; display: flex; flex-direction: column; }
.stMainBlockContainer > *, .st-key-embed, .st-key-embed-cell,
[data-testid="stLayoutWrapper"]:has(.st-key-embed-cell) {
  flex: 1 1 0 !important; display: flex; flex-direction: column; min-height: 0;
}
.st-key-embed h3 { padding: .1rem 0 .5rem; }
.st-key-embed, .st-key-embed-cell { gap: .35rem; }
.st-key-embed-cell > * { flex-shrink: 0; }
.st-key-embed-cell [data-testid="stElementContainer"]:has([data-testid="stPlotlyChart"]) {
  flex: 1 1 0 !important; min-height: 160px;
}
.st-key-embed-cell :has(> [data-testid="stPlotlyChart"]), .st-key-embed-cell .stPlotlyChart {
  height: 100%;
}
</style>"""
