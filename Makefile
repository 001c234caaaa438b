# Each target makes what it needs. On a fresh machine: python3 (3.11 or newer) with pip and venv, and make.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -c constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)
SIMGLUCOSE := simglucose==0.2.11
PAMS := pams==0.3.0
ICU_SEPSIS := icu-sepsis==2.0.1
CODE := $(wildcard src tests benchmarks examples)

.DELETE_ON_ERROR:
.PHONY: demo test lint format clean help

help:
	@echo 'make demo    install, then simulate, fit, evaluate and write demo/report.html'
	@echo 'make test    install, then lint and run every test'
	@echo 'make lint    ruff and pyright'
	@echo 'make format  rewrite the code in the house style'

demo: $(VENV)/.demo
	$(BIN)/foreworld demo

# The numerics are checked at one thread a process: the same bits everywhere, and no threads fighting for cores.
test: export OMP_NUM_THREADS = 1
test: lint
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/.test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

format: $(VENV)/.test
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf $(VENV)

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  f"foreworld needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and by its exact version: asked for by a range, pip may take another, much larger build.
$(VENV)/.torch: constraints.txt $(VENV)/.made
	$(PIP) $(TORCH)
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	$(PIP) -e '.[demo]'
	$(PIP) --no-deps $(SIMGLUCOSE)
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.torch
	$(PIP) -e '.[test]'
	$(PIP) --no-deps $(SIMGLUCOSE) $(PAMS) $(ICU_SEPSIS)
	@touch $@
