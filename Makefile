# Everything that a person or CI runs. `make` alone lists it.
# A fresh machine needs Python 3.11 or later and make; the rest is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults test-faults-long test-docker gate format lint types seeds mutants fuzz-http fuzz-frames fuzz-paths clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

setup: $(VENV)/.ready ## install everything into .venv

demo: setup ## five real nodes, real files, a partition and its healing
	$(BIN)/kvgossip demo

test: setup ## the test suite (below five minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-faults: setup ## faults on real processes (root; strace, iptables, iproute2, faketime), about 5 minutes
	$(BIN)/python -m pytest -m faults -rs --durations=10 tests/faults

test-docker: setup ## the cluster in containers (root; docker, docker-compose, debootstrap), about 7 minutes
	PIP="$(CURDIR)/$(BIN)/python -m pip" $(BIN)/python -m pytest -m docker -rs --durations=10 tests/docker

test-faults-long: setup ## SIGKILL at each of 200 write system calls, 200 flipped bits; about 25 minutes
	$(BIN)/python -m pytest -m faults_long -rs tests/faults

gate: setup format lint types ## what a commit must pass besides the tests

format:
	$(BIN)/ruff format --check .

lint:
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

seeds: setup ## long seeds that once failed, and a hundred more
	$(BIN)/python -m pytest -m seeds_long tests/sim
	$(BIN)/kvgossip sim check --first 1000 --seeds 100 -j 2

mutants: setup ## prove that the checkers can fail; writes docs/MUTANTS.md
	$(BIN)/kvgossip sim mutants

fuzz-http: setup ## twenty minutes of requests drawn from the OpenAPI document
	$(BIN)/python -m tests.api.fuzzing --seconds 1200

fuzz-frames: setup ## twenty minutes of frames from a peer that holds the secret and lies
	$(BIN)/python -m tests.faults.frame_fuzzing --seconds 1200

fuzz-paths: setup ## twenty minutes of streams to the short path of the API and to the long one
	$(BIN)/python -m tests.api.two_paths --seconds 1200

clean: ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
