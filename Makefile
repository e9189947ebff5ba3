# `make compare` and `make test` need Python >= 3.11 and nothing else: they set up .venv on first use and are safe to repeat.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: compare test check clean

compare: $(INSTALLED)  ## the whole comparison on synthetic faces, from video to a report
	$(BIN)/spikeva compare configs/quick.yaml --out runs/quick

test: $(INSTALLED)  ## the tests
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(INSTALLED)  ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "spikeva needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[all,dev]"
	@touch $@

clean:
	rm -rf .venv runs .mypy_cache .ruff_cache .pytest_cache
