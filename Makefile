# make demo    stylise sample photos in every shipped style, into one picture
# make test    run the tests
# make setup   only make .venv, with all that the two need
# make styles  draw the style pictures of data/styles anew

PYTHON ?= python3
READY := .venv/.ready

.PHONY: setup demo test lint styles clean

setup: $(READY)

EXTRAS := engines app notebook dev

$(READY): requirements.txt $(EXTRAS:%=requirements-%.txt)
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: $(READY)
	.venv/bin/python -m fst.contact_sheet demo/contact_sheet.jpg

test: $(READY)
	.venv/bin/python -m pytest -q -rs

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

styles: $(READY)
	.venv/bin/python data/make_styles.py

clean:
	rm -rf .venv demo build *.egg-info
