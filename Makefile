PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run check test coverage coverage-run coverage-report test-long bench lint format update clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Serve on http://127.0.0.1:8000, with the embedded store unless REDIS_URL is set
	@exec $(BIN)/python -m otp_gateway.dev

check: lint ## Check style, types, layers, and all tests that start no other program
	$(BIN)/python -m pytest -q -n 3 --dist worksteal -m "not program and not long"

test: $(VENV)/.dev ## Run every test that ends in seconds
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not long"

coverage: coverage-run coverage-report ## Run the same tests, and compare what they cover in all processes with the floor

coverage-run: $(VENV)/.dev
	@$(BIN)/coverage erase
	COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml COVERAGE_FILE=$(CURDIR)/.coverage $(MAKE) test

coverage-report: $(VENV)/.dev
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-long: $(VENV)/.dev ## Run the tests that take minutes, and show their figures; SOAK_SECONDS sets the soak's length
	SEARCHES=whole $(BIN)/python -m pytest -n 2 --dist loadfile -raP -m "long or search"

bench: $(VENV)/.dev ## Measure what a request costs, next to a bare Flask route; takes some minutes
	$(BIN)/python -m benchmarks

lint: $(VENV)/.dev ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# "fewest": a package has the same version for each Python from 3.11.0 on. So the tests on one Python check the versions
# that the others install. Each file is complete; -c gives all files the same versions.
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --annotation-style line --custom-compile-command "make update"

update: $(VENV)/.dev ## Compile requirements*.txt anew from pyproject.toml, with the newest releases
	$(COMPILE) -o requirements.txt
	$(COMPILE) -o requirements-sentry.txt -c requirements.txt --extra sentry
	$(COMPILE) -o requirements-dev.txt -c requirements-sentry.txt --extra sentry --group dev

clean: ## Remove what make has installed
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 run")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(BIN)/python
	@echo "Installing the gateway's libraries into $(VENV); this takes about half a minute, once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(BIN)/python
	@echo "Installing the libraries of the tests into $(VENV); this takes about a minute, once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/.run
