# Two commands for a fresh machine (Linux, Python 3.11+, make):
#
#   make fid     set up, train on the built-in digits, print the table
#   make test    set up, run the tests
#
# Settings, each optional:
#   PYTHON=python3.12       the interpreter that the virtual environment is made with
#   USE_ENV=/path/to/env    use this environment as it is; nothing is installed
#   CPU_TORCH_INDEX=URL     take torch's smaller CPU build from this package index (see README)
#   CORES=2                 cores that Snakemake may use (default: all)

PYTHON ?= python3
CORES ?= all
VENV := .venv
SCRATCH ?= .smoke

ifdef USE_ENV
BIN := $(USE_ENV)/bin
READY :=
else
BIN := $(VENV)/bin
READY := $(VENV)/.ready
endif

export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: fid test lint smoke lock help

fid: $(READY)
	snakemake --cores $(CORES) results/tables/fid.csv

test: $(READY)
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

# Every rule with a tiny budget, in a folder of its own.
smoke: $(READY)
	rm -rf $(SCRATCH)
	mkdir -p $(SCRATCH)
	snakemake --cores $(CORES) --directory $(SCRATCH) --configfile experiments/smoke.yaml

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^Every rule/,$$d'

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

# Pins what pyproject.toml asks for, for every Python from 3.11 on (needs uv).
lock:
	uv pip compile --universal --python-version 3.11 --extra dev --no-emit-index-url \
		--no-annotate --no-header pyproject.toml -o requirements.lock
	sed -i '1i # Everything that is installed, pinned. Made from pyproject.toml by `make lock`.' requirements.lock
