# One profile serves build, demo, test and bench, so that the C++ engines are compiled once. Models and
# wheels are kept in the user's cache, outside the checkout.

CARGO ?= cargo
# dev or release. Release compiles the engines again; figures of the two do not compare.
PROFILE ?= dev
# Tests are built with them: what the default build leaves out is tested, too.
FEATURES ?= solana
BIN := $(or $(CARGO_TARGET_DIR),target)/$(if $(filter release,$(PROFILE)),release,debug)
# What follows `callbox bench`, such as: make eval ARGS="--calls 20 --json figures.json"
ARGS ?=
# How long calls come in `make soak`.
SECONDS ?= 1800

.DEFAULT_GOAL := help
.PHONY: help setup build demo test bench eval soak lint models fuzz deny clean

help: ## Show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

setup: ## Install what building needs, or say what is missing
	./deploy/setup.sh build

build: setup ## Build everything
	$(CARGO) build --locked --profile $(PROFILE)

models: build ## Fetch the models of the default set
	$(BIN)/callbox models pull --set default

demo: models ## Buy a call on this machine and hear it: a node, a phone, an agent, a chain
	./deploy/setup.sh demo
	$(BIN)/callbox demo

test: ## Everything a change must pass: tools, build, models, format, lints, tests
	./deploy/setup.sh test
	$(CARGO) build --locked --features "$(FEATURES)"
	$(BIN)/callbox models pull --set test
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets --features "$(FEATURES)" -- -D warnings
	$(CARGO) clippy --locked --workspace -- -D warnings
	rm -rf $(or $(CARGO_TARGET_DIR),target)/traces
	$(CARGO) test --locked --no-fail-fast --features "$(FEATURES)"
	$(CARGO) test --locked --features "$(FEATURES)" --test matrix -- --ignored

bench: models ## Measure media, recognition and whole calls on a quiet machine
	$(BIN)/callbox bench $(ARGS)

eval: models ## Call this node as a stranger would; measure latency, words and interruptions
	$(BIN)/callbox bench latency wer $(ARGS)

soak: ## Half an hour of calls on a bad network, after which nothing may be left (SECONDS=1800)
	./deploy/setup.sh test
	SOAK_SECS=$(SECONDS) $(CARGO) test --locked --features "$(FEATURES)" --test soak -- --nocapture

lint: ## Format and lints alone
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets --features "$(FEATURES)" -- -D warnings
	$(CARGO) clippy --locked --workspace -- -D warnings

# Seconds for each target, and which of them.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard tests/fuzz/fuzz_targets/*.rs)))
fuzz: ## Fuzz every parser for a minute (needs: cargo install --locked cargo-fuzz, a nightly toolchain)
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is not installed: cargo install --locked cargo-fuzz" >&2; exit 1; }
	@$(CARGO) +nightly --version >/dev/null 2>&1 || { echo "no nightly compiler: rustup toolchain install nightly" >&2; exit 1; }
	for target in $(FUZZ_TARGETS); do \
		mkdir -p tests/fuzz/corpus/$$target; \
		$(CARGO) +nightly fuzz run --fuzz-dir tests/fuzz --dev --sanitizer none $$target \
			tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

deny: ## Licences, advisories and banned crates (needs: cargo install --locked cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "cargo-deny is not installed: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny --locked check

clean: ## Remove build output; models stay in the cache
	$(CARGO) clean
