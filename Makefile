# make demo    learn a new style from one picture, then draw sample photos in all styles
# make check   lint, and run the tests that are quick
# make test    run all tests
# make setup   only make .venv, with all that the two need
# make cloud   make .venv-cloud, for cloud/sagemaker_train.py; `make test` does so too
# make styles  draw the style pictures of data/styles again

PYTHON ?= python3
READY := .venv/.ready
CLOUD := .venv-cloud/.ready

.PHONY: setup cloud demo check test lint styles clean

setup: $(READY)

EXTRAS := engines app notebook dev

$(READY): requirements.txt $(EXTRAS:%=requirements-%.txt)
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

cloud: $(CLOUD)

$(CLOUD): requirements-cloud.txt
	$(PYTHON) -m venv .venv-cloud
	.venv-cloud/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

demo: $(READY)
	.venv/bin/python train.py data/styles/woodcut.jpg --output demo/styles --overwrite
	.venv/bin/python -m fst.batch.contact_sheet demo/contact_sheet.jpg \
	    --also demo/styles/woodcut great_wave=0.5,the_scream=0.5

# Two at once, for most wait for processes that they start; what shares a fixture stays together,
# in the order of tests/conftest.py.
PYTEST := .venv/bin/python -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0 --durations=12

check: lint
	$(PYTEST) -m "not slow and not browser"

test: $(READY) $(CLOUD)
	$(PYTEST)

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

styles: $(READY)
	.venv/bin/python data/make_styles.py

clean:
	rm -rf .venv .venv-cloud demo build *.egg-info
