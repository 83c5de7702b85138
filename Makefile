# `make demo` and `make test` set up all that they need in .venv; Python 3.11 or newer and make are enough.
PYTHON ?= python3
DATASET ?= pbmc10k
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint docs bench quality paper peers clean
# two pips at once would spoil .venv
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.venv/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("clipdim needs Python 3.11 or newer, this is " \
		+ sys.version.split()[0] + "; name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	@# torch first and by itself, so that nothing else chooses its version
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --editable .
	@touch $@

.venv/.%: .venv/.base
	$(PIP) --editable '.[$*]'
	@touch $@

demo: .venv/.base ## fit, measure and plot a data set: DATASET=pbmc10k, bmcite or simulated
	$(BIN)/python tutorials/demo.py $(DATASET)

lint: .venv/.test ## style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## the tests, without the slow ones, a process for each core
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: .venv/.test ## the slow tests, on real data when it can be had
	$(BIN)/python -m pytest -m slow

docs: .venv/.doc ## build the documentation in docs/_build/html, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -d docs/_build/doctrees docs docs/_build/html

bench: .venv/.bench ## time the parts, as ratios
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest benchmarks/speed --import-mode=prepend --benchmark-only --benchmark-quiet -q -s --durations=0

quality: .venv/.base ## the table of held-out quality on real data, three seeds
	$(BIN)/python -m benchmarks.quality

paper: .venv/.base ## the paper's experiments, figures and table in docs/paper; QUICK=1: small ones, in docs/paper/quick
	$(BIN)/python -m benchmarks.paper $(if $(QUICK),--quick)

peers: .venv/.peers ## clipdim beside totalVI, MOFA+, WNN and others; QUICK=1: few cells, to see that it runs; JOBS=2: two fits at a time
	$(BIN)/python -m benchmarks.peers $(if $(QUICK),--quick) $(if $(JOBS),--jobs $(JOBS))

clean: ## remove what the other targets made
	rm -rf .venv demo docs/_build docs/api/generated docs/tutorials docs/paper/cache docs/paper/quick dist
