#!/usr/bin/env bash
# Builds what is handed out twice, in two folders of two lengths, and compares each file.
# tests/dist-twice.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
work=$PWD/target/dist/twice
rm -rf "$work"
for folder in one a-second-one; do
	git clone --quiet . "$work/$folder"
	mkdir -p "$work/$folder/target/dist"
	[ -d target/dist/tools ] && ln -s "$PWD/target/dist/tools" "$work/$folder/target/dist/tools"
	(cd "$work/$folder" && .dist/make "$1" >/dev/null)
	rm -rf "$work/$folder/target/dist/build"
done
diff "$work/one/target/dist/$version/SHA256SUMS" "$work/a-second-one/target/dist/$version/SHA256SUMS"
echo "dist: two builds for $1 are the same bytes"
