# `make demo` and `make test` need a Rust toolchain and a C compiler, and nothing else; `make bare` shows it.
INTEROP = target/interop

.PHONY: help demo test judged bare campaign fuzz coverage mutants interop check fmt-check lint docs deny platforms dist dist-used dist-twice dist-peers bench install peers

# What there is to make
help:
	@awk '/^#/ { text = text substr($$0, 2); next } /^[a-z-]+:/ { if (text) { sub(/:.*/, ""); printf "make %-10s%s\n", $$0, text } } { text = "" }' Makefile

# A credential's whole life against the sandbox
demo:
	cargo run -- demo

# What users rely on, with what a Rust toolchain and a C compiler bring
test:
	cargo test -- --quiet

# Test and demonstration on a bare Debian under target/bare, as root
bare:
	tests/bare.sh

# Kills at random instants, and races, in full (docs/reliability.md): [SEED=N] [KILLS=N]
campaign:
	DFNS_KEYS_CAMPAIGN_SEED=$(SEED) DFNS_KEYS_CAMPAIGN_KILLS=$(KILLS) \
		cargo test --quiet --test campaign -- --ignored --nocapture --test-threads 1
	cargo test --quiet --test rotating_places --test fleet -- --ignored --nocapture

# CI has run the others before, by `make bare`.
JUDGED = $(shell grep -lrE "\b(peer(_ok)?|can_watch)\b" tests --include=*.rs | grep -vE "^tests/(support|bench)/" \
	| sed "s/^tests.//; s/[.].*//; s/\/.*//" | sort -u)

# The tests in which other programs judge ours
judged:
	DFNS_KEYS_TEST_PEERS=1 cargo test $(addprefix --test ,$(JUDGED)) -- --show-output

# Bytes of others' against every parser that meets them, by libFuzzer, two at a time: SECONDS=60 for each, [PARSERS='keys tokens']
fuzz:
	tests/fuzz.sh $(or $(SECONDS),60) $(PARSERS)

# Which lines the tests run, ours and the program's under test: a report under target/coverage (cargo-tarpaulin)
coverage:
	cargo tarpaulin --engine llvm --follow-exec --skip-clean --target-dir target/coverage --out Html --output-dir target/coverage

# Whether a test fails when a line is wrong (cargo-mutants); hours for all of them: [FILES='src/keys/**'] [SHARD=0/8]
mutants:
	cargo mutants --file '$(or $(FILES),src/keys/**)' $(if $(SHARD),--shard $(SHARD)) --output target

# All that guards quality, but for bare and interop
check: fmt-check lint docs deny
	DFNS_KEYS_TEST_PEERS=1 cargo test -- --show-output

# The vendor's SDKs, newman, kubectl, a browser and others against the sandbox, installed under target, pinned
interop: $(INTEROP)/installed
	cargo clippy --quiet --features dfns-sdk --lib --example rust_sdk -- -D warnings
	cargo build --quiet --features dfns-sdk --example rust_sdk
	cp target/debug/examples/rust_sdk $(INTEROP)/rust_sdk
	cargo test --quiet --features dfns-sdk --doc sdk
	DFNS_KEYS_TEST_INTEROP=$(INTEROP) cargo test --test interop --test browser --test engines -- --show-output
	DFNS_KEYS_TEST_INTEROP=$(INTEROP) cargo test --test hostile every_form_is_read_back -- --show-output

$(INTEROP)/installed: tests/interop/package-lock.json tests/interop/requirements.txt
	mkdir -p $(INTEROP)
	cp tests/interop/package.json tests/interop/package-lock.json $(INTEROP)
	npm ci --prefix $(INTEROP) --ignore-scripts --no-fund --no-audit --silent
	python3 -m venv $(INTEROP)/python
	$(INTEROP)/python/bin/pip install --quiet -r tests/interop/requirements.txt
	touch $@

# The form of the sources
fmt-check:
	cargo fmt --check

# clippy, also for the library alone; it holds the sources to the rust-version of Cargo.toml
lint:
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	cargo clippy --no-default-features --features cli -- -D warnings

# The library's documents, warnings denied
docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

# What may be in the tree of dependencies (.deny.toml)
deny:
	cargo deny --log-level error check --hide-inclusion-graph bans licenses sources

# With Debian's rustc-web, cargo-web, rust-web-src and gcc-mingw-w64-x86-64, since no standard library for Windows is at hand
# there. It takes minutes at first, and is no part of CI.
WEB = RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo check -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test

# A type-check for Windows, tests and all; `make dist FOR=windows` and `make dist-used FOR=windows` run its demonstration under wine
platforms:
	AWS_LC_SYS_PREBUILT_NASM=1 $(WEB) --target-dir target/windows --target x86_64-pc-windows-gnu --lib --bins --tests

# All that is handed out, under target/dist/VERSION (docs/releasing.md): [FOR=gnu|musl|windows] [MINISIGN_KEY=FILE]
dist:
	.dist/make $(FOR)

# Uses each of it in a place without this checkout, as root on Debian: [FOR='deb static']
dist-used:
	tests/dist.sh $(FOR)

# Two builds in two folders are the same bytes: [FOR=musl]
dist-twice:
	tests/dist-twice.sh $(or $(FOR),musl)

# What dist and dist-used need beside a Rust toolchain, on Debian
dist-peers:
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends python3-venv rustc-web cargo-web rust-web-src gcc-mingw-w64-x86-64 zip unzip cpio rpm2cpio \
		umoci jq minisign debootstrap iproute2 binutils wine wine64 >/dev/null

# Ratios against what people use today, each peer measured in the same run
bench: $(INTEROP)/installed
	DFNS_KEYS_TEST_INTEROP=$(INTEROP) cargo bench --bench peers

# The program, into cargo's folder
install:
	cargo install --locked --path .

# The programs that judge ours in the tests, on Debian
peers:
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends age openssl openssh-client jq curl util-linux python3 python3-yaml \
		prometheus gh groff-base zsh fish bash-completion systemd libssl-dev pkg-config python3-venv debootstrap iproute2 chromium strace keyutils \
		softhsm2 opensc gcc libc6-dev >/dev/null
	command -v npm >/dev/null || apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
	command -v cargo-deny >/dev/null || cargo install --locked --debug --quiet cargo-deny@0.20.2
