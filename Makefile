# Everything a person does with this repository. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := libs/contracts libs/common libs/text libs/scoring libs/inbound services/ingest services/rules services/ai services/results services/standalone
DEV_MEMBERS := $(MEMBERS) libs/testing
SERVICES := ingest rules ai results
PROJECTS := $(DEV_MEMBERS:%=%/pyproject.toml)
EDITABLE := --quiet --no-deps --no-build-isolation
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	$(foreach member,contracts common text scoring inbound ingest rules ai results standalone testing,--no-emit-package leadline-$(member))
LOCKS := requirements.lock requirements-dev.lock $(SERVICES:%=services/%/requirements.lock)
# $(call LOCK_SERVICE,SERVICE,FOLDER) locks what one service needs, with all its extras, in the versions of requirements.lock.
# What comes in by the pipe tells uv that our own libraries are folders here.
LOCK_SERVICE = printf 'leadline-%s @ ./libs/%s\n' $(foreach lib,contracts common text scoring inbound,$(lib) $(lib)) | $(LOCK) --all-extras -c requirements.lock -c /dev/stdin \
	services/$(1)/pyproject.toml -o $(2)services/$(1)/requirements.lock

.DEFAULT_GOAL := help
.PHONY: help demo run run-services up down logs servers model-server test test-all check lint types lock lock-check manifests bench clean

help: ## List what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.installed ## Score the example prospects and show them ranked (no key, no server)
	@LEADLINE_AI=offline $(BIN)/leadline score examples/leads.csv --offer examples/offer.json

run: $(VENV)/.installed ## Serve all of Leadline on http://127.0.0.1:8000
	@$(BIN)/leadline serve

run-services: $(VENV)/.installed-dev ## Run the four services behind one address, over RabbitMQ and MongoDB found or started
	@$(BIN)/python -m leadline_testing.run_services

up: ## Build and start all of it in containers on this machine (needs Docker and a filled-in .env)
	@test -f .env || { echo "There is no .env yet: run 'cp .env.example .env' and fill it in as it says."; exit 1; }
	@for name in $$(sed -n 's/^\([A-Z_]*\)=$$/\1/p' .env.example); do grep -Eq "^$$name=[A-Za-z0-9,_-]{32,}$$" .env || { failed=1; \
		echo ".env: $$name needs 32 or more letters, digits, - or _: see .env.example."; }; done; test -z "$$failed"
	@LEADLINE_REVISION=$$(git describe --always --dirty 2>/dev/null) docker compose up --build --detach --wait || { docker compose ps --all; \
		echo "Not all of it came up: above is how each container is; 'make logs ARGS=NAME' shows what one says."; exit 1; }
	@# They read a changed configuration when told to. Not by 'compose kill', which would end their restarting.
	@for name in gateway prometheus; do docker compose exec -T $$name sh -c 'kill -HUP 1'; done
	@echo "Leadline is at http://127.0.0.1:8000, Grafana at http://127.0.0.1:3000 (user admin), Prometheus at http://127.0.0.1:9090."

down: ## Stop the containers; what they hold stays in their volumes
	@docker compose down

logs: ## Follow the containers' logs (ARGS=ai for one of them)
	@docker compose logs --follow --tail 100 $(ARGS)

servers: $(VENV)/.installed-dev ## Find or start RabbitMQ and MongoDB and print their addresses
	@$(BIN)/python -m leadline_testing.servers

model-server: $(VENV)/.installed-dev ## Start a local server that speaks the providers' APIs, well or badly (ARGS=--help)
	@$(BIN)/python -m leadline_testing.model_server $(ARGS)

test: $(VENV)/.installed-dev ## Run the tests but the slow ones (servers are started, or it is said why tests are skipped)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: $(VENV)/.installed-dev ## Run all tests, with outages, kill -9, stops at any moment, memory limits and deployment
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: lint types lock-check ## Lint, types, and whether the lock files are up to date

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy $(DEV_MEMBERS:%=%/src) $(wildcard $(DEV_MEMBERS:%=%/tests)) tests deploy examples

manifests: $(VENV)/.installed-dev ## Write anew what is made from code: routes of gateways, alerts, dashboards, OpenAPI
	$(BIN)/python -m deploy.render

bench: $(VENV)/.installed-dev ## Measure the pipeline against the floor of its broker and store
	$(BIN)/python -m tests.bench

lock: $(VENV)/.installed-dev ## Resolve the dependencies anew
	$(LOCK) --upgrade requirements.in -o requirements.lock
	$(LOCK) --upgrade requirements.in requirements-dev.in -c requirements.lock -o requirements-dev.lock
	$(foreach service,$(SERVICES),$(call LOCK_SERVICE,$(service),) &&) true

lock-check: $(VENV)/.installed-dev
	@mkdir -p build $(SERVICES:%=build/services/%)
	@$(foreach lock,$(LOCKS),cp $(lock) build/$(lock) &&) true
	@$(LOCK) requirements.in -o build/requirements.lock
	@$(LOCK) requirements.in requirements-dev.in -c requirements.lock -o build/requirements-dev.lock
	@$(foreach service,$(SERVICES),$(call LOCK_SERVICE,$(service),build/) &&) true
	@$(foreach lock,$(LOCKS),cmp $(lock) build/$(lock) &&) true \
		|| { echo "The lock files do not fit the members' dependencies: run 'make lock'."; exit 1; }

clean: ## Remove the virtual environment and everything that was built
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Leadline needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python requirements.lock $(MEMBERS:%=%/pyproject.toml)
	@echo "Installing Leadline into $(VENV) ..."
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements.lock
	@$(PIP) install $(EDITABLE) $(MEMBERS:%=-e %)
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python requirements-dev.lock $(PROJECTS)
	@echo "Installing Leadline and its test tools into $(VENV) ..."
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements-dev.lock
	@$(PIP) install $(EDITABLE) $(DEV_MEMBERS:%=-e %)
	@touch $@ $(VENV)/.installed
