# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint format bench clean

## demo: install what it needs, map a virtual soil on the real Earth, judge the map
demo: $(VENV)/.demo
	$(BIN)/edaphos demo --out runs/demo

## test: install what is missing and run the tests, a file per process at a time
test: $(VENV)/.test
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

## lint: style and types, as the gate checks them
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## bench: every benchmark, beside its peer
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "edaphos needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints.txt
	@echo "Installing edaphos and the covariates of the demo (about 600 MB) ..."
	$(PIP) -e ".[demo]"
	@touch $@

$(VENV)/.test: $(VENV)/.venv pyproject.toml constraints.txt
	@echo "Installing edaphos and what its tests need ..."
	$(PIP) -e ".[test]"
	@touch $@

$(VENV)/.bench: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) -e ".[bench]"
	@touch $@

$(VENV)/.dev: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) -e ".[dev]"
	@touch $(VENV)/.demo $(VENV)/.test $@  # it holds what these install

clean:
	rm -rf $(VENV) runs build *.egg-info
