#!/usr/bin/env bash
# Fuzzes each parser for so many seconds, two at once, with what the toolchain brings: libFuzzer, and the compiler's counters of
# what was come to. The last line says how many inputs were tried; a finding is kept under target/fuzz and named.
# tests/fuzz.sh SECONDS [PARSER…]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1; shift
host=$(rustc -vV | sed -n 's/^host: //p')
out=target/fuzz
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
# Sums that overflow and assertions are looked at; with a target named, build scripts are left as they are.
RUSTFLAGS="--cfg fuzzing ${coverage//$'\n'/ }" CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_STRIP=false \
	cargo build --quiet --release --features fuzzing --example fuzz --target "$host" --target-dir "$out"
program=$PWD/$out/$host/release/examples/fuzz
[ $# -gt 0 ] || mapfile -t parsers < <(sed -n 's/.*name: "\([a-z-]*\)".*/\1/p' src/fuzzing.rs)
[ $# -eq 0 ] || parsers=("$@")

fuzz() {
	local name=$1 work=$out/work/$1
	mkdir -p "$work/corpus" "tests/fuzz/seeds/$name"
	if (cd "$work" && DFNS_KEYS_FUZZ=$name "$program" corpus "$OLDPWD/tests/fuzz/seeds/$name" -dict="$OLDPWD/tests/fuzz/words.dict" \
		-timeout=2 -rss_limit_mb=512 -max_len=65536 -max_total_time="$seconds" -print_final_stats=1 >log 2>&1); then
		printf '%-18s %12d inputs, nothing found\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")"
	else
		printf '%-18s FOUND: %s\n' "$name" "$(grep -hoE "(panicked|ERROR|SUMMARY|Test unit written).*" "$work/log" | tr '\n' ' ')"
		return 1
	fi
}
export -f fuzz
export out program seconds
failed=
printf "%s\n" "${parsers[@]}" | xargs -P 2 -I{} bash -c "fuzz {}" | tee "$out/summary" || failed=yes
