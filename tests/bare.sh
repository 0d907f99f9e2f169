#!/bin/sh
# `make test` and `make demo` on a machine that has what README.md names and nothing else: a bare Debian in a folder, and
# there a PATH of sh, make, git, a C compiler and the Rust toolchain. What is built there lies in this checkout's target
# directory, as if it had been built outside. Needs root, Debian with debootstrap and iproute2, and a toolchain of rustup's.
set -eu
cd "$(dirname "$0")/.."
checkout=$PWD
root=$checkout/target/bare
toolchain=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
packages=gcc,libc6-dev,make,git

if [ "${1:-}" != inside ]; then
	cargo fetch --locked --quiet
	# The release of the machine around it, so that what is built in one runs in the other.
	. /etc/os-release
	if [ "$(cat "$root/made" 2>/dev/null)" != "$VERSION_CODENAME $packages" ]; then
		rm -rf "$root"
		mkdir -p "$root"
		mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Release: $VERSION_CODENAME" | head -1)
		debootstrap --variant=minbase --include="$packages" "$VERSION_CODENAME" "$root" ${mirror:+"$mirror"} \
			>"$root.log" 2>&1 || { tail -20 "$root.log" >&2; exit 1; }
		mkdir "$root/only"
		for program in sh make git cc gcc as ld ar; do ln -s "/usr/bin/$program" "$root/only/"; done
		echo "$VERSION_CODENAME $packages" >"$root/made"
	fi
	# What is mounted is mounted for this one process, and there is no network but loopback.
	exec unshare --mount --net --propagation private "tests/bare.sh" inside
fi

ip link set lo up
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
for directory in "$toolchain" "$cargo_home" "$checkout"; do
	mkdir -p "$root$directory"
	mount --bind "$directory" "$root$directory"
done
in_there() {
	chroot "$root" /usr/bin/env -i -C "$checkout" HOME=/root PATH="/only:$toolchain/bin" \
		CARGO_HOME="$cargo_home" CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never "$@" </dev/null
}
in_there make test
# cargo says what it is at, and the demonstration's own words are all that goes to stdout.
in_there make --silent demo >"$root/tmp/demo.out" 2>"$root/tmp/demo.err"
grep -q "Finished" "$root/tmp/demo.err"
grep -q "That is all." "$root/tmp/demo.err"
if grep -q "Compiling\|Finished\|Running" "$root/tmp/demo.out"; then exit 1; fi
