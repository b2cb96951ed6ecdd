# Two commands for a fresh machine (Linux, Python 3.11+, make):
#
#   make fid     set up, train on the built-in digits, print the table
#   make test    set up, run the tests
#
# `make help` lists every target. Settings, each optional:
#   PYTHON=python3.12       the interpreter that the virtual environment is made with
#   USE_ENV=/path/to/env    use this environment as it is; nothing is installed
#   CPU_TORCH_INDEX=URL     take torch's smaller CPU build from this package index (see README)
#   VERBOSE=--verbose       let `make fid` show all that Snakemake says
#   CORES=2                 cores that Snakemake may use (default: all)
#   BENCH=FILE.json         where `make bench` writes all times (default: bench.json)

PYTHON ?= python3
CORES ?= all
VENV := .venv
SCRATCH ?= .smoke
BENCH ?= bench.json

ifdef USE_ENV
BIN := $(USE_ENV)/bin
READY :=
else
BIN := $(VENV)/bin
READY := $(VENV)/.ready
endif

export PATH := $(abspath $(BIN)):$(PATH)

# Three processes, because the longest waits for Slurm; a file's tests stay together, and a process
# that dies ends the tests.
PYTEST := python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.PHONY: help fid test test-unit test-integration lint smoke digits digits-ablations cats bench docs golden lock

help: ## this list
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

fid: $(READY) ## train on the built-in digits, print the table
	@PYTHONPATH=. snakemake results/tables/fid.csv --cores $(CORES) --logger fpa $(VERBOSE)
	@echo
	@echo "Next:"
	@echo "  snakemake --cores $(CORES)           all tables and figures, and results/report.html, to be opened in a browser"
	@echo "  python -m fpa sample --help       images of a model that was trained"
	@echo "  README.md, \"Your own images\"     the same on photographs of yours"

test: $(READY) ## all tests
	$(PYTEST)

test-unit: $(READY) ## quick tests, of one module at a time
	$(PYTEST) tests/unit -m 'not slow'

test-integration: $(READY) ## whole ways: the workflow, several processes, Slurm, the installed package
	$(PYTEST) tests/integration

lint: $(READY) ## style, formatting, the workflow's rules, imports between layers, types
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	lint-imports --no-logo
	mypy

smoke: $(READY) ## every rule with a tiny budget, in a folder of its own
	rm -rf $(SCRATCH)
	mkdir -p $(SCRATCH)
	snakemake --cores $(CORES) --directory $(SCRATCH) --configfile experiments/smoke.yaml

digits: $(READY) ## tables, figures and page of the kept results on digits, without training
	python -m fpa unpack results/published/digits/bundle.tar.gz --into results/digits-seeds
	python -m fpa report results/digits-seeds

digits-ablations: $(READY) ## the same of the kept ablations on digits
	python -m fpa unpack results/published/digits-ablations/bundle.tar.gz --into results/digits-ablations
	python -m fpa report results/digits-ablations

cats: $(READY) ## the same of the kept cats: photographs at 32 px, painted
	python -m fpa unpack results/published/cats/bundle.tar.gz --into results/cats
	python -m fpa report results/cats

bench: $(READY) ## times of every stage, against plain forms and the arithmetic limit
	python benchmarks --out $(BENCH)

docs: $(READY) ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

$(VENV)/.ready: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Python 3.11 or newer is needed, found {v[0]}.{v[1]}; name one as in: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (once; a few minutes and about 6 GB, less with CPU_TORCH_INDEX)"
	$(PYTHON) -m venv $(VENV)
ifdef CPU_TORCH_INDEX
	grep -vE '^(nvidia-|cuda-|triton=)' requirements.lock > $(VENV)/requirements-cpu.txt
	PIP_EXTRA_INDEX_URL=$(CPU_TORCH_INDEX) $(VENV)/bin/python -m pip install --quiet --progress-bar on -r $(VENV)/requirements-cpu.txt
else
	$(VENV)/bin/python -m pip install --quiet --progress-bar on -r requirements.lock
endif
	touch $@

golden: $(READY) ## write anew what tests/unit/test_golden.py compares with, after a version was raised
	PYTHONPATH=.:tests python tests/unit/test_golden.py

lock: ## pin what pyproject.toml asks for, for every Python from 3.11 on (needs uv)
	uv pip compile --universal --python-version 3.11 --extra dev --no-emit-index-url \
		--no-annotate --no-header pyproject.toml -o requirements.lock
	sed -i '1i # Everything that is installed, pinned. Made from pyproject.toml by `make lock`.' requirements.lock
