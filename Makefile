# Needs python3 (3.11 or later), pip and make. Everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2
# Twin and law tests of every kernel room, for the two slower ways of running kernels.
KERNEL_TESTS := tests/test_features.py tests/test_rules_compiled.py tests/test_contact.py tests/test_contact_twin.py tests/test_probit.py tests/test_beta_bernoulli.py tests/test_gaussian.py \
	tests/test_arbitration.py tests/test_winning.py tests/test_decision_kernels.py

.PHONY: demo test bench bench-check clean

demo: .venv/.installed
	@$(BIN)/nba demo

# The two short runs first, so that the last line is that of the whole suite.
test: .venv/.installed
	@echo "kernels with bounds checks"
	@NUMBA_BOUNDSCHECK=1 $(PYTEST) -m "not slow" $(KERNEL_TESTS)
	@echo "kernels as plain Python"
	@NUMBA_DISABLE_JIT=1 $(PYTEST) -m "not slow" $(KERNEL_TESTS)
	@echo "the whole suite, compiled"
	@$(PYTEST)

bench: .venv/.installed .venv/.peers
	@$(BIN)/python -m benchmarks.report

bench-check: .venv/.installed
	@$(BIN)/python -m benchmarks.check

clean:
	@rm -rf .venv .numba_cache .pytest_cache .hypothesis .benchmarks build dist src/*.egg-info
	@find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# Where python3-venv is missing, the environment is made without pip and the machine's own pip fills it.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is older than 3.11; name a newer one: make PYTHON=python3.12")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv >/dev/null 2>&1 || \
		{ $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@echo "installing into .venv (once, about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,bench]"
	@touch $@

# What the benchmarks compare with; only `make bench` needs it, and where one of them cannot be installed its rows are left out.
.venv/.peers: .venv/.installed
	@echo "installing what the benchmarks compare with (once, some 20 s)"
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[peers]"; then touch $@; \
		else echo "not installed; the figures of other libraries are left out"; fi
