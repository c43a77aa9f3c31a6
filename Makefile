# The tasks of this repository; `make help` lists them. Each one brings what it needs.

CARGO  ?= cargo
PYTEST := .venv/bin/python -m pytest
# How many tests run at once, each file's one after the other.
JOBS   ?= 3
# More arguments for pytest: make e2e ARGS='-k hammer'
ARGS   ?=
# Our own code optimised, on the everyday build of everything else.
OPTIMISED := --config profile.dev.package.ifmatch.opt-level=2
# How long each target is fuzzed, and faults are played: make fuzz SECONDS=600
SECONDS ?= 60
# By how many seconds the store of the histories lags.
LAG ?= 0
# How many nodes it has.
NODES ?= 1
# Where the register of the histories is: standalone, sentinel or cluster.
REGISTER ?= standalone
# How many seeds are simulated: make simulation SEEDS=100000
SEEDS ?= 10000
# The stores that the end-to-end tests run against: everyday, full (with OpenStack Swift and Ceph,
# which take half a minute to start), or names with commas: make e2e STORES=ceph,moto
STORES ?= everyday
# Where the tables and the plot of the benchmarks go.
FOUND ?= target/bench
# The binary that the end-to-end tests run: release, or debug, which `check` has built.
BINARY ?= release

.DEFAULT_GOAL := help
.PHONY: help run test full check fmt model simulation build traces e2e packages valkey histories bench instructions fuzz forms documents clean

help: ## list the tasks
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: ## build, then serve an embedded store on 127.0.0.1:9000, objects in ./data
	scripts/setup run
	$(CARGO) build --release --locked -p ifmatch
	target/release/ifmatch serve --embedded ./data --listen 127.0.0.1:9000

check: ## the everyday loop: format, lints, Rust tests
	scripts/setup build
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features -p ifmatch -- -D warnings
	$(CARGO) clippy --locked --features otel -p ifmatch -- -D warnings
	$(CARGO) test --locked

# What setup installs has to be there: tests that need a Redis are not to be skipped.
test full: export IFMATCH_REQUIRE_REDIS = 1
# All of what costly tests can do.
full: export E2E_FULL = 1
test: ## what CI runs: check, the model, then the end-to-end tests, debug binary, stores of every day
	scripts/setup test
	$(MAKE) check
	$(MAKE) model
	$(MAKE) e2e BINARY=debug

full: ## everything: test, with the release binary, OpenStack Swift and Ceph too, and the packages
	scripts/setup full
	$(MAKE) -j2 --output-sync=target check build
	$(MAKE) model
	$(MAKE) e2e STORES=full
	$(MAKE) packages

model: ## the protocol in all its interleavings, with larger bounds than check has
	scripts/setup build
	$(CARGO) test --locked -p pure-rooms --test model -- --include-ignored

simulation: ## the guarded write while everything fails, and guarded listings, with SEEDS=10000 seeds
	scripts/setup build
	IFMATCH_SEEDS=$(SEEDS) $(CARGO) test --locked $(OPTIMISED) --lib -- --nocapture simulation consistent_listing

build: ## the release binary (BINARY=debug for the other)
	scripts/setup build
	$(if $(filter debug,$(BINARY)),$(CARGO) test --locked --no-run,$(CARGO) build --release --locked -p ifmatch)

# The bin is built for the test of the walls, with the libraries that all Rust tests have.
traces: ## the Rust tests of traces, and target/traces/ifmatch, a debug binary that has them
	scripts/setup build
	$(CARGO) test --locked --features otel -p ifmatch --lib --test walls traces
	mkdir -p target/traces
	cp target/debug/ifmatch target/traces/ifmatch

# In this order: `build` puts the binary without traces back into its place.
e2e: traces build ## the end-to-end tests alone (ARGS='-k name', STORES=everyday, full or names, BINARY=debug)
	scripts/setup $(if $(filter everyday,$(STORES)),e2e,full)
	IFMATCH_BIN=$(CURDIR)/target/$(BINARY)/ifmatch IFMATCH_TRACES_BIN=$(CURDIR)/target/traces/ifmatch \
		$(PYTEST) tests/e2e -n $(JOBS) --dist loadfile --stores $(STORES) $(ARGS)

packages: build ## the Debian package into target/packages, and the tests of all in packaging/
	scripts/setup packages
	.venv-packaging/bin/python -m pytest tests/packaging $(ARGS)
	mkdir -p target/packages
	packaging/debian/build target/release/ifmatch target/packages

valkey: build ## the tests that need a Redis, with Valkey in its place
	scripts/setup valkey
	IFMATCH_TEST_REDIS_SERVER=$(CURDIR)/.valkey/valkey-server $(CARGO) test --locked --lib -- redis
	IFMATCH_TEST_REDIS_SERVER=$(CURDIR)/.valkey/valkey-server \
		$(CARGO) test --locked --test register --test register_id --test register_sentinel --test register_cluster
	IFMATCH_TEST_REDIS_SERVER=$(CURDIR)/.valkey/valkey-server \
		IFMATCH_BIN=$(CURDIR)/target/$(BINARY)/ifmatch $(PYTEST) tests/e2e -n $(JOBS) --dist loadfile -k 'crash or marker or upgrade or hammer' $(ARGS)

histories: build ## clients write while things die, for SECONDS (60); SEED=7 for the same faults again; REGISTER=sentinel, cluster; LAG=1 for a store that lags by a second; NODES=3 for one with nodes that die
	scripts/setup e2e
	cd tests/e2e && ../../.venv/bin/python -m histories --seconds $(SECONDS) --register $(REGISTER) --lag $(LAG) --nodes $(NODES) $(if $(SEED),--seed $(SEED))

bench: build ## rates and CPU time beside nginx, HAProxy and the bare store; FOUND=benches/last keeps what it found there
	scripts/setup bench
	$(CARGO) bench --locked
	.venv/bin/python benches/end_to_end.py --keep $(FOUND)
	.venv/bin/python benches/end_to_end.py --keep $(FOUND) --tls
	.venv/bin/python benches/end_to_end.py --keep $(FOUND) --store embedded
	.venv/bin/python benches/listings.py
	.venv-bench/bin/python benches/plot.py $(FOUND)/null.json $(FOUND)/null.svg

instructions: build ## instructions of a request, counted by valgrind (BINARY=debug; RECORD=1: for test_instructions.py)
	scripts/setup test
	cd tests/e2e && IFMATCH_BIN=$(CURDIR)/target/$(BINARY)/ifmatch ../../.venv/bin/python -m instructions $(if $(RECORD),--record)

fuzz: ## fuzz every parser for SECONDS (60) each
	scripts/setup fuzz
	scripts/fuzz $(SECONDS)

forms: build ## bent forms against other readers of forms, for SECONDS (60); SEED=7 for the same ones again
	scripts/setup e2e
	FORMS_SECONDS=$(SECONDS) SEED=$(or $(SEED),$(shell date +%s%N)) $(PYTEST) tests/e2e/test_form_readers.py

documents: build ## the same of bent documents and other readers of XML
	scripts/setup e2e
	DOCUMENTS_SECONDS=$(SECONDS) SEED=$(or $(SEED),$(shell date +%s%N)) $(PYTEST) tests/e2e/test_document_readers.py

fmt: ## format the Rust sources
	$(CARGO) fmt

clean: ## remove what was built; the virtualenv stays
	$(CARGO) clean
