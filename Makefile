# What a newcomer needs: `make demo` and `make test`. Both set the machine up first; setting up twice costs nothing.
.DELETE_ON_ERROR:
.PHONY: setup setup-test demo test check unit datasets lock clean

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

setup: .stamps/system .stamps/venv .stamps/kafka .stamps/broker .stamps/detectors
setup-test: setup .stamps/system-test .stamps/timescale .stamps/clients

.stamps/system: setup.sh
	@./setup.sh system
.stamps/system-test: setup.sh
	@./setup.sh system-test
.stamps/venv: requirements-dev.lock pyproject.toml | .stamps/system
	@./setup.sh venv
.stamps/kafka: kafka-jars/pom.xml kafka-jars/SHA256SUMS | .stamps/system
	@./setup.sh kafka
.stamps/broker: cityvigil/log_in_names.c | .stamps/system
	@./setup.sh broker

.stamps/detectors: $(wildcard detectors/*.py) | .stamps/venv
	@./setup.sh detectors

.stamps/timescale: tests/timescale/package.json tests/timescale/package-lock.json | .stamps/system-test
	@./setup.sh timescale

.stamps/clients: $(wildcard tests/clients/*.lock) | .stamps/venv
	@./setup.sh clients

demo: setup
	@$(BIN)/cityvigil demo

# A file's tests stay together, as they share services; files are taken in order, the long ones stand first.
WORKERS ?= 2
test: setup-test
	@$(PYTEST) -m "not datasets" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

unit: .stamps/venv
	@$(PYTEST) -m "not integration and not acceptance and not browser and not datasets" $(ARGS)

datasets: setup
	@test -n "$$CITYVIGIL_DATASETS" || { echo "make datasets: set CITYVIGIL_DATASETS to the folder of labelled data" >&2; exit 2; }
	@$(PYTEST) -m datasets $(ARGS)

check: .stamps/venv
	@echo "ruff format";  $(BIN)/ruff format --check -q . || { echo "run: $(BIN)/ruff format ." >&2; exit 1; }
	@echo "ruff";         $(BIN)/ruff check -q .
	@echo "mypy";         $(BIN)/mypy --no-error-summary
	@echo "lint-imports"; $(BIN)/lint-imports --no-logo > .stamps/lint-imports.log 2>&1 || { cat .stamps/lint-imports.log; exit 1; }

# Needs uv (`pip install uv`), which only those who change dependencies want; the lock files name no registry.
UV ?= uv
COMPILE := $(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock:
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --group dev pyproject.toml -o requirements-dev.lock
	$(COMPILE) --group pyproject.toml:build -o requirements-build.lock
	$(COMPILE) --group pyproject.toml:client-build -o tests/clients/build.lock
	$(COMPILE) --group pyproject.toml:sparkplug-client -o tests/clients/sparkplug.lock
	$(COMPILE) --group pyproject.toml:thingsboard-client -o tests/clients/thingsboard.lock

clean:
	rm -rf .stamps .venv .venv-clients .kafka .mosquitto tests/timescale/node_modules
