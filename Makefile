# No preparation: `make test` sets up everything it needs.
# Needed beforehand: make, Python 3.11 or newer, and pip. Everything else goes into .venv.

.DEFAULT_GOAL := help
.PHONY: help demo test check drill faults coverage clean moved

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
# Real products for the drills, and the list of them.
PRODUCTS := tests/drills/products.txt
FETCHED  := $(VENV)/products/.fetched
# Another interpreter than the first good one on PATH: make test PYTHON=/path/to/python3.12
PYTHON ?=
# More for pytest: make test ARGS="-k verdict"
ARGS ?=
# 0 runs the tests in one process. Most of them wait for other processes most of the time.
WORKERS ?= 4
# What `make coverage` finds out.
TRACES := $(VENV)/traces
# The harness of faults does every SAMPLE-th case.
SAMPLE ?= 1
# Real products start and stop in a drill.
DRILL_TIMEOUT ?= 600

# Where it is set, every start of the program would compile all of it anew: 0.3 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## a cluster of your own on loopback, to try everything on
	@$(BIN)/liftlock demo

test: $(READY) ## run the ordinary test suite
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

check: $(READY) ## lint, formatting, types
	@status=0; \
	$(BIN)/python -m ruff check . || status=1; \
	$(BIN)/python -m ruff format --check . || status=1; \
	$(BIN)/python -m mypy || status=1; \
	exit $$status

drill: $(READY) $(FETCHED) ## run the fault sweeps, and the drills with real products and servers (slow)
	@$(BIN)/python -m pytest -q -m 'drill or faults' -n $(WORKERS) --timeout $(DRILL_TIMEOUT) $(ARGS)

faults: $(READY) ## break the updater at every call: one table; SAMPLE=16 for every 16th case
	@$(BIN)/python -m tests.faults --sample $(SAMPLE) $(ARGS)

# The tests run the updater from its files, and each process of it writes down which lines it ran.
# Compiled beforehand: an updater writes no bytecode itself, and would compile all of them each time.
coverage: $(READY) ## lines and branches of a transaction's code that no test runs; exit 1 unless none
	@rm -rf $(TRACES); mkdir -p $(TRACES); $(BIN)/python -m compileall -q backends/node; \
	export COVERAGE_PROCESS_START='$(CURDIR)/tests/coverage.ini' COVERAGE_FILE='$(CURDIR)/$(TRACES)/data'; \
	traced='$(BIN)/python -m pytest -q -p tests.support.traced -n $(WORKERS) --timeout $(DRILL_TIMEOUT)'; \
	$$traced -m 'drill or not drill' tests/node tests/faults --deselect tests/node/test_wire.py && \
	$$traced -m drill tests/machines && \
	$(BIN)/python -m tests.faults --sample 24 --only error && \
	$(BIN)/python -m coverage combine -q --rcfile=tests/coverage.ini $(TRACES) && \
	$(BIN)/python -m coverage report --rcfile=tests/coverage.ini

clean: ## remove .venv and everything that tools have left
	@rm -rf $(VENV) build dist liftlock.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis htmlcov
	@rm -f .coverage .coverage.*
	@find app widgets backends tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ----------------------------------------------------------------------------

# An environment knows its own path: one that was moved or copied with the folder is made anew.
ifneq ($(wildcard $(READY)),)
ifneq ($(shell cat $(READY)),$(CURDIR))
$(READY): moved
endif
endif

# Defines `pip` for .venv: its own, else that of the Python it is made with.
FIND_PIP = \
	made_with=$${python:-$$($(BIN)/python -c 'import sys; print(sys._base_executable)')}; \
	if $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		pip() { $(BIN)/python -m pip --disable-pip-version-check "$$@"; }; \
	elif "$$made_with" -m pip --python $(BIN)/python --version >/dev/null 2>&1; then \
		pip() { "$$made_with" -m pip --disable-pip-version-check --python $(BIN)/python "$$@"; }; \
	else \
		echo "$$made_with has neither ensurepip nor a pip of version 22.3 or newer;" \
			'on Debian: apt install python3-venv, or python3-pip' >&2; \
		rm -rf $(VENV); exit 1; \
	fi

# 1. the first Python that is new enough   2. .venv, kept when it works; where there is no ensurepip,
# without pip of its own   3. the pinned packages and this folder, editable.
$(READY): pyproject.toml constraints.txt
	@python=''; \
	for each in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
		if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python="$$each"; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'Liftlock needs Python 3.11 or newer. Here, python3 is' \
			"$$(python3 --version 2>/dev/null || echo missing), and there is no python3.11 to python3.14 on PATH." >&2; \
		echo 'Install one, or name it: make PYTHON=/path/to/python3.11' >&2; \
		exit 1; \
	fi; \
	if [ -e $(READY) ] && [ "$$(cat $(READY))" != '$(CURDIR)' ]; then rm -rf $(VENV); fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "making $(VENV) with $$("$$python" --version)"; \
		rm -rf $(VENV); \
		"$$python" -m venv $(VENV) >/dev/null 2>&1 || { \
			rm -rf $(VENV); \
			"$$python" -m venv --without-pip $(VENV); \
		} || { echo "$$python cannot make an environment; on Debian: apt install python3-venv" >&2; exit 1; }; \
	fi; \
	$(FIND_PIP); \
	echo "installing into $(VENV)"; \
	rm -f $(READY); \
	pip install -q -c constraints.txt 'setuptools>=77' && \
	pip install -q -c constraints.txt --no-build-isolation -e '.[test]' && \
	printf '%s\n' '$(CURDIR)' > $(READY)

# Exact versions, each in a folder of its own: two of one product do not fit into one environment.
# What cannot be fetched is tried again next time, and the drills that need it fail until then.
$(FETCHED): $(PRODUCTS) | $(READY)
	@$(FIND_PIP); \
	all=yes; \
	for each in $$(grep -v '^#' $(PRODUCTS)); do \
		folder="$(VENV)/products/$${each%==*}-$${each#*==}"; \
		if [ -e "$$folder" ]; then continue; fi; \
		echo "fetching $$each"; rm -rf "$$folder.part"; \
		pip install -q --no-deps --only-binary :all: --target "$$folder.part" "$$each" && \
			mv "$$folder.part" "$$folder" || { rm -rf "$$folder.part"; all=no; }; \
	done; \
	if [ $$all = yes ]; then touch $@; fi
