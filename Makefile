# Two commands are all a new machine needs: `make serve` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .venv-audit
AUDIT_BIN := $(AUDIT)/bin
PACK ?= opencv-sface
FLOORS := requirements/floors.txt
LOCKS := cpu gpu
# Each lock holds for every Python and platform that the service runs on, with the digests of all files of a version.
# LOCK_OPTIONS=--upgrade takes the newest versions; without it a lock keeps what it has.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-strip-extras --no-emit-index-url --constraint $(FLOORS) --custom-compile-command 'make lock' $(LOCK_OPTIONS)
# Of each parser in `make fuzz`.
FUZZ_RUNS ?= 150000
FUZZ_SECONDS ?= 120
SYSTEMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-manylinux_2_35 macos x86_64-apple-darwin \
	x86_64-unknown-linux-musl
UV ?= $(AUDIT_BIN)/uv
SEMGREP = $(AUDIT_BIN)/semgrep scan --quiet --error --metrics off --disable-version-check
# It would warn that a lock does not say who asked for what.
SBOM = $(AUDIT_BIN)/python -W ignore::UserWarning -m cyclonedx_py
PIP_AUDIT = $(AUDIT_BIN)/pip-audit --strict --disable-pip --progress-spinner off

.PHONY: help install serve test cluster-test chaos fuzz lint docs bench bench-check wheel dist lock platforms sbom audit audit-code audit-dependencies clean
.DEFAULT_GOAL := help

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

$(BIN)/python:
	@echo "==> creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(FLOORS) | $(BIN)/python
	@echo "==> installing coreface[cpu]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(FLOORS) --editable '.[cpu]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(FLOORS) | $(BIN)/python
	@echo "==> installing coreface[cpu,video,train,test] (PyTorch included: a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(FLOORS) --editable '.[cpu,video,train,test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-fuzz: pyproject.toml $(FLOORS) $(VENV)/.installed-test
	@echo "==> installing coreface[fuzz]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(FLOORS) --editable '.[fuzz]'
	@touch $@

$(AUDIT)/.installed: requirements/audit.txt
	@echo "==> installing the audit tools"
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT_BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt
	@touch $@

install: $(VENV)/.installed  ## Create .venv, install the service and its default pack.
	@$(BIN)/coreface packs install $(PACK)

serve: install  ## Start the service on http://127.0.0.1:8000.
	@exec $(BIN)/coreface serve

test: $(VENV)/.installed-test  ## Run every test.
	@$(BIN)/coreface packs install $(PACK)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --ignore tests/resilience
	@# Alone: what is measured under load and with time-outs would be measured beside other tests otherwise.
	@$(BIN)/python -m pytest tests/resilience

cluster-test: $(VENV)/.installed-test  ## Run the tests of several processes behind HAProxy alone (haproxy, redis-server).
	@$(BIN)/coreface packs install $(PACK)
	@$(BIN)/python -m pytest tests/cluster

chaos: $(VENV)/.installed-test  ## Run the tests of faults in their long versions, alone on the machine: about half an hour.
	@$(BIN)/coreface packs install $(PACK)
	@$(BIN)/python -m pytest tests/resilience --long

fuzz: $(VENV)/.installed-fuzz  ## Fuzz the parsers and the API for half an hour (Linux); findings go to build/fuzzing.
	@OPENCV_LOG_LEVEL=OFF $(BIN)/python -m tests.fuzzing --runs $(FUZZ_RUNS) --seconds $(FUZZ_SECONDS)
	@$(BIN)/python -m pytest tests/fuzzing --long

lint: $(VENV)/.installed-test  ## Lint, format, types and import rules.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/.installed-test  ## Build the documentation into build/site; a broken link or a page without a place fails.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --config-file .mkdocs/mkdocs.yml
	@echo "build/site/index.html"

bench: install  ## Print the service's own figures on this machine (IMAGES=DIR).
	@$(BIN)/coreface bench --images "$(or $(IMAGES),$(error name a folder with ten pictures of a face: make bench IMAGES=DIR))"

bench-check: $(VENV)/.installed-test  ## Compare speed with the kept ratios and instruction counts (IMAGES=DIR; valgrind).
	@$(BIN)/coreface packs install $(PACK)
	@$(BIN)/python -m benchmarks.check --images "$(or $(IMAGES),$(error name a folder with pictures of faces: make bench-check IMAGES=DIR))"

wheel: $(AUDIT)/.installed  ## Build the wheel of the last commit into dist/, the same bytes wherever it is built.
	@rm -rf build/source && mkdir -p build/source dist
	@git archive HEAD | tar -x -C build/source
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(UV) build --quiet --wheel --no-create-gitignore --require-hashes \
		--build-constraint requirements/build.txt --out-dir dist build/source
	@sha256sum dist/*.whl

dist: wheel  ## The wheel, and the source of the last commit as an sdist.
	@$(UV) build --quiet --sdist --no-create-gitignore --require-hashes --build-constraint requirements/build.txt \
		--out-dir dist build/source
	@sha256sum dist/*.tar.gz

lock: $(AUDIT)/.installed  ## Write the lock files requirements/*.txt again (LOCK_OPTIONS=--upgrade for newer versions).
	@$(COMPILE) --extra cpu --extra video --output-file requirements/cpu.txt pyproject.toml
	@$(COMPILE) --extra gpu --extra video --output-file requirements/gpu.txt pyproject.toml requirements/gpu.in
	@$(COMPILE) --output-file requirements/build.txt requirements/build.in
	@$(COMPILE) --output-file requirements/audit.txt requirements/audit.in

platforms: $(AUDIT)/.installed  ## For which systems everything has a wheel (docs/platforms.md).
	@for system in $(SYSTEMS); do for python in 3.11 3.12 3.13; do for extra in cpu gpu; do \
		MACOSX_DEPLOYMENT_TARGET=14.0 $(UV) pip compile --quiet --only-binary :all: --python-platform $$system --python-version $$python --extra $$extra \
			--extra video --constraint $(FLOORS) pyproject.toml >/dev/null 2>&1 && said=yes || said=no; \
		echo "$$system, Python $$python, $$extra: $$said"; done; done; done

sbom: $(AUDIT)/.installed  ## Write the bills of materials of the locks, dist/coreface-*.cdx.json (CycloneDX).
	@mkdir -p dist
	@for lock in $(LOCKS); do $(SBOM) requirements --pyproject pyproject.toml --mc-type application \
		--of JSON --output-reproducible --output-file dist/coreface-$$lock.cdx.json requirements/$$lock.txt; done

audit: audit-code audit-dependencies  ## Look for flaws in the code, and for published ones in what it stands on.

audit-code: $(AUDIT)/.installed $(VENV)/.installed-test  ## bandit, semgrep with our own rules, and the tests of these rules.
	@$(AUDIT_BIN)/bandit --quiet --recursive --configfile pyproject.toml service models docker
	@$(SEMGREP) --config .semgrep/rules.yaml service models docker
	@PATH="$(CURDIR)/$(AUDIT_BIN):$$PATH" $(BIN)/python -m pytest -q tests/supply_chain

# The database of published flaws must know the one of the control: else it is not there, and has nothing to say.
audit-dependencies: $(AUDIT)/.installed  ## pip-audit over the locks; fails where the database of flaws cannot be reached.
	@mkdir -p build && echo 'jinja2==2.11.2' > build/control.txt
	@$(PIP_AUDIT) --no-deps -r build/control.txt 2>&1 | grep -q '^Found .* known vulnerabilit' || { \
		echo 'pip-audit does not find the flaws of jinja2 2.11.2: its database is out of reach, nothing was audited.'; exit 1; }
	@for lock in $(LOCKS); do $(PIP_AUDIT) --require-hashes -r requirements/$$lock.txt || exit 1; done

clean:  ## Remove what was built here (not the state directory).
	@rm -rf $(VENV) $(AUDIT) build dist artefacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
