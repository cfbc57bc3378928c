# Two commands are all a new machine needs: `make serve` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACK ?= opencv-sface

.PHONY: help install serve test cluster-test chaos lint bench clean
.DEFAULT_GOAL := help

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

$(BIN)/python:
	@echo "==> creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "==> installing coreface[cpu]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "==> installing coreface[cpu,video,train,test] (PyTorch included: a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu,video,train,test]'
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed  ## Create .venv, install the service and its default pack.
	@$(BIN)/coreface packs install $(PACK)

serve: install  ## Start the service on http://127.0.0.1:8000.
	@exec $(BIN)/coreface serve

test: $(VENV)/.installed-test  ## Run every test.
	@$(BIN)/coreface packs install $(PACK)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

cluster-test: $(VENV)/.installed-test  ## Run the tests of several processes behind HAProxy alone (haproxy, redis-server).
	@$(BIN)/coreface packs install $(PACK)
	@$(BIN)/python -m pytest tests/cluster

chaos: $(VENV)/.installed-test  ## Run the tests of faults in their long versions, alone on the machine: about half an hour.
	@$(BIN)/coreface packs install $(PACK)
	@$(BIN)/python -m pytest tests/resilience --long

lint: $(VENV)/.installed-test  ## Lint, format, types and import rules.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install  ## Print the service's own figures on this machine (IMAGES=DIR).
	@$(BIN)/coreface bench --images "$(or $(IMAGES),$(error name a folder with ten pictures of a face: make bench IMAGES=DIR))"

clean:  ## Remove what was built here (not the state directory).
	@rm -rf $(VENV) build dist artefacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
