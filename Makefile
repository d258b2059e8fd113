# `make` alone says what there is.
.PHONY: help demo quick test test-long test-faults lint bench bench-quick build release dist fixtures clean-services
target := $(or $(CARGO_TARGET_DIR),target)
# What makes a second build of the same crate quicker makes the first one slower, and takes a gigabyte.
export CARGO_INCREMENTAL ?= 0

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## build, then show the MRI example with nothing installed and nothing left running
	@command -v cargo >/dev/null || { echo "Rust is missing; install it from https://rustup.rs" >&2; exit 1; }
	@perl -MIPC::Cmd -MFile::Compare -e 1 2>/dev/null && command -v cc >/dev/null || \
	  { echo "a C compiler and Perl are needed to build; on Debian: apt-get install build-essential" >&2; exit 1; }
	@[ -x $(target)/debug/foretell ] || echo "The first build takes some minutes; later ones take seconds."
	@cargo build --locked --package foretell
	@$(target)/debug/foretell demo

quick: ## format, lints, and every test that needs no service and no root (Linux, macOS)
	@dev/quick

test: ## format, lints and every test, on real Kafka, HDFS, MariaDB, PostgreSQL and S3 (root on Debian 12)
	@dev/test

test-long: ## what takes too long for every day: damage at every position, 500 random models of the libraries, 100,000 seeds of the simulator
	@dev/test-long

test-faults: ## pipelines on real services that are killed, frozen and cut off, for an hour
	@dev/test-faults

lint: ## format, lints, documentation, licences and advisories of dependencies
	@dev/lint

bench: ## install what users of Python would run instead, measure both in turn, write docs/benchmarks.md (an hour)
	@benches/run

bench-quick: ## instructions of loading and scoring, compared with benches/instructions.txt (needs valgrind)
	@benches/quick

build: ## target/debug/foretell
	cargo build --locked --package foretell

release: ## target/release/foretell, stripped
	cargo build --locked --release --package foretell

dist: ## what there is to install, in target/dist: archive, .deb, .rpm, wheel, image (tools from PyPI)
	@dist/build

fixtures: $(target)/mri-venv/ready ## train the models of the examples and fixtures again and compare them with the committed ones
	$(target)/mri-venv/bin/python examples/mri/train.py $(target)/mri
	cd $(target)/mri && for f in models/* *.csv; do cmp $$f $(CURDIR)/examples/mri/$$f || exit 1; done
	for e in batch-dataframe batch-lines; do \
	  $(target)/mri-venv/bin/python examples/$$e/train.py $(target)/$$e && \
	  (cd $(target)/$$e && for f in models/* expected* *.csv; do cmp $$f $(CURDIR)/examples/$$e/$$f || exit 1; done) || exit 1; done
	python3.11 fixtures/make/all.py $(target)/fixtures

$(target)/mri-venv/ready: examples/mri/requirements.txt
	python3 -m venv $(target)/mri-venv
	$(target)/mri-venv/bin/pip install --quiet --requirement examples/mri/requirements.txt
	touch $@

clean-services: ## stop every service started from this checkout and remove its data
	@for d in $(target)/services $(target)/services-test.*; do \
	  if [ -d $$d ]; then dev/services down --dir $$d && rm -rf $$d; fi; done
