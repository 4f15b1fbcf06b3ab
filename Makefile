# `make test` in a fresh clone sets everything up and runs the tests; `make` alone says what else there is.
#
#   PYTHON=/path/to/python3.11   which Python to make .venv with (3.11 or newer)
#   TORCH_INDEX=<url>            an index that pip asks too, such as PyTorch's own for wheels without CUDA
#   PIP_ARGS='...'               anything else for `pip install`
#   PYTEST_ARGS='...'            anything else for `pytest`

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test lint demo clean

help:
	@echo "make setup   make $(VENV) and install ecoNAS with what its tests need"
	@echo "make test    run the tests"
	@echo "make lint    ruff and mypy"
	@echo "make demo    search small networks on digits, report, and export the knee of the front to demo/"
	@echo "make clean   remove caches and demo/; $(VENV) stays"

setup: $(STAMP)

# A python on the PATH may be a shim without a Python behind it, or lack venv: each is tried before it is taken.
$(BIN)/python:
	@for python in $(PYTHONS); do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "making $(VENV) with $$python ($$($$python --version))"; \
			exec $$python -m venv $(VENV); \
		fi; \
	done; \
	echo "no Python 3.11 or newer with venv (tried: $(PYTHONS)); install one, or say where: make PYTHON=/path/to/python" >&2; \
	exit 1

# The stamp is renewed when pyproject.toml changes, so that new dependencies arrive by themselves.
$(STAMP): pyproject.toml | $(BIN)/python
	@echo "installing ecoNAS and what its tests need into $(VENV): some minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(PIP_ARGS) -e '.[dev]'
	@touch $@

# Quick tests two at a time, each on one core; those that meter real time, or start processes of their own, one after
# another.
test: $(STAMP)
ifdef PYTEST_ARGS
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not slow and not long"
	$(BIN)/python -m pytest -m "slow and not long"
endif

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(STAMP)
	rm -rf demo/run demo/knee
	$(BIN)/econas search experiments/digits.yaml --run-dir demo/run
	$(BIN)/econas export demo/run knee --out demo/knee
	$(BIN)/econas front demo/run --objectives accuracy,macs
	@echo
	@$(BIN)/econas report demo/run

clean:
	rm -rf demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find ecoNAS tests -name __pycache__ -type d -prune -exec rm -rf {} +
