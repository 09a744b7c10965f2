# make demo   set up .venv and run examples/galaxies.py
# make test   set up .venv, then lint, type check and test
#
# PYTHON=/path/to/python chooses the interpreter when .venv is made; without
# it scripts/find_python.sh looks for one. PYTEST_ARGS is handed to pytest.

VENV = .venv
RUN = $(VENV)/bin/python -m
# A test process per core: threads of linear algebra would only get in each other's way.
PYTEST = MPLBACKEND=Agg OMP_NUM_THREADS=1 $(RUN) pytest
PIP_INSTALL = $(RUN) pip install --quiet --disable-pip-version-check

# Stamps say which set-up is done. They lie in .venv, so removing it is enough
# to start again, and a change of pyproject.toml installs again.
MADE = $(VENV)/.made
INSTALLED = $(VENV)/.installed
INSTALLED_TEST = $(VENV)/.installed-test
INSTALLED_AMORTIZED = $(VENV)/.installed-amortized

.PHONY: help demo test test-slow bench train-demo clean
.NOTPARALLEL:

help:
	@echo "make demo       set up .venv and run examples/galaxies.py"
	@echo "make test       ruff, mypy and the quick tests"
	@echo "make test-slow  the slow statistical tests"
	@echo "make bench      the benchmarks"
	@echo "make train-demo train a network and judge it (10 minutes)"
	@echo "make clean      remove .venv, caches and build output"

demo: $(INSTALLED)
	MPLBACKEND=Agg $(VENV)/bin/python examples/galaxies.py

test: $(INSTALLED_TEST)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(PYTEST) -n 2 $(PYTEST_ARGS)

test-slow: $(INSTALLED_TEST)
	$(PYTEST) -m slow -n 2 $(PYTEST_ARGS)

bench: $(INSTALLED_TEST)
	MPLBACKEND=Agg $(RUN) pytest tests/benchmarks -m "" $(PYTEST_ARGS)

train-demo: $(INSTALLED_AMORTIZED)
	$(VENV)/bin/python examples/amortized_gaussian.py

$(MADE):
	@python=$$(sh scripts/find_python.sh "$(PYTHON)") && \
	    echo "Making $(VENV) with $$python" && \
	    "$$python" -m venv --clear $(VENV)
	@touch $(MADE)

$(INSTALLED): $(MADE) pyproject.toml
	@echo "Installing the project into $(VENV) (minutes the first time)"
	@$(PIP_INSTALL) --editable .
	@touch $(INSTALLED)

$(INSTALLED_TEST): $(MADE) pyproject.toml
	@echo "Installing the project and its test tools into $(VENV) (minutes the first time)"
	@$(PIP_INSTALL) --editable ".[test]"
	@touch $(INSTALLED) $(INSTALLED_TEST)

$(INSTALLED_AMORTIZED): $(MADE) pyproject.toml
	@echo "Installing the project with PyTorch into $(VENV) (minutes the first time)"
	@$(PIP_INSTALL) --editable ".[amortized]"
	@touch $(INSTALLED) $(INSTALLED_AMORTIZED)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .benchmarks build dist site examples/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
