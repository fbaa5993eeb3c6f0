# make          open Betascope in the browser, with sample data when there is none
# make test     check and test everything
# make help     all of it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME := telemetry
# a person's run leaves the slow tests out; CI runs them all
MARKS = $(if $(CI),,-m "not slow")
WORKERS ?= 2

.DEFAULT_GOAL := run
.PHONY: run test check bench demo clean help

run: $(VENV)/.installed ## Open Betascope in the browser (TELEMETRY_HOME=... for your own data)
	@if [ -z "$$TELEMETRY_HOME" ] && [ ! -e $(DEMO_HOME) ]; then $(BIN)/python -m ingest demo; fi
	$(BIN)/streamlit run app.py

# the tests start some hundred processes: what is compiled once need not be compiled by each
test: export PYTHONDONTWRITEBYTECODE =
test: check ## Check and test everything, real browser included
	@browser="$$(sh tests/find_chromium.sh)"; \
	if [ -n "$$browser" ]; then \
	  CHROMIUM="$$browser" $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(MARKS); \
	elif [ -n "$$CI" ]; then \
	  echo "FAILED: no Chromium, and CI must run the browser tests." >&2; exit 1; \
	else \
	  echo; echo "!!! NO CHROMIUM: THE BROWSER TESTS ARE SKIPPED. Install chromium and run again. !!!"; echo; \
	  $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(CI),,-m "not slow and not browser"); \
	fi

check: $(VENV)/.installed-dev ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev ## Compare with DuckDB, pandas, OpenTelemetry and posthog, side by side in one run
	$(BIN)/python -m bench
	$(BIN)/python -m bench.ingest

demo: $(VENV)/.installed ## Write a home with sample data
	$(BIN)/python -m ingest demo

clean: ## Remove the virtual environment and caches; data stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

help: ## Show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ /' | awk '{printf "  make %-8s", $$1; $$1=""; print $$0}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Betascope needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.12. README has more ways, under Other ways to start."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "This Python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv."; \
	  echo "README has another way, under Other ways to start."; exit 1; }

$(VENV)/.installed: requirements.txt $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
