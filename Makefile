# The project's commands. Everything is installed into .venv from the lock files; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
# uv where it is there (seconds), pip where it is not (a minute); both check every hash. Compiled bytecode makes each
# flow run start about 9 seconds sooner.
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
  VENV = $(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
  INSTALL = $(UV) pip install --quiet --python .venv
  COMPILE = --compile-bytecode
else
  VENV = $(PYTHON) -m venv .venv
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
  COMPILE = --compile
endif
# A lock file names everything that is needed, so nothing is resolved: pip before 23.3, which Python 3.11 and 3.12 bring,
# would look for a newer SQLAlchemy because Prefect wants sqlalchemy[asyncio] and the lock says sqlalchemy.
FROM_LOCK = $(INSTALL) $(COMPILE) --no-deps --require-hashes -r $<
export UV_PYTHON_DOWNLOADS = never

.PHONY: help up test coverage drill chaos bench check lint types lock clean purge
help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: .venv/installed  ## Run the whole pipeline on this machine until Ctrl-C; OPTIONS="--port 4300" for other ports
	@exec $(BIN)/vibecheck up $(OPTIONS)

# With bytecode written: hundreds of processes import the project, and each would compile it again.
test: .venv/installed-dev  ## Run every test, on SQLite and PostgreSQL
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

# Apart from `make test`, whose time has no room for tracing. Tests end to end run what they test in processes of its own.
coverage: .venv/installed-dev  ## Say how many lines and branches no test reaches; fail below the floor
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --ignore tests/end_to_end
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

drill:  ## Break docker-compose.yml in every way; ITEMS="up scale" for some of them
	$(PYTHON) -m tests.drill $(ITEMS)

chaos: .venv/installed-dev  ## Kill, stop and cut off everything for five minutes; SEED=7 MINUTES=60 for others
	$(BIN)/python -m tests.chaos

BENCH = storing whole_poll fetching hostile matching polling log_cost retention accounts jobs answers run_starts \
  starting_up
bench: .venv/installed-dev  ## Run every benchmark, which takes about two hours; BENCH="storing jobs" for some of them
	@for name in $(BENCH); do \
	  echo "== $$name"; PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false $(BIN)/python -m benchmarks.$$name || exit; done

check: lint types  ## Lint, layers and types

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: .venv/installed-dev
	$(BIN)/basedpyright --pythonpath $(BIN)/python

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; '$(PYTHON)' is another. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into .venv from $< ..."
	@$(VENV)
	@$(FROM_LOCK)
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	@echo "Installing into .venv from $< ..."
	@$(FROM_LOCK)
	@touch $@

# Versions and hashes only: a lock that records download addresses would tie everybody to one index.
# cryptography differs in the development lock: the official AskNews SDK, a development dependency, caps it.
COMPILE_LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
  --python-version 3.11 pyproject.toml
lock: .venv/installed-dev  ## Make both lock files anew from pyproject.toml
	$(COMPILE_LOCK) --upgrade --group build -o requirements.lock
	sed -n '/^cryptography/d; /^[a-zA-Z]/s/ *\\$$//p' requirements.lock > .venv/constraints.txt
	$(COMPILE_LOCK) --upgrade --group dev --constraint .venv/constraints.txt -o requirements-dev.lock

clean:  ## Remove the environment; what `make up` has stored stays
	rm -rf .venv

purge:  ## Remove what `make up` has stored as well, after a question
	@printf 'Remove %s/.vibecheck: the databases, the logs and the password of `make up`? [y/N] ' "$$PWD"; \
	  read -r answer; case "$$answer" in [yY]*) rm -rf .vibecheck; echo Removed. ;; *) echo Kept. ;; esac
