# Two commands matter: `make demo` and `make test`. Both create .venv and install what they need.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-slow lint bench clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "graphkit needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: $(VENV)/.installed  ## install, and train on the embedded digits graph; no data is downloaded
	$(BIN)/graphkit train digits --json runs/demo/record.json --picture runs/demo/curve.png

test: $(VENV)/.installed-test  ## install, and run the whole test suite; make test WORKERS=0 for one process
	$(BIN)/python -m pytest -q -n $(WORKERS)

test-slow: $(VENV)/.installed-test  ## the longer studies: numbers from the literature
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.installed-test  ## ruff, mypy and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-test  ## graphkit beside its peers, in one run
	$(BIN)/graphkit bench

clean:  ## remove the environment and what runs left behind
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
