# make train   set up, train the main job on real Meta-World, evaluate on held-out goals, write a report
# make test    set up, run the tests
# make test-ray the tests that need a Ray cluster (installs Ray; starts one here)
# make lint    ruff and mypy
# make bench   speed of sampling and learning on this machine
# make results learning runs behind the figures in results/ (hours)
# make example a robot adapts a skill: docs/robot-skill-adaptation.md, within fifteen minutes
# make docs    the pages as a site, in build/site

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# The main job: ML1 reach-v3, 10 tasks x 5 episodes of 500 steps before and after adaptation, per iteration.
# Any other: make train ENV=metaworld/ml1-push-v3 TRAIN_OPTIONS="--iterations 200"
RECIPE        ?= maml-trpo
ENV           ?= metaworld/ml1-reach-v3
TRAIN_OPTIONS ?= --meta-batch-size 10 --episodes-per-task 5 --iterations 10 --stock-goals 10

.PHONY: train test test-slow test-ray lint bench results example docs clean

train: $(VENV)/.installed
	$(BIN)/meta-rl train $(RECIPE) --env $(ENV) $(TRAIN_OPTIONS)

test: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

test-ray: $(VENV)/.installed-ray
	$(BIN)/pytest tests/meta_rl/sources/test_ray.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python scripts/benchmark.py engine
	$(BIN)/python scripts/benchmark.py vector
	$(BIN)/python scripts/benchmark.py locomotion
	$(BIN)/python scripts/benchmark.py dynamics
	$(BIN)/python scripts/benchmark.py own
	$(BIN)/python scripts/benchmark.py floor
	$(BIN)/python scripts/benchmark.py training
	$(BIN)/python scripts/benchmark.py learner --iterations 5
	$(BIN)/python scripts/benchmark.py workers
	$(BIN)/python scripts/benchmark.py player
	$(BIN)/python scripts/benchmark_fewshot.py

results: $(VENV)/.installed-dev
	$(BIN)/python scripts/results.py navigation
	$(BIN)/python scripts/results.py reach

example: $(VENV)/.installed-dev
	$(BIN)/python scripts/skill_adaptation.py --small

# The repository's own folders, so that the pages' links hold on the site as they do in the repository.
docs: $(VENV)/.installed-dev
	rm -rf build/pages && mkdir -p build/pages
	ln -s $(addprefix ../../,README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs results zoo) build/pages/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

ENGINE := $(shell find envs -name '*.cpp' -o -name '*.hpp')

$(VENV)/.installed: pyproject.toml constraints.txt CMakeLists.txt $(ENGINE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[video]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,dev,report,video,viewer,docs]"
	touch $@

$(VENV)/.installed-ray: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ray
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
