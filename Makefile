# Every target sets up what it needs in .venv; only Python 3.10+, git and make must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests start many processes: none is to compile everything anew.
export PYTHONDONTWRITEBYTECODE :=
# Workers take runs of files, as the tests of a file share servers; who is ready takes some. One more
# than there are cores, for tests wait, too. Slow tests share what takes long to make: their files stay whole.
WORKERS = $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
PYTEST = $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal --benchmark-disable

.PHONY: demo test check format docs dist bench record faults fidelity soak batches ray chainlit extras fuzz clean

## Ask a Dify app through LangChain and LlamaIndex: DIFY_BASE_URL and DIFY_API_KEY, or a local app.
demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

## Run the tests, but for whole programs, load and faults, which `make check` runs, too.
test: $(VENV)/.dev
	$(PYTEST)

## Everything a commit must pass: format, lint, types, import contracts, tests.
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(MAKE) test
	$(PYTEST) --dist=loadfile -m "slow or types"

## Every fault through every class (a quarter of an hour), and the tables of docs/reliability.md.
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults

## How like a Dify server the local one is, and the tables of docs/fidelity.md.
fidelity: $(VENV)/.dev
	$(BIN)/python -m tests.fidelity

## Threads, streams, cuts and cancels at random on one object, for minutes: nothing may grow.
soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak

## Ten thousand rows with faults and two kill -9 (minutes): each has one result, and what is repeated is named.
batches: $(VENV)/.dev
	$(BIN)/python -m tests.batch

## Two workers of a local Ray cluster: the tests that are skipped without Ray, and what two give.
ray: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable ".[ray]"
	$(BIN)/python -m pytest -m ray
	$(BIN)/python -m benchmarks.batch_ray

## The example of Chainlit in an environment of its own, used in Chromium.
chainlit: $(VENV)/.dev $(VENV)-chainlit/.made
	$(BIN)/python -m pytest -m chainlit tests/test_example_chainlit.py

## Each extra alone in a new environment, and each example copied out (a quarter of an hour).
extras: $(VENV)/.dev
	$(BIN)/python -m tests.extras

## The properties of decoder, events, answers and error bodies, with many more examples.
fuzz: $(VENV)/.dev
	$(BIN)/python -m pytest --hypothesis-profile=long -m hypothesis

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## Build the documentation into site/, strictly; nothing is loaded from elsewhere.
docs: $(VENV)/.docs
	$(BIN)/zensical build --clean --strict

## Build wheel and sdist into dist/, and look at them as an index does.
dist: $(VENV)/.dist
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

## Measure speed beside its peers: table, JSON and plot in benchmarks/results.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

## Record cassettes/ anew from the server that DIFY_RECORD_BASE_URL names; see CONTRIBUTING.
record: $(VENV)/.dev
	$(BIN)/python -m pytest tests/contract/scenarios --record-mode=rewrite -rs

clean:
	rm -rf $(VENV) $(VENV)-chainlit dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 10), 'Python 3.10 or newer is needed'"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml dify_api/_version.py
	$(BIN)/python -m pip install --quiet --editable ".[all]"
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml dify_api/_version.py
	$(BIN)/python -m pip install --quiet --editable ".[examples]" --group dev
	touch $@

$(VENV)-chainlit/.made: pyproject.toml
	$(PYTHON) -m venv $(VENV)-chainlit
	$(VENV)-chainlit/bin/python -m pip install --quiet --editable ".[chainlit]"
	touch $@

$(VENV)/.docs: $(BIN)/python pyproject.toml dify_api/_version.py
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group docs
	touch $@

$(VENV)/.dist: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group dist
	touch $@

$(VENV)/.bench: $(BIN)/python pyproject.toml dify_api/_version.py
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group bench
	touch $@
