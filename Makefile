# The words people type; each does one thing. `make WORD ARGS=…` passes arguments on to pytest.
READY := .venv/stamp
BIN := $(CURDIR)/.venv/bin
PYTEST := $(BIN)/pytest -n 3 --dist loadgroup $(ARGS)

.PHONY: demo up down test check e2e chaos bench golden proto lock
demo up down: export LIGHTRAIL_HOME ?= $(CURDIR)/.lightrail

demo: $(READY) ; @$(BIN)/python -m libs.cli.demo
up: $(READY) ; @$(BIN)/lightrail platform up --detach
down: $(READY) ; @$(BIN)/lightrail platform down
test: $(READY) check ; $(PYTEST)
check: $(READY) ; $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/buf lint
e2e: $(READY) ; $(PYTEST) tests/e2e
chaos: $(READY) ; $(PYTEST) tests/chaos
bench: $(READY) ; $(BIN)/python -m tests.bench $(ARGS)
golden: $(READY) ; $(PYTEST) tests/golden
proto: $(READY) ; PATH=$(BIN):$$PATH $(BIN)/python -m libs.protogen
lock: ; $(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o requirements.lock

$(READY): requirements.lock pyproject.toml .ci/bootstrap ; @.ci/bootstrap
