# Every target explains itself: `make help`. What a target needs it sets up first, and only when it is missing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
WORKERS ?= 2

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## system packages (apt, only what is missing) and .venv; enough to run Nakagin
	@tools/setup run

setup-test: ## setup, and what the tests need besides: docker's CLI, runc, nft, docker-py
	@tools/setup test

demo: setup ## an nginx container: built, limited, isolated, published; each step is explained
	@tools/demo

demo-clean: ## takes the demo away again: container, image, engine
	@tools/demo clean

test: setup-test ## everything a change must pass: lint, unit tests, black-box tests (as root)
	@tools/test "$(BIN)" "$(WORKERS)" $(TESTS)

lint: setup-test ## ruff, formatter, mypy --strict, import floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup-test ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: ## Nakagin and dockerd side by side, as root; QUICK=1 for a look, ONLY=exec,ps for a part
	@tools/setup bench
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

clients: setup-test ## clients and servers of others: testcontainers, python-on-whales, dockerode, PostgreSQL, Redis
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[clients]"
	@NAKAGIN_CLIENTS=1 $(BIN)/python -m pytest -q -n 0 --timeout 3600 tests/clients

projects: setup-test ## real projects with their own tools: init, build, an answer; a base image once; some 20 minutes
	@test -e /var/tmp/nakagin-test-projects/base.tar || $(BIN)/python -m tests.building.projects
	@$(BIN)/python -m pytest -q -n 0 --timeout 3600 --projects tests/building/test_projects.py tests/init/test_projects.py

chaos: setup-test ## 300 random kill -9 of the engine, then nothing may be left; ROUNDS=n for another number
	@$(BIN)/python -m pytest -q -n 0 --timeout 3600 --chaos-rounds $(or $(ROUNDS),300) tests/spine/test_chaos.py

clean: ## removes .venv and every cache of the tools
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup setup-test demo demo-clean test lint format bench clients projects chaos clean
