# Everything here works on a machine that has only Python 3.11 or newer: each target sets itself up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup test test-long lint browser clocks vendor demo coverage audit chaos chaos-cluster matrix matrix-kafka simulate bench bench-compare lock clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The generator of clients has a folder of its own: it asks for an older typer than the meter has, and needs none here.
GENERATOR := tests/generated/requirements.lock

$(STAMP): requirements.lock pyproject.toml $(GENERATOR)
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/generator -r $(GENERATOR)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

setup: $(STAMP) ## Install the pinned packages into .venv

lint: setup ## ruff (lint and format) and mypy --strict, over tests and bench as well
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

browser: setup
	$(BIN)/python -m tests.browser.chromium

clocks: setup
	$(BIN)/python -m tests.machine.clock

vendor: setup ## Fetch the console's libraries anew, at the versions that are pinned (needs npm)
	$(BIN)/python -m tests.browser.vendor

test: lint browser clocks ## All checks and tests, on real Kafka; pytest's closing line comes last
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder

test-long: lint browser clocks ## The tests that `make test` leaves out: further seeds, widths, nodes and stores
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder -m long

QUICK := tests/unit tests/properties tests/simulation tests/golden tests/recount

demo: setup ## Kafka, two workers, a day of traffic, a SIGKILL, bills, and the proof that nothing was lost
	$(BIN)/meter demo

coverage: setup ## Which lines and branches the tests that need no Kafka reach, of subprocesses too (TESTS="tests/unit ...")
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder $(or $(TESTS),$(QUICK)); \
	  code=$$?; $(BIN)/python -m coverage combine --quiet && $(BIN)/python -m coverage report && exit $$code

# Only who asks for it has the auditor, in an environment of its own.
AUDITOR := tests/audit/requirements.lock

audit: setup ## Look up the known faults of every pinned package (needs the network)
	test -x $(VENV)/auditor/bin/python || $(PYTHON) -m venv $(VENV)/auditor
	$(VENV)/auditor/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(AUDITOR)
	@$(BIN)/python -m tests.audit $(VENV)/auditor/bin/python

chaos: setup ## The long chaos run: 1,000,000 records, kills, freezes, a broker restart (SEED=n FAULT=skip|double|ghost|tear)
	$(BIN)/python -m tests.chaos --long $(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT))
	$(if $(FAULT),,$(BIN)/python -m tests.chaos --long --days $(if $(SEED),--seed $(SEED)))

chaos-cluster: setup ## The same on three brokers: every kind of fault, some 40 minutes (SEED=n FAULT=skip|double|ghost|tear)
	$(BIN)/python -m tests.chaos --cluster --long $(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT))

matrix: setup ## The tests that need no Kafka, on every Python from 3.11 to 3.14 that is found here (PYTHONS="3.12 3.13")
	$(BIN)/python -m tests.matrix.pythons $(PYTHONS)

matrix-kafka: setup ## The decisive tests on every Kafka from 3.9 to the newest, some 20 minutes (KAFKAS="3.9.2 4.4.0")
	$(BIN)/python -m tests.matrix.kafkas $(KAFKAS)

simulate: setup ## Replay one seeded simulation of a partition (SEED=n)
	$(BIN)/python -m tests.simulation --seed $(or $(SEED),1)

bench-compare: setup ## This tree beside the last commit or another, in two minutes (REV=commit)
	$(BIN)/python -m bench.compare $(REV)

bench: setup ## Throughput, delay, settlement, recovery and memory, side by side with other programs
	$(BIN)/python -m bench

lock: ## Pin the newest versions that pyproject.toml allows (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	  --extra broker --extra http --extra parquet --group dev --custom-compile-command 'make lock' --upgrade pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	  --extra http --extra parquet --constraint requirements.lock --custom-compile-command 'make lock' pyproject.toml -o requirements-run.lock
	echo 'hatchling>=1.27' | uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	  --constraint requirements.lock --custom-compile-command 'make lock' - -o requirements-build.lock
	echo 'pip-audit>=2.10,<3' | uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	  --constraint requirements.lock --custom-compile-command 'make lock' - -o $(AUDITOR)

clean: ## Remove what make made
	rm -rf $(VENV) .matrix .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
