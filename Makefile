.DEFAULT_GOAL := help
.PHONY: help demo test up down status logs doctor lint bench lock clean
PYTHON_IN := .venv/bin/python
INSTALL := @deploy/local/bootstrap.sh
# They compare audio sample by sample in real time, so nothing else may run beside them. They mostly wait: two
# processes of them take a third of a core.
AUDIO := tests/integration/sip tests/integration/rtp
# After the fast ones those that wait most, or a single process would be left with them at the end.
WAITING := chaos e2e $(addprefix integration/,vendors carriers tools call_service)
TESTS := $(wildcard $(addprefix tests/,unit contract $(WAITING)))
TESTS += $(filter-out $(TESTS) $(AUDIO) %__pycache__,$(patsubst %/,%,$(wildcard tests/integration/*/)))

help: ## show this list
	@awk -F ' ?## ' '/^[a-z]+:.*## / {sub(/:.*/, "", $$1); printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: ## start the stack and place one call (NUMBER=+1... SAY="an instruction of your own")
	$(INSTALL) worker
	@$(PYTHON_IN) -m deploy.local up
	@$(PYTHON_IN) -m deploy.demo

up: ## start the stack in the background (PORT=8080)
	$(INSTALL) worker
	@$(PYTHON_IN) -m deploy.local up

down: ## stop it; live calls may finish
	@if [ -x $(PYTHON_IN) ]; then $(PYTHON_IN) -m deploy.local down; else echo "Talkstack was not running."; fi

status: ## show its processes
	$(INSTALL) worker
	@$(PYTHON_IN) -m deploy.local status

logs: ## show its logs as they are written (NAME=gateway)
	$(INSTALL) worker
	@$(PYTHON_IN) -m deploy.local logs --follow $(NAME)

doctor: ## ask every hop of a call and name the broken one (TALKSTACK_API_KEY tests trunks; ARGS="--json")
	$(INSTALL) worker
	@$(PYTHON_IN) -m deploy.doctor $(ARGS)

test: ## run all tests, fast ones first (ARGS="-k name")
	$(INSTALL) dev
	@$(PYTHON_IN) -m pytest -n 5 --dist loadfile --no-loadscope-reorder $(TESTS) $(ARGS) || [ $$? -eq 5 ]
	@$(PYTHON_IN) -m pytest -n 2 --dist loadfile $(AUDIO) $(ARGS) || [ $$? -eq 5 ]

lint: ## ruff, mypy and the import contracts
	$(INSTALL) dev
	@$(PYTHON_IN) -m ruff format --check .
	@$(PYTHON_IN) -m ruff check .
	@$(PYTHON_IN) -m mypy
	@.venv/bin/lint-imports

bench: ## the benchmarks, as tables (ARGS="voice" for one of them)
	$(INSTALL) dev
	@$(PYTHON_IN) -m tests.bench $(ARGS)

lock: ## renew the lock files after a change of pyproject.toml
	$(INSTALL) dev
	@$(PYTHON_IN) -m pip install --quiet uv
	@deploy/local/lock.sh

clean: down ## stop the stack and remove its data and the virtual environment
	rm -rf var .venv
