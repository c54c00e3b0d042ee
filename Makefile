# Everything here sets up what it needs by itself, and is quick the second time.
#
#   PYTHON=python3.12   the interpreter for .venv (default: the first one that is 3.11 or newer)
#   ARGS="..."          more arguments: make test ARGS="-k mail", make up ARGS=-d
#   WORKERS=3           so many processes run the tests, a file at a time each (default: three for two cores, as tests
#                       wait for processes half of the time; 0: one, which a debugger needs)

.DEFAULT_GOAL := help
.PHONY: help up test lint format bench soak clean

BIN := .venv/bin
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))
export PYTHON

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## start the cluster of cluster.toml, with its dashboard, in the foreground
	@scripts/setup.sh run
	@$(BIN)/luabus-cluster up $(ARGS)

test: ## install what the tests need, and run all of them
	@scripts/setup.sh dev
	@scripts/packages.sh test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: ## ruff and mypy --strict
	@scripts/setup.sh dev
	@status=0; for tool in "ruff check" "ruff format --check" "mypy --strict"; do \
		echo "$$tool"; $(BIN)/$$tool || status=1; done; exit $$status

format: ## let ruff put the code in order
	@scripts/setup.sh dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: ## measure throughput and round trips, beside other buses
	@scripts/setup.sh bench
	@scripts/packages.sh bench
	@$(BIN)/python -m benchmarks $(ARGS)

soak: ## the long runs that `make test` leaves out
	@scripts/setup.sh dev
	@scripts/packages.sh test
	@$(BIN)/python -m pytest -m soak $(ARGS)

clean: ## remove .venv, caches and build output; a running cluster is stopped first
	@if [ -x $(BIN)/luabus-cluster ]; then $(BIN)/luabus-cluster down >/dev/null 2>&1 || true; fi
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
