# `make` or `make help` lists the targets. Each one installs what it lacks and says so.
.DEFAULT_GOAL := help
.PHONY: help setup check format test fuzz interop demo lab bench docs image audit lock clean

PY := .venv/bin/python
# What these measure or hunt would suffer from a second lab on the same cores.
ALONE := $(patsubst %,tests/lab/test_%.py,failover bgp_failover controller_kill migration upgrade)
# Their promises (0 of 1 000 connections a second, never two owners for 0.5 s) are what they ask without these;
# a machine that others use as well gets room, so that a failure tells of us and not of them.
ROOM := MERCURYLB_LOAD_RATE=300 MERCURYLB_TWO_OWNERS_S=2

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: ## make .venv with everything; the programs are in .venv/bin afterwards
	@scripts/setup

check: setup ## the fast part: format, lint, types, import rules, unit, property, simulation smoke
	@$(PY) scripts/check.py

format: setup ## rewrite the sources as the formatter wants them
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix-only .

test: setup ## everything: check, then the real cluster tests on the lab (needs root)
	@$(PY) scripts/check.py
	@$(PY) -m pytest -q -n2 --dist=worksteal -m whole tests/sim
	@$(PY) -m lab prepare
	@$(PY) -m lab prepare --profile full --frr
	@$(PY) -m tests.interop.bgp
	@$(PY) -m pytest -n2 --dist=loadfile --no-loadscope-reorder tests/shell tests/interop tests/lab --ignore=tests/interop/bgp $(ALONE:%=--ignore=%)
	@$(ROOM) $(PY) -m pytest $(ALONE)

fuzz: setup ## coverage-guided garbage for every decoder, one minute each; SECONDS= and TARGETS= narrow it
	@$(PY) -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(TARGETS)

interop: setup ## real routers against our announcer, as a table of capabilities (needs root)
	@$(PY) -m tests.interop.bgp

demo: setup ## the walk-through on a lab of real Kubernetes nodes (needs root); BGP=1 adds its step 10
	@$(PY) -m lab prepare --profile full
	@$(PY) -m lab demo $(if $(BGP),--bgp)

lab: setup ## bring a lab up, keep it, and print how to use it (needs root)
	@$(PY) -m lab prepare --profile full
	@$(PY) -m lab up --profile full

bench: setup ## speed and memory, as a table and as JSON (needs root); CONTROLLER= and SPEAKER= name a second pair
	@$(PY) -m lab prepare
	@$(PY) -m bench $(if $(CONTROLLER),--original-controller $(CONTROLLER)) $(if $(SPEAKER),--original-speaker $(SPEAKER))

docs: setup ## check the documents and build them as a site, in build/site; the changelog's draft
	@$(PY) -m pytest -q tests/tidy
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	@echo "docs: the site is in build/site; begin with build/site/index.html"
	@.venv/bin/towncrier build --draft --version next

image: setup ## the container image without an image builder, with bill of materials and provenance; TWICE=1 proves it reproducible
	@$(PY) -m lab image $(if $(TWICE),--twice)

audit: setup ## known faults of the locked dependencies, from the package index
	@scripts/audit

lock: setup ## compute the lock files anew from pyproject.toml
	@scripts/lock

clean: ## remove .venv and every cache inside the tree (the build cache outside stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
