# The two commands of a new user, and what a developer adds to them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
DEMO = build/demo

.PHONY: demo test lint check docs wheel clean

demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	$(BIN)/palimpsest run quick --store $(DEMO)/quick.db
	@$(BIN)/palimpsest report $(DEMO)/quick.db --output $(DEMO)/quick.html

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -E -W --keep-going -q docs docs/_build/html

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf $(VENV) build dist docs/_build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
