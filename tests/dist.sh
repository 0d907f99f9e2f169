#!/usr/bin/env bash
# Uses what .dist/make made, each artefact in a place without this checkout, as whoever fetches it does. As root, on Debian with
# debootstrap, iproute2, cpio, rpm2cpio, unzip, umoci, minisign and, for Windows' program, wine and gcc-mingw-w64-x86-64.
# tests/dist.sh [deb] [rpm] [apk] [old] [static] [image] [windows] [signature]
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
made=$PWD/target/dist/$version
work=$PWD/target/dist/used
[ $# -gt 0 ] || set -- sums deb rpm apk old static image windows signature
mkdir -p "$work"

say() { echo "dist: $*"; }
fail() { echo "dist: $*" >&2; exit 1; }
one() { local found=("$made"/$1); [ -f "${found[0]}" ] || fail "no $1 was made"; echo "${found[0]}"; }

# The whole of a credential's life, in a root that has nothing of this machine but /proc and /dev. As USER.
demo_in() {
	local root=$1 user=$2 program=$3
	mkdir -p "$root/proc" "$root/dev" "$root/tmp"
	chmod 1777 "$root/tmp"
	unshare --mount --net --pid --fork --propagation private sh -euc '
		ip link set lo up
		mount -t proc proc "$1/proc"
		mount --rbind /dev "$1/dev"
		exec chroot --userspec="$2" "$1" /usr/bin/env -i HOME=/tmp PATH=/usr/bin:/bin "$3" demo </dev/null 2>"$1.err" >"$1.out"
	' sh "$root" "$user" "$program" || { tail -20 "$root.err" >&2; fail "the demonstration ended badly in $root"; }
	grep -q "That is all." "$root.err" || fail "the demonstration did not come to its end in $root"
}

# The same where there is not even `env`: a container has /proc and /dev besides, and what is mounted for it to write to.
demo_alone() {
	local root=$1 program=$2
	mkdir -p "$root/proc" "$root/dev" "$root/tmp"
	chmod 1777 "$root/tmp"
	unshare --mount --net --pid --fork --propagation private sh -euc '
		ip link set lo up
		mount -t proc proc "$1/proc"
		mount --rbind /dev "$1/dev"
		exec env -i HOME=/tmp "$(command -v chroot)" --userspec=65532:65532 "$1" "$2" demo </dev/null 2>"$1.err" >"$1.out"
	' sh "$root" "$program" || { tail -20 "$root.err" >&2; fail "the demonstration ended badly in $root"; }
	grep -q "That is all." "$root.err" || fail "the demonstration did not come to its end in $root"
	[ "$(find "$root" -type f)" = "$root$program" ] || fail "something else is in $root"
}

debian() {
	local release=$1 root=$2
	[ -e "$root/usr/bin/env" ] && return
	rm -rf "$root"
	. /etc/os-release
	local mirror
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Release: $VERSION_CODENAME" | head -1)
	debootstrap --variant=minbase "$release" "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 || { tail -5 "$root.log" >&2; rm -rf "$root"; return 1; }
}

for part; do
	case $part in
	sums) (cd "$made" && sha256sum --quiet --check SHA256SUMS) ;;
	deb)
		. /etc/os-release
		root=$work/debian
		debian "$VERSION_CODENAME" "$root"
		cp "$(one '*.deb')" "$root/tmp/dfns-keys.deb"
		chroot "$root" dpkg --install /tmp/dfns-keys.deb >/dev/null
		chroot "$root" dpkg --verify dfns-keys
		for file in bin/dfns-keys share/bash-completion/completions/dfns-keys share/man/man1/dfns-keys.1 share/man/man1/dfns-keys-rotate.1 \
			share/zsh/vendor-completions/_dfns-keys share/fish/vendor_completions.d/dfns-keys.fish share/doc/dfns-keys/copyright; do
			[ -s "$root/usr/$file" ] || fail "the package has no $file"
		done
		demo_in "$root" nobody:nogroup dfns-keys
		chroot "$root" dpkg --remove dfns-keys >/dev/null
		[ ! -e "$root/usr/bin/dfns-keys" ] || fail "the package leaves its program behind" ;;
	rpm)
		root=$work/rpm
		rm -rf "$root"; mkdir -p "$root"
		(cd "$root" && rpm2cpio "$(one '*.rpm')" | cpio --quiet -idm)
		"$root/usr/bin/dfns-keys" --version
		[ -s "$root/usr/share/man/man1/dfns-keys.1" ] || fail "the rpm has no manual" ;;
	apk)
		root=$work/apk
		rm -rf "$root"; mkdir -p "$root"
		tar -xzf "$(one '*.apk')" -C "$root" 2>/dev/null
		env -i "$root/usr/bin/dfns-keys" --version
		demo_alone_root=$work/apk-root
		rm -rf "$demo_alone_root"; mkdir -p "$demo_alone_root"
		cp "$root/usr/bin/dfns-keys" "$demo_alone_root/"
		demo_alone "$demo_alone_root" /dfns-keys ;;
	old)
		root=$work/old
		rm -rf "$work/gnu"; mkdir -p "$work/gnu"
		tar -xzf "$(one 'dfns-keys-*-linux-gnu.tar.gz')" -C "$work/gnu" --strip-components=1
		newest=$(objdump -T "$work/gnu/dfns-keys" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)
		[ "$(printf '%s\n' "$newest" GLIBC_2.17 | sort -V | tail -1)" = GLIBC_2.17 ] || fail "it wants $newest"
		if debian bullseye "$root"; then
			cp "$work/gnu/dfns-keys" "$root/usr/bin/"
			demo_in "$root" nobody:nogroup dfns-keys
		else
			say "no older Debian can be had here: by its symbols alone, it wants $newest"
		fi ;;
	static)
		root=$work/static
		rm -rf "$root" "$work/musl"; mkdir -p "$root" "$work/musl"
		tar -xzf "$(one 'dfns-keys-*-linux-musl.tar.gz')" -C "$work/musl" --strip-components=1
		cp "$work/musl/dfns-keys" "$root/"
		demo_alone "$root" /dfns-keys ;;
	image)
		rm -rf "$work/layout" "$work/bundle"; mkdir -p "$work/layout"
		tar -xf "$(one '*-oci.tar')" -C "$work/layout"
		umoci unpack --image "$work/layout:$version" "$work/bundle"
		jq -e '.process.user.uid == 65532 and .process.args == ["/dfns-keys"]' "$work/bundle/config.json" >/dev/null || fail "the image runs as another user"
		[ "$(ls "$work/bundle/rootfs")" = dfns-keys ] || fail "the image has more in it"
		demo_alone "$work/bundle/rootfs" /dfns-keys ;;
	windows)
		root=$work/windows
		rm -rf "$root"; mkdir -p "$root"
		(cd "$root" && unzip -q "$(one '*-windows.zip')")
		program=$(echo "$root"/*/dfns-keys.exe)
		# Debian's wine has no bcryptprimitives.dll.
		printf '#include <windows.h>\nBOOLEAN NTAPI SystemFunction036(PVOID, ULONG);\n__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE b, SIZE_T n) { return SystemFunction036(b, (ULONG)n); }\n' >"$root/prng.c"
		x86_64-w64-mingw32-gcc -shared -o "$(dirname "$program")/bcryptprimitives.dll" "$root/prng.c" -ladvapi32
		mkdir -p "$root/prefix"
		WINEPREFIX=$root/prefix WINEDEBUG=-all HOME=$root timeout 300 wine "$program" demo </dev/null >"$root/out" 2>"$root/err" || { tail "$root/err" >&2; fail "the demonstration ended badly under wine"; }
		grep -q "That is all." "$root/err" || fail "the demonstration did not come to its end under wine" ;;
	signature)
		# With a key of this test's: that a stock minisign believes what .dist/make signs, and nothing else.
		rm -rf "$work/signature"; mkdir -p "$work/signature"
		cp "$made/SHA256SUMS" "$work/signature/"
		minisign -G -W -p "$work/signature/key.pub" -s "$work/signature/key" >/dev/null
		minisign -S -s "$work/signature/key" -m "$work/signature/SHA256SUMS" >/dev/null
		minisign -V -q -p "$work/signature/key.pub" -m "$work/signature/SHA256SUMS"
		echo x >>"$work/signature/SHA256SUMS"
		if minisign -V -q -p "$work/signature/key.pub" -m "$work/signature/SHA256SUMS" 2>/dev/null; then fail "minisign believes a changed list"; fi ;;
	*) echo "no such part: $part" >&2; exit 2 ;;
	esac
	say "$part is sound"
done
