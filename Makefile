# Two commands are all that is needed: `make demo` and `make test`. DATA=file runs the demo on your images.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-run
# Tests in as many processes as there are cores, at most four; those of a file in one, on one thread
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.PHONY: demo test coverage check fuzz audit bench bench-quality bench-peers docs clean

demo: $(VENV)/core
	$(BIN)/caescope $(if $(DATA),run "$(DATA)",demo) --out $(OUT) --overwrite

test: $(VENV)/dev
	$(PYTEST)

# What reads files of others or answers them, and what models and runs are kept by: every branch of it is tested
SLIDES := opening dicom tiff handles properties finding reading thumbnail tiling source
MODEL := isolation layouts members pairs params persistence checkpoint state hdf5 weights
READERS := data/* files images isolation hdf5_images parquet_tables table writing staging run_folder
READERS += explorer/* source_options report/reading $(SLIDES:%=slides/%) $(MODEL:%=model/%)

# One case takes 12 s of processor time while it is measured, where 10 s are allowed
coverage: $(VENV)/dev
	$(PYTEST) --cov --cov-report= --deselect "tests/test_hostile_data.py::\
	test_hostile_data_are_refused_in_one_sentence[listing_of_one_image_a_million_times]"
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=90
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=100 \
	--include="$$(echo $(READERS:%=src/caescope/%.py) | tr ' ' ,)"
	$(BIN)/python tests/negatives.py

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py

fuzz: $(VENV)/dev
	$(BIN)/python tests/fuzzing.py --mutations 10000

# Looks all pinned versions up; --strict, since without it what could not be looked up counts as sound
audit: $(VENV)/audit/bin/pip-audit
	$< --strict --no-deps --disable-pip -r constraints.txt

$(VENV)/audit/bin/pip-audit:
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1

bench: $(VENV)/dev
	$(BIN)/python benchmarks/ours.py $(DATA)

bench-quality: $(VENV)/dev
	$(BIN)/python benchmarks/quality.py $(DATA)

bench-peers: $(VENV)/dev benchmarks/peers/.venv/installed
	$(BIN)/python benchmarks/peers/run.py $(DATA)
	$(BIN)/python benchmarks/peers/encoding.py $(DATA)
	$(BIN)/python benchmarks/peers/tutorial.py $(DATA)

docs: $(VENV)/dev
	$(BIN)/python -m sphinx -b html docs docs/_build/html
	@echo "docs: docs/_build/html/index.html"

clean:
	rm -rf $(VENV) docs/_build benchmarks/peers/.venv

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	touch $@ $(VENV)/core

benchmarks/peers/.venv/installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv benchmarks/peers/.venv
	benchmarks/peers/.venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	benchmarks/peers/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	touch $@
