# Thin names over the commands a person would type. `make` alone lists them.
EDGESEC := .venv/bin/edgesec
CODE := helpers solutions tests benchmarks scripts _ext
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_ENABLE_ONEDNN_OPTS ?= 0
# Where it is set, as in many containers, every process compiles all that it imports: 4.6 CPU
# seconds more for TensorFlow alone, and there are hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup book pdf bundle serve labs generate test style lint bench lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv from the hashed lock (the other commands do this by themselves)
	@./scripts/setup.sh

book: setup ## build the book with its executed figures and labs into build/book/html
	@$(EDGESEC) book build

pdf: setup ## print the built book to build/book/book.pdf (needs Chromium)
	@$(EDGESEC) book pdf

bundle: setup ## pack the built book, notebooks and every package for a machine without a network
	@$(EDGESEC) book bundle --wheels

serve: setup ## show the built book on this machine
	@$(EDGESEC) book serve

labs: setup ## run every learner notebook; executed copies and a summary go to build/labs
	@$(EDGESEC) labs run --profile full

generate: setup ## write labs/*.ipynb, the README table and CITATION.cff from their sources
	@$(EDGESEC) labs generate

test: ## lint, type-check and run every test
	@./scripts/setup.sh --browser
	@$(MAKE) --no-print-directory style
	@.venv/bin/python -m pytest -n auto --durations 30 --durations-min 10

style: setup ## ruff: format and rules
	@.venv/bin/ruff format --check $(CODE)
	@.venv/bin/ruff check $(CODE)

lint: style ## style, and the types by mypy
	@.venv/bin/mypy

bench: setup ## measure again every benchmark whose record is out of date
	@$(EDGESEC) benchmarks run

lock: ## regenerate requirements.txt and labs/requirements.txt (needs uv)
	@./scripts/lock.sh

clean: ## remove what the other commands built, except .venv
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache
