# `make demo` and `make test` need a Rust toolchain and a C compiler, and nothing else.
.PHONY: demo test check fmt-check lint docs deny bench install peers

demo:
	cargo run --quiet -- demo

test:
	cargo test --quiet

# All that CI runs.
check: fmt-check lint docs deny
	DFNS_KEYS_TEST_PEERS=1 cargo test -- --show-output

fmt-check:
	cargo fmt --check

lint:
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

deny:
	cargo deny --log-level error check --hide-inclusion-graph bans licenses sources

bench:
	cargo bench --bench peers

install:
	cargo install --locked --path .

# The programs that judge ours in the tests, on Debian.
peers:
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends age openssl openssh-client jq curl util-linux python3 >/dev/null
	command -v cargo-deny >/dev/null || cargo install --locked --debug --quiet cargo-deny@0.20.2
