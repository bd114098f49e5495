# kvcore's tasks. `make` alone lists them.
# PYTHON=python3.12 chooses the interpreter of the virtual environment (VENV=.venv); everything is installed into that environment only.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
TEST_ARGS ?=
FUZZ_SECONDS ?= 60
CTEST_VARIANT ?= asan
SANITIZED = build/lib-$(1)

.DEFAULT_GOAL := help
.PHONY: help build dev test pytest ctest demo check format-check lint types layers generated gen format asan asan-c asan-python \
        ubsan ubsan-c ubsan-python tsan tsan-c tsan-python fuzz bench peers wheel clean

help: ## list the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the environment ---------------------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kvcore needs Python 3.11 or newer; choose one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment (on Debian: apt-get install python3-venv)" >&2; exit 1; }

# Installed for use and for the tests; the checkers come with `make dev`.
$(VENV)/.installed: pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip 'setuptools>=77' 'cffi>=1.17'
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[test]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[test,dev]'
	@touch $@

dev: $(VENV)/.dev ## the virtual environment with the checkers too

# --- build and run -----------------------------------------------------------------------------------------------------------------------

build: $(VENV)/.installed ## compile what changed, in place
	@$(BIN)/python setup.py -q build_ext --inplace

demo: build ## the main job on real input, with figures
	$(BIN)/kvcore demo $(DEMO_ARGS)

wheel: $(BIN)/python ## a wheel under dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

# --- tests -------------------------------------------------------------------------------------------------------------------------------

test: ctest pytest ## the C unit tests, then everything else

ctest: $(BIN)/python ## the C unit tests under the address and undefined-behaviour sanitizers
	$(BIN)/python tools/ctest.py --variant $(CTEST_VARIANT) $(CTEST_ARGS)

pytest: build
	$(BIN)/python -m pytest $(TEST_ARGS)

peers: ## a real Valkey and Redis under build/peers, for the comparisons (Debian and its relatives)
	tools/peers.sh build/peers

# The Python tests on an instrumented engine. It is built beside the normal one and found first through PYTHONPATH.
define sanitized
	KVCORE_BUILD=$(1) $(BIN)/python setup.py -q build --build-base build/base-$(1) --build-lib $(call SANITIZED,$(1))
	$(2) PYTHONPATH=$(call SANITIZED,$(1)) LD_PRELOAD=$$(gcc -print-file-name=$(3)) \
	  $(BIN)/python -m pytest -p no:cacheprovider --timeout 600 $(TEST_ARGS)
endef

asan: asan-c asan-python ## C and Python tests under the address and undefined-behaviour sanitizers
ubsan: ubsan-c ubsan-python ## C and Python tests under the undefined-behaviour sanitizer alone (other addresses, other timing)
tsan: tsan-c tsan-python ## C and Python tests under the thread sanitizer

asan-c ubsan-c tsan-c: %-c: $(BIN)/python
	$(BIN)/python tools/ctest.py --variant $* $(CTEST_ARGS)

asan-python: $(VENV)/.installed
	$(call sanitized,asan,ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 PYTHONMALLOC=malloc,libasan.so)

ubsan-python: $(VENV)/.installed
	$(call sanitized,ubsan,UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1,libubsan.so)

tsan-python: $(VENV)/.installed
	$(call sanitized,tsan,TSAN_OPTIONS=halt_on_error=1:report_signal_unsafe=0:ignore_noninstrumented_modules=1,libtsan.so)

fuzz: $(BIN)/python ## feed mutated input to the parsers for FUZZ_SECONDS each
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python tools/ctest.py --folder tests/fuzz --timeout $$(($(FUZZ_SECONDS) + 120)) $(CTEST_ARGS)

bench: build ## the benchmarks, one JSON file a run under benchmarks/results
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

# --- checks ------------------------------------------------------------------------------------------------------------------------------

check: format-check lint types layers generated test ## everything that has to hold before a commit

format-check: $(VENV)/.dev ## is the source formatted?
	$(BIN)/ruff format --check -q .
	@git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' | grep -v '/api/command_table' | xargs -r $(BIN)/clang-format --dry-run --Werror

lint: $(VENV)/.dev ## ruff
	$(BIN)/ruff check -q .

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

layers: $(BIN)/python ## the layer rule and the house rules (tools/tidy.py)
	$(BIN)/python tools/tidy.py

generated: $(BIN)/python ## are the generated files current?
	$(BIN)/python tools/gen.py --check

gen: $(VENV)/.installed ## write the generated files from src/kvcore/_native/spec
	$(BIN)/python tools/gen.py

format: $(VENV)/.dev ## format C and Python
	$(BIN)/ruff format -q .
	$(BIN)/ruff check -q --fix .
	@git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' | grep -v '/api/command_table' | xargs -r $(BIN)/clang-format -i

clean: ## remove what was built; the virtual environment stays
	rm -rf build/obj build/ctest build/lib* build/base-* build/temp* build/bdist* dist src/*.egg-info
	find src -name '*.so' -delete
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
