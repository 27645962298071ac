# Everything that is done with this repository. Needs git, make and Python 3.11; all else is made
# inside the clone (.venv, .venv-demo, .tools, .demo), or installed by apt-get where it says so.

ifndef PYTHON
PYTHON := $(shell command -v python3.11 || command -v python3)
endif
BIN := .venv/bin
# `make demo` alone gets a small environment, unless the one for development is there already.
OTHER_GOALS := $(filter-out demo demo-open example-filetype,$(MAKECMDGOALS))
DEMO := $(if $(wildcard .venv/.installed)$(OTHER_GOALS),.venv,.venv-demo)
TOOLS := .tools
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
LOCKED := client gateway metrics console all demo dev
LOCK = uv pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade \
	--custom-compile-command "make locks"
FAST := $(wildcard tests/unit tests/reference tests/architecture)
# Triton's wheel exists for this system only; elsewhere the demo runs its model in process.
TRITON := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),$(TOOLS)/triton.installed)
KAFKA_JARS := $(TOOLS)/kafka.installed

export UV_PYTHON_DOWNLOADS := never
# Nothing is written outside the clone, not even what package managers keep.
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PATH := $(CURDIR)/$(BIN):$(PATH)

# $(call need,test command,what it is,Debian packages): installs what the test does not find.
need = { { $(1); } >/dev/null 2>&1 || { \
	command -v apt-get >/dev/null || { echo "$(2): not installed; install it, then run make again"; exit 1; }; \
	echo "installing $(2): apt-get install $(3)"; \
	$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(3) >/dev/null; }; }

# $(call environment,folder,lock): a virtual environment with exactly what the lock names.
environment = \
	echo "making $(1) from requirements/$(2).txt" && \
	$(call need,$(PYTHON) -c 'import ensurepip',Python's venv,python3-venv) && \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")' && \
	$(PYTHON) -m venv $(1) && \
	$(1)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt && \
	$(1)/bin/uv pip install -q --python $(1)/bin/python --require-hashes -r requirements/$(2).txt && \
	$(1)/bin/uv pip install -q --python $(1)/bin/python --no-deps --no-build-isolation -e . && \
	touch $(1)/.installed

.PHONY: help setup tools check protos protos-release locks test test-fast demo demo-open example-filetype bench simulate soak clean
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "make %-16s %s\n", $$1, $$2 }'

setup: .venv/.installed ## make .venv with everything for development (instant when it is current)

.venv/.installed: requirements/bootstrap.txt requirements/dev.txt
	@$(call environment,.venv,dev)

.venv-demo/.installed: requirements/bootstrap.txt requirements/demo.txt
	@$(call environment,.venv-demo,demo)

tools: java prometheus chromium $(KAFKA_JARS) $(TRITON) $(TOOLS)/magika.installed ## install the real components that tests run against

.PHONY: java prometheus chromium
java:
	@$(call need,command -v java && command -v mvn,Java and Maven,default-jre-headless maven)
prometheus:
	@$(call need,command -v prometheus && command -v promtool,Prometheus,prometheus)
chromium:
	@$(call need,command -v chromium || command -v chromium-browser || command -v google-chrome,Chromium,chromium fonts-liberation)
	@$(call need,$(PYTHON) -c 'import ctypes; ctypes.CDLL("libatomic.so.1")',a library of Playwright's driver,libatomic1)

$(KAFKA_JARS): services/leadline/testing/servers/kafka.py | $(DEMO)/.installed java
	@echo "fetching Kafka's jars by Maven into $(TOOLS)/kafka"
	@$(DEMO)/bin/python -c 'from pathlib import Path; from leadline.testing.servers.kafka import fetch_jars; fetch_jars(Path("$(TOOLS)/kafka"))'
	@touch $@

$(TOOLS)/triton.installed: requirements/triton-server.txt requirements/triton.txt | $(DEMO)/.installed
	@echo "unpacking Triton and making its models' environment in $(TOOLS)"
	@rm -rf $(TOOLS)/triton $(TOOLS)/triton-python
	@$(call need,$(PYTHON) -c 'import ctypes$(comma) sys; ctypes.CDLL("libpython%d.%d.so.1.0" % sys.version_info[:2])',Python's shared library,libpython3.11) || \
		echo "Triton cannot run without it; the demo answers in process then"
	@$(DEMO)/bin/uv venv -q --python $(DEMO)/bin/python $(TOOLS)/triton-python
	@$(DEMO)/bin/uv pip install -q --python $(TOOLS)/triton-python/bin/python --require-hashes -r requirements/triton.txt
	@$(DEMO)/bin/uv pip install -q --python $(TOOLS)/triton-python/bin/python --target $(TOOLS)/triton --no-deps --require-hashes -r requirements/triton-server.txt
	@touch $@

$(TOOLS)/magika.installed: requirements/magika.txt | $(DEMO)/.installed
	@echo "unpacking the model of file types in $(TOOLS)/magika"
	@rm -rf $(TOOLS)/magika
	@$(DEMO)/bin/uv pip install -q --python $(DEMO)/bin/python --target $(TOOLS)/magika --no-deps --require-hashes -r requirements/magika.txt
	@touch $@

comma := ,

check: setup ## style, types, import contracts, protos, generated files
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	buf lint
	buf breaking --against protos/released.binpb
	@for generator in $(wildcard */generate.py); do \
		echo "python $$generator --check"; python $$generator --check || exit 1; done

protos: setup ## generate the Python stubs of protos/ again
	python protos/generate.py

protos-release: setup ## make today's protos what `make check` allows no breaking change against
	buf build --exclude-source-info -o protos/released.binpb

locks: setup ## resolve every lock in requirements/ again
	@for extra in $(LOCKED); do \
		echo "requirements/$$extra.txt"; \
		$(LOCK) --extra $$extra pyproject.toml -o requirements/$$extra.txt || exit 1; done
	@for name in bootstrap triton; do \
		echo "requirements/$$name.txt"; \
		$(LOCK) requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@for name in triton-server magika; do \
		$(LOCK) --no-deps requirements/$$name.in -o requirements/$$name.txt || exit 1; done

test: setup tools check ## everything: setup, tools, check, then every test
	pytest

test-fast: setup ## the tests that start no server
	pytest $(FAST)

DEMO_OPTIONS = $(if $(DURATION),--duration $(DURATION)) $(if $(filter 1,$(KAFKA)),--kafka) $(if $(filter 1,$(POSTGRES)),--postgres) $(if $(PORT),--port $(PORT))

demo: $(DEMO)/.installed $(TRITON) $(if $(filter 1,$(KAFKA)),$(KAFKA_JARS)) ## run everything on this machine (DURATION=seconds KAFKA=1 POSTGRES=1 PORT=8430)
	$(DEMO)/bin/python -m leadline.demo $(DEMO_OPTIONS)

demo-open: DEMO_OPTIONS += --open
demo-open: demo ## show the data of the last demo again

EXAMPLE_OPTIONS = $(if $(ROOT),$(addprefix --root ,$(ROOT))) $(if $(FILES),--files $(FILES)) $(if $(filter 1,$(KEEP)),--keep) $(if $(filter 1,$(KAFKA)),--kafka) $(if $(filter 1,$(POSTGRES)),--postgres) $(if $(PORT),--port $(PORT))

example-filetype: $(DEMO)/.installed $(TRITON) $(TOOLS)/magika.installed $(if $(filter 1,$(KAFKA)),$(KAFKA_JARS)) ## a real model of 214 classes on the files of this machine (ROOT="/usr /etc" FILES=4000 KEEP=1 KAFKA=1)
	$(DEMO)/bin/python -m leadline.demo.filetype $(EXAMPLE_OPTIONS)

bench: setup tools $(TOOLS)/quix.installed $(TOOLS)/classification.installed ## measure against the stated targets (SCENARIOS="fold freshness")
	python -m load_tests $(SCENARIOS)

QUIX := 3.28.1
$(TOOLS)/quix.installed: | $(DEMO)/.installed
	@echo "making the environment of the peer Quix Streams $(QUIX) in $(TOOLS)/quix"
	@$(DEMO)/bin/uv venv -q --clear --python $(DEMO)/bin/python $(TOOLS)/quix
	@$(DEMO)/bin/uv pip install -q --python $(TOOLS)/quix/bin/python quixstreams==$(QUIX)
	@touch $@

$(TOOLS)/classification.installed: | $(DEMO)/.installed
	@echo "making the environment of scikit-learn, TorchMetrics and River in $(TOOLS)/classification (5 GB)"
	@$(DEMO)/bin/uv venv -q --clear --python $(DEMO)/bin/python $(TOOLS)/classification
	@$(DEMO)/bin/uv pip install -q --python $(TOOLS)/classification/bin/python scikit-learn==1.9.1 torchmetrics==1.9.0 river==0.26.1
	@touch $@

SEEDS ?= 0:20000
SIMULATE_OPTIONS = --seeds $(SEEDS) $(if $(JOBS),--jobs $(JOBS)) $(if $(CONTROL),--control "$(CONTROL)")

simulate: .venv/.installed ## play simulated schedules against the oracle (SEEDS=0:20000 JOBS=2 CONTROL=name)
	PYTHONPATH=tests:tests/support python -m simulation --cover $(SIMULATE_OPTIONS)

SOAK_OPTIONS = --rounds $(or $(ROUNDS),100) $(if $(SEED),--seed $(SEED))

soak: .venv/.installed java $(KAFKA_JARS) ## kill and cut owners, broker and database for ROUNDS=100 rounds, then compare every cell (SEED=1)
	PYTHONPATH=tests:tests/support python -m soak $(SOAK_OPTIONS)

clean: ## remove all that make has made
	rm -rf .venv .venv-demo $(TOOLS) .demo .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
