# make quickstart: from nothing to a trained, scored, used recogniser.   make test: the tests, in minutes.
# make test-all: those that take longer: whole commands, the wheel, real speech, a browser.   make soak: hours of use.
PYTHON ?= python3
# Without it every process would compile torch anew, where a machine has it set.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
# What was installed last: done again when what is asked for changes.
STAMP := $(VENV)/.installed

.PHONY: quickstart test test-all soak lint install clean

quickstart: install
	$(BIN)/asr quickstart

PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
LONG := slow or integration or real or browser

test: install
	$(PYTEST) -m "not ($(LONG))"

test-all: install
	$(PYTEST) -m "$(LONG)"

# Minutes of each part.
MINUTES ?= 60

soak: install
	$(BIN)/python tests/fuzz.py --minutes $(MINUTES)
	$(BIN)/python tests/soak.py --minutes $(MINUTES)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 10) <= sys.version_info < (3, 14); sys.exit(0 if ok else \
	"Python 3.10 to 3.13 is needed, this is %d.%d: name one with `make PYTHON=python3.12`" % sys.version_info[:2])'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --constraint constraints.txt --editable '.[dev,phones]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info
