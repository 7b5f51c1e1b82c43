# Chores, one name each. `make demo` and `make test` do all the set-up on a clean machine with Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

# mutation testing: `make mutants ONLY=core/granu/plugins`; MORE passes options of tests/mutation.py
ONLY ?= core/granu
MORE ?=

.PHONY: demo test check docs mutants

demo: .venv/.demo
	$(BIN)/granu eval --perturb stylegan:z --perturb 'stylegan:layer*' --perturb stylegan:image \
	    --classifier zoo:mnist-cnn --classifier zoo:mnist-cnn-l2 --count 50 --out $(DEMO)
	$(BIN)/granu report $(DEMO) --figure $(DEMO)/profile.svg --sheet $(DEMO)/sheet.png --html $(DEMO)/report.html \
	    > /dev/null
	@echo "images: $(DEMO)/sheet.png    profile: $(DEMO)/profile.svg    everything: $(DEMO)/report.html"

test: .venv/.tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses auto --dist loadscope

check: .venv/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.tests
	$(BIN)/python docs/write_reference.py

mutants: .venv/.mutants
	$(BIN)/python tests/mutation.py $(ONLY) $(MORE)

.venv/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.tests: .venv/.demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/.mutants: .venv/.tests
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	touch $@
