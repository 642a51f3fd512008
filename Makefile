# Two commands: `make demo` and `make test`. Both make a virtual environment first.
# On a machine without a GPU whose package index serves a CUDA build of torch by default, name the build you want:
#   make demo TORCH="torch==2.13.0" PIP_FLAGS="--index-url ..."   (see pytorch.org for the address of CPU builds)

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
BIN     = $(VENV)/bin
# torch first and pinned: a range would let the newest CUDA build in
SETUP   = $(VENV)/.installed
JOBS   ?= 2

.PHONY: demo test fuzz chaos audit lint types docs bench clean

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(SETUP)

demo: $(SETUP)  ## set up, then train the demo model to reason better
	$(BIN)/sharpen train grpo

test: $(SETUP) lint types  ## set up, then check everything
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term

FUZZ ?= 20000
fuzz: $(SETUP)  ## many random inputs for every verifier, parser and reader, others each time (`make fuzz FUZZ=2000` for fewer)
	SHARPEN_FUZZ=$(FUZZ) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) tests/fuzz

audit: $(SETUP)  ## known vulnerabilities of the pinned versions; asks PyPI, so it needs a network
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.7,<3"
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

lint: $(SETUP)
	$(BIN)/ruff check src tests benchmarks docs examples
	$(BIN)/ruff format --check src tests benchmarks docs examples

types: $(SETUP)
	$(BIN)/mypy

docs: $(SETUP)  ## the documentation site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(SETUP)  ## the benchmarks, into benchmarks/RESULTS.md (next to TRL where `pip install -e .[bench]` was)
	cd benchmarks && for b in grpo real growth updates curves sampling search ahead view checks results; do ../$(BIN)/python $$b.py || exit 1; done

chaos: export PYTHONPATH := tests:tests/chaos
chaos: export OMP_NUM_THREADS := 1
chaos: $(SETUP)  ## kill runs wherever they touch the disk, real ones at $SHARPEN_KILLS (50) moments; look for leaks
	$(BIN)/python tests/chaos/sweep.py $$(mktemp -d)
	$(BIN)/python tests/chaos/drive.py
	$(BIN)/python benchmarks/leak.py

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .coverage
