# Set-up, demo, tests and lint. VENV=DIR puts the environment elsewhere; PYTHON=python3.12 makes it
# with another interpreter. TORCH=cpu takes torch without CUDA, from an index of such builds that pip
# is configured with or that TORCH_INDEX=URL names. JOBS=N runs the tests in N processes, one thread each.
VENV ?= .venv
PYTHON ?= python3
JOBS ?= 2
STACK ?= openmmlab
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

INSTALLED := $(VENV)/.vminet_mm_installed

.PHONY: install demo test test-onedl docs lint format clean

install: $(INSTALLED)

# A compiled mmcv that is already there is kept: mmcv-lite would overwrite its files. STACK=onedl
# takes the mm packages from requirements/onedl.txt.
$(INSTALLED): setup.py vminet_mm/version.py $(wildcard requirements/*.txt)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@date +%s > $(VENV)/.begun
	python -m pip install $(TORCH_INDEX:%=--extra-index-url %) -c requirements/lock.txt \
	  $(addsuffix $(TORCH:%=+%),$(shell grep ^torch requirements/torch.txt))
	if test $(STACK) = onedl; then grep -v '^mm' requirements/lock.txt; cat requirements/onedl.txt; \
	  elif python -m pip show -qq mmcv; then grep -v '^mmcv-lite' requirements/lock.txt; \
	  else cat requirements/lock.txt; fi > $(VENV)/lock.txt
	python -m pip install --quiet --no-deps -r $(VENV)/lock.txt
	python -m pip install --no-deps --no-build-isolation --editable .
	@echo "installed in $$(( $$(date +%s) - $$(cat $(VENV)/.begun) )) s"
	touch $@

demo: $(INSTALLED)
	python demo/mini_demo.py

test: $(INSTALLED)
	OMP_NUM_THREADS=1 python -m pytest --numprocesses $(JOBS) --dist worksteal

# The same tests on OneDL's forks of the mm packages.
test-onedl:
	$(MAKE) test STACK=onedl VENV=.venv-onedl

# The pages and the docstrings as a site; a warning is an error.
docs: $(INSTALLED)
	python -m pip install --quiet --no-deps -r requirements/docs.txt
	python -m sphinx -q -W --keep-going -b html -c docs . docs/_site
	@echo "open docs/_site/docs/index.html"

lint: $(INSTALLED)
	ruff check .
	ruff format --check .

format: $(INSTALLED)
	ruff check --fix .
	ruff format .

clean:
	rm -rf build dist docs/_site *.egg-info .pytest_cache .ruff_cache .hypothesis
