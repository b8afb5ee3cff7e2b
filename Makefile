PYTHON ?= python3

.PHONY: run test check bench torture format clean
.NOTPARALLEL:  # two pips must not write to one .venv

run: .venv/run
	.venv/bin/noonchi train digits

test: .venv/dev
	.venv/bin/python -m pytest -r s -n auto --dist loadfile --no-loadscope-reorder

check: .venv/dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(MAKE) test

# B1 to B12, in the order of benchmarks/README.md: some hours. One that fails keeps no other from running.
BENCHMARKS = step mnist input photos_epoch transfer predict start memory serve scale
WITHOUT_PHOTOS = step mnist start
bench: export NOONCHI_DATA ?= ../shared/data
bench: .venv/dev
	@failed=; $(foreach name,$(BENCHMARKS), \
	  .venv/bin/python benchmarks/$(name).py $(if $(filter $(name),$(WITHOUT_PHOTOS)),,"$(NOONCHI_DATA)/cats_dogs") \
	  || failed="$$failed $(name)"; echo;) \
	test -z "$$failed" || { echo "these benchmarks failed:$$failed" >&2; exit 1; }

# The long form of the tests that kill and damage.
torture: .venv/dev
	.venv/bin/python -m pytest --torture --timeout 3600 -s tests/hostile tests/torture tests/test_kill.py

format: .venv/dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist src/noonchi.egg-info

# Stamps, touched when an install has ended well: the next one waits until the packages asked for change.
.venv/run: EXTRAS = demo
.venv/dev: EXTRAS = demo,dev
.venv/run .venv/dev: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	  "noonchi needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name a newer one: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
