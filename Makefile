# Every target installs what it needs into .venv first; nothing outside this folder is touched.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check

.PHONY: help demo test verify verify-images interleavings grind hostile kills mutants lint types fresh elf-check bench clean

help:
	@echo 'make demo       a tour of what this kernel does, in under a minute'
	@echo 'make test       the tests'
	@echo 'make verify     everything re-created at every point of every program, in some twenty minutes'
	@echo 'make interleavings    small programs on 1, 2 and 4 harts, in many orders, in some minutes'
	@echo 'make verify-images  images of every program, each restored in another kernel, in some twenty minutes'
	@echo 'make grind      two million random hostile calls on the kernel, in some minutes'
	@echo 'make hostile    damaged programs and images, forged states, 100,000 of each, in some twenty minutes'
	@echo 'make kills      two hundred runs killed at random moments, which go on from their images, in some minutes'
	@echo 'make mutants    how many small changes of the kernel the tests notice, in a quarter of an hour'
	@echo 'make lint types fresh elf-check    style, types, generated files, built programs'
	@echo 'make bench      the tables of measurements'
	@echo 'make clean      remove .venv and everything built'

demo: $(VENV)/demo.stamp
	@$(RUN) -m fluke_async demo

test: $(VENV)/dev.stamp
	$(RUN) -m pytest --numprocesses auto --dist worksteal

verify: $(VENV)/dev.stamp
	$(RUN) -m fluke_async verify --all --points all --instructions 10000 --report tests/verify/verification.md
	$(RUN) -m tests.verify.planted_page tests/verify/verification.md
	cat tests/verify/mutants.md >>tests/verify/verification.md

verify-images: $(VENV)/dev.stamp
	$(RUN) -m fluke_async verify --image --all --points 12 --report tests/verify/images.md

interleavings: $(VENV)/dev.stamp
	$(RUN) -m fluke_async.verify.interleavings
	$(RUN) -m tests.verify.explored_worlds

grind: $(VENV)/demo.stamp
	$(RUN) -m fluke_async.verify.grind --calls 350000
	$(RUN) -m fluke_async.verify.grind --again --calls 50000

hostile: $(VENV)/demo.stamp
	$(RUN) -m fluke_async.verify.hostile_files --count 100000
	$(RUN) -m fluke_async.verify.hostile_images --count 100000
	$(RUN) -m fluke_async.verify.hostile_states --count 6000
	$(RUN) -m fluke_async.verify_images.hostile_restores --count 1000

kills: $(VENV)/dev.stamp
	$(RUN) -m tests.cli.kills --kills 200

mutants: $(VENV)/dev.stamp
	$(RUN) -m tests.verify.mutants

lint: $(VENV)/dev.stamp
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check

types: $(VENV)/dev.stamp
	$(RUN) -m mypy

fresh: $(VENV)/dev.stamp
	$(RUN) -m fluke_async.abi.c_header --check
	$(RUN) -m fluke_async.abi.pages --check
	$(RUN) -m fluke_async.verify.stages --check

elf-check: $(VENV)/sdk.stamp
	$(RUN) -m fluke_async.toolchain --rebuild --check
	$(RUN) -m pytest -m sdk

bench: $(VENV)/bench.stamp
	$(RUN) -m fluke_async.bench

clean:
	rm -rf $(VENV) dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp stands for one set of extras, installed for the pyproject.toml of that moment.

$(VENV)/demo.stamp: EXTRAS := cli,uvloop
$(VENV)/dev.stamp: EXTRAS := dev
$(VENV)/sdk.stamp: EXTRAS := dev,sdk
$(VENV)/bench.stamp: EXTRAS := cli,uvloop,bench

$(VENV)/%.stamp: pyproject.toml | $(VENV)/bin/python
	@echo 'installing fluke_async[$(EXTRAS)] into $(VENV)'
	@$(PIP) install --editable '.[$(EXTRAS)]'
	@touch $@

# Some systems ship Python without ensurepip: there, the pip that is installed brings one in.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python %d.%d is too old: 3.11 or newer is needed; name one as in make PYTHON=python3.12" \
		% sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(RUN) --quiet install pip; }
