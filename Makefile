.PHONY: demo test lint types docs

demo:   ## set up and walk the offline suite
	scripts/demo

test:   ## set up and run every check
	scripts/test

lint:
	scripts/setup dev
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/lint-imports

types:
	scripts/setup dev
	.venv/bin/mypy

docs:   ## write again the pages that a script makes, and build the site
	scripts/setup dev
	.venv/bin/python scripts/build_probes.py --docs docs/probes.md
	.venv/bin/python scripts/build_measures_page.py
	.venv/bin/python scripts/build_precursors_page.py
	.venv/bin/pythia-geom --out runs/offline
	cp runs/offline/figures/offline-layers.png runs/offline/figures/offline-curves.png docs/figures/
	scripts/docs
