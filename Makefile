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
	$(BIN)/python predict.py checkpoint=runs:/latest input=cache/phantom/latest output=out/demo

# A file of tests stays in one process, so that what its tests share is made once.
test: env
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: env
	$(BIN)/pytest -m slow

# Bound to 127.0.0.1. Without job execution and with one worker it takes 490 MB instead of 3 GB.
ui: env
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --workers 1

# The rivals are an extra of their own: the project does without them.
.venv/bench: .venv/ready
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev,bench]"
	touch $@

bench: .venv/bench
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.gpu

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: env
	$(BIN)/python -m docs.pictures

clean:
	rm -rf outputs multirun cache out
