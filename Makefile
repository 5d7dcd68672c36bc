# Every target sets up what it needs. The plain lines stand in the README, for machines without make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: env demo test test-slow ui bench lint pictures clean

env: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: env
	$(BIN)/python train.py experiment=demo
	$(BIN)/python predict.py checkpoint=runs:/latest input=cache/phantom output=out/demo

test: env
	$(BIN)/pytest

test-slow: env
	$(BIN)/pytest -m slow

ui: env
	$(BIN)/python -m ich.report.ui

bench: env
	$(BIN)/python -m benchmarks

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf outputs multirun cache out
