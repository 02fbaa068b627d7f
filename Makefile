# The two commands of a new user, and what a developer adds to them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
# Marks an environment that make created, which make clean may remove.
MADE = $(VENV)/.made-by-make
DEMO = build/demo
# The versions that were tested; make CONSTRAINTS= ... takes whatever fits what is installed.
CONSTRAINTS ?= -c constraints.txt
# More processes than processors: many tests wait for processes that they start, which is also why
# the code is compiled first.
SPREAD = -n 3 --dist loadfile
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(CONSTRAINTS)

.PHONY: demo test thorough lint check docs wheel clean

demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	$(BIN)/palimpsest run quick --store $(DEMO)/quick.db
	@$(BIN)/palimpsest report $(DEMO)/quick.db --output $(DEMO)/quick.html

test: $(VENV)/.installed-dev
	$(BIN)/python -m compileall -q benchmark reports strategies
	$(BIN)/python -m pytest $(SPREAD)

thorough: $(VENV)/.installed-dev
	$(BIN)/python -m compileall -q benchmark reports strategies
	PALIMPSEST_CHAOS=20 $(BIN)/python -m pytest $(SPREAD) -m 'thorough or chaos'

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test thorough

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -E -W --keep-going -q docs docs/_build/html

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf build dist docs/_build
	@if [ -e "$(MADE)" ]; then echo "rm -rf $(VENV)"; rm -rf "$(VENV)"; \
	elif [ -e "$(VENV)" ]; then echo "$(VENV) stays: make did not create it."; fi

$(VENV)/bin/python:
	@if [ ! -e "$(VENV)" ]; then mkdir -p "$(VENV)" && touch "$(MADE)"; fi
	$(PYTHON) -m venv $(VENV)

# An environment that another folder's project is installed in would run that one's code, or, after
# an installation, this one's wherever that was expected.
.PHONY: ours replace
ours: $(VENV)/bin/python
	@there=$$($(BIN)/python -m pip show palimpsest-bench 2>/dev/null \
	| sed -n 's/^Editable project location: //p'); \
	if [ -n "$$there" ] && [ -d "$$there" ] && [ ! "$$there" -ef . ]; then \
	if [ -n "$(REPLACE)" ]; then echo "$(VENV) had palimpsest-bench of $$there until now."; \
	else echo "$(VENV) has palimpsest-bench of $$there, which that of $(CURDIR) would replace:" \
	"name another environment (VENV=PATH), or say REPLACE=1." >&2; exit 1; fi; fi

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt $(if $(REPLACE),replace) | ours
	@echo "Installing into $(VENV). Where PyTorch has to be downloaded, this takes some minutes and some"
	@echo "6 GB, most of it for GPUs. README.md, section Install, says how to use a smaller build."
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@
