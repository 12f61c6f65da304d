# The two commands: `make run` and `make test`. Everything else is a convenience.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The reference that our LVIS AP is tested against; alone, since it would put opencv-python over opencv-python-headless.
REFERENCE := lvis==0.5.3

.PHONY: run test slow faults real images ui lint env clean

run: env  ## run every stale stage, then print the scores
	$(BIN)/arrcoc run

test: env  ## the quick tests, the smoke preset end to end included
	$(BIN)/python -m pytest

slow: env  ## the longer tests
	$(BIN)/python -m pytest -m slow

faults: env  ## kill a run at random moments, 56 times over 8 rounds (half an hour), and print the counts
	ARRCOC_FAULT_ROUNDS=8 $(BIN)/python -m pytest -m slow tests/faults

real: env  ## every stage on models and pictures of real size, without a download (the better part of an hour, 10 GB)
	$(BIN)/python -m pytest -m real -s tests/real

images: env  ## build and start both images, and run the smoke preset in one (half an hour, as root, 50 GB of disk)
	$(BIN)/python -m pytest -m "slow or real" -s tests/deploy/test_images.py

ui: env  ## the Dagster and MLflow pages on 127.0.0.1
	$(BIN)/arrcoc ui

lint: env  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

env: $(STAMP)  ## the environment, exact versions from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the environment (about 5 minutes the first time) ..."
	@$(BIN)/python -m pip install -qq --upgrade pip setuptools wheel
	@$(BIN)/python -m pip install -qq --requirement requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps $(REFERENCE)
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m ml.bench.compile
	@touch $@

clean:  ## remove what the line made, never the environment
	rm -rf data/* data/.keys data/.resume data/.ablation data/.served mlflow/mlflow.db mlflow/artifacts
	rm -rf .dagster/storage .dagster/history .dagster/schedules .dagster/pictures
