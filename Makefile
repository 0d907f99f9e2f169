# `make demo` and `make test` need a Rust toolchain and a C compiler, and nothing else; `make bare` shows it.
INTEROP = target/interop

.PHONY: demo test judged bare campaign interop check fmt-check lint docs deny windows bench install peers

demo:
	cargo run -- demo

test:
	cargo test -- --quiet

# Test and demonstration on a bare Debian under target/bare, as root.
bare:
	tests/bare.sh

# Kills at random instants, and races, in full (docs/reliability.md): make campaign [SEED=N] [KILLS=N]
campaign:
	DFNS_KEYS_CAMPAIGN_SEED=$(SEED) DFNS_KEYS_CAMPAIGN_KILLS=$(KILLS) \
		cargo test --quiet --test campaign -- --ignored --nocapture --test-threads 1

# The tests in which other programs judge ours. CI has run the others before, by `make bare`.
JUDGED = $(shell grep -lrE "\b(peer(_ok)?|can_watch)\b" tests --include=*.rs | grep -v ^tests/support \
	| sed "s/^tests.//; s/[.].*//; s/\/.*//" | sort -u)

judged:
	DFNS_KEYS_TEST_PEERS=1 cargo test $(addprefix --test ,$(JUDGED)) -- --show-output

# All that guards quality, but for `make bare` and `make interop`.
check: fmt-check lint docs deny
	DFNS_KEYS_TEST_PEERS=1 cargo test -- --show-output

# The vendor's SDKs, newman, kubectl, a browser and others against the sandbox. They are installed under target, pinned.
interop: $(INTEROP)/installed
	cargo clippy --quiet --features dfns-sdk --lib --example rust_sdk -- -D warnings
	cargo build --quiet --features dfns-sdk --example rust_sdk
	cp target/debug/examples/rust_sdk $(INTEROP)/rust_sdk
	cargo test --quiet --features dfns-sdk --doc sdk
	DFNS_KEYS_TEST_INTEROP=$(INTEROP) cargo test --test interop --test browser -- --show-output

$(INTEROP)/installed: tests/interop/package-lock.json tests/interop/requirements.txt
	mkdir -p $(INTEROP)
	cp tests/interop/package.json tests/interop/package-lock.json $(INTEROP)
	npm ci --prefix $(INTEROP) --ignore-scripts --no-fund --no-audit --silent
	python3 -m venv $(INTEROP)/python
	$(INTEROP)/python/bin/pip install --quiet -r tests/interop/requirements.txt
	touch $@

fmt-check:
	cargo fmt --check

lint:
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	cargo clippy --no-default-features --features cli -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

deny:
	cargo deny --log-level error check --hide-inclusion-graph bans licenses sources

# Type-checks for Windows with Debian's rustc-web, cargo-web, rust-web-src and gcc-mingw-w64-x86-64, since no standard library
# for Windows is at hand there. It takes minutes at first, and is no part of CI.
windows:
	RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc AWS_LC_SYS_PREBUILT_NASM=1 /usr/bin/cargo check --target-dir target/windows \
		-Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test --target x86_64-pc-windows-gnu --lib --bins --tests

bench: $(INTEROP)/installed
	DFNS_KEYS_TEST_INTEROP=$(INTEROP) cargo bench --bench peers

install:
	cargo install --locked --path .

# The programs that judge ours in the tests, on Debian.
peers:
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends age openssl openssh-client jq curl util-linux python3 python3-yaml \
		gh groff-base zsh fish bash-completion systemd libssl-dev pkg-config python3-venv debootstrap iproute2 chromium strace keyutils >/dev/null
	command -v npm >/dev/null || apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
	command -v cargo-deny >/dev/null || cargo install --locked --debug --quiet cargo-deny@0.20.2
