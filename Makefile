# Needs Python 3.11 or newer and make, on Linux or macOS. Every target installs what it needs, once.

PYTHON ?= python3
REVISION ?= head

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# A virtual environment breaks when it is moved or copied, so its stamp files are named after its directory.
HERE := $(shell pwd -P | cksum | cut -d' ' -f1)
VENV := .venv/.made-$(HERE)
RUNTIME := .venv/.runtime-$(HERE)
DEV := .venv/.dev-$(HERE)

.PHONY: help run test check lint format migrate migration bench lock clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

run: $(RUNTIME) ## serve on PORT (default 3000), with an embedded database unless DATABASE_URL is set
	@$(BIN)/saas serve

test: lint ## run what `check` runs and all other tests
	$(BIN)/python -m pytest

check: lint ## check formatting, lint, types and imports, and run the unit tests, in under a minute
	$(BIN)/python -m pytest tests/unit

lint: $(DEV)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## let ruff fix what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

migrate: $(RUNTIME) ## bring the database to REVISION (default head; base, -1 or an id go back)
	@$(BIN)/saas migrate $(REVISION)

migration: $(DEV) ## write the next migration from the changes in tables.py (NAME="what it does")
	@test -n "$(NAME)" || { echo 'Say what it does: make migration NAME="add teams"' >&2; exit 1; }
	@$(BIN)/python migrations/new.py "$(NAME)"
	@$(BIN)/ruff format --quiet migrations
	@$(BIN)/ruff check --quiet --fix migrations

bench: $(DEV) ## measure the live channel, see docs/performance.md
	@$(BIN)/python -m benchmarks.live

lock: ## write the lock files again from pyproject.toml (the only target that needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: install it, for example with 'pip install uv'." >&2; exit 1; }
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock

LOCK := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
	--custom-compile-command "make lock"

clean: ## remove everything that make created, except the data in .data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
	find src tests migrations -type d -name __pycache__ -prune -exec rm -rf {} +

$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not that. Install one and say: make PYTHON=python3.12" >&2; \
		exit 1; }
	@echo "Creating .venv ..."
	@$(PYTHON) -m venv --clear .venv
	@touch $@

# Wheels only: building from source would fetch build tools that no lock file pins.
$(RUNTIME): $(VENV) requirements.lock pyproject.toml
	@echo "Installing what the service needs (requirements.lock) ..."
	@$(PIP) install --quiet --require-hashes --no-deps --only-binary :all: -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.lock
	@echo "Installing what its developers need (requirements-dev.lock) ..."
	@$(PIP) install --quiet --require-hashes --no-deps --only-binary :all: -r requirements-dev.lock
	@touch $@
