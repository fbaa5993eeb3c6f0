"""The button that copies the link to what is shown: one click, in the reader's browser.

Where the clipboard is refused the link is shown, chosen already, to be copied by hand.
"""

from __future__ import annotations

from typing import Any, Final

import streamlit as st


def button(link: str) -> None:
    """Offer `link` to be copied."""
    _component()(data={"link": link}, key="copy-link", width="stretch", height="content")


_HTML: Final = """
<button type="button" title="Its dates are written out: the same days next year, too">
  <span class="icon" aria-hidden="true">link</span>Copy link
</button>
<input readonly hidden aria-label="The link">
<div role="status"></div>
"""

_CSS: Final = """
button {
  display: flex; align-items: center; justify-content: center; gap: 0.25rem; width: 100%;
  font: inherit; font-size: 0.875rem; color: var(--st-text-color);
  background: var(--st-secondary-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, 6px);
  padding: 0.25rem 0.75rem; min-height: 2.5rem; cursor: pointer;
}
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
.icon { font: 1rem/1 "Material Symbols Rounded"; }
input {
  box-sizing: border-box; width: 100%; margin-top: 0.4rem; padding: 0.35rem 0.5rem; font: inherit;
  font-size: 0.85rem; color: inherit; background: transparent;
  border: 1px solid var(--st-border-color); border-radius: 6px;
}
input[hidden] { display: none; }
[role="status"]:not(:empty) { margin-top: 0.3rem; font-size: 0.85rem; line-height: 1.3; }
"""

# navigator.clipboard is not there on plain http of another machine; the older way still is
_JS: Final = """
const WAIT_MS = 4000;  // for a run that a choice just made asks for; then a click is too long ago
const BEGIN_MS = 3000;  // for it to begin
const STEP_MS = 50;
const address = () => location.pathname + location.search;

function isRunning() {
  const app = document.querySelector('[data-testid="stApp"]');
  return app !== null && app.getAttribute("data-test-script-state") === "running";
}

// the browser writes a choice into the address at once; its link comes with the run's answer
async function caughtUp(button) {
  const clicked = Date.now();
  let begun = false;
  while (button.dataset.address !== address()) {
    begun ||= isRunning();
    const waited = Date.now() - clicked;
    if (waited > WAIT_MS || (!isRunning() && (begun || waited > BEGIN_MS))) break;
    await new Promise((done) => setTimeout(done, STEP_MS));
  }
  button.dataset.address = address();
}

async function copied(link, field) {
  try {
    await navigator.clipboard.writeText(link);
    return true;
  } catch (refused) {
    field.hidden = false;
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}

export default function (component) {
  const { data, parentElement } = component;
  const [button, field, status] = ["button", "input", "[role=status]"].map(
    (name) => parentElement.querySelector(name)
  );
  if (button.dataset.link !== data.link) {  // another link: what was said is of the one before
    status.textContent = "";
    field.hidden = true;
  }
  button.dataset.link = field.value = data.link;
  button.dataset.address = address();

  button.onclick = async () => {
    await caughtUp(button);
    status.textContent = "";
    if (await copied(button.dataset.link, field)) {
      if (!field.hidden) button.focus();
      field.hidden = true;
      status.textContent = "Copied. It shows the same days next year, too.";
    } else {
      status.textContent = "Your browser does not let it be copied. Press Ctrl+C or ⌘C.";
    }
  };
}
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:  # noqa: ANN401 - Streamlit's own
    """Register the button, once in a process."""
    return st.components.v2.component("betascope.copy_link", html=_HTML, css=_CSS, js=_JS)
