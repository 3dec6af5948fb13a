#!/usr/bin/env bash
# Builds what a release hands out: for each target one archive with the program, its licences, README, manual pages and
# completions, and SHA256SUMS over them all. Needs rustup, GNU tar and a linker for this machine's own build scripts.
#
#   packaging/release.sh [TARGET...]     default: x86_64-unknown-linux-musl aarch64-unknown-linux-musl
#
# The archives land in dist/. A target whose standard library is not installed is named with the command that installs it,
# and the release fails. One of the targets must run here: it writes the manual pages and completions of all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# The same commit gives the same archive.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for target in "${targets[@]}"; do
    if ! rustup target list --installed | grep -qx "$target"; then
        echo "no standard library for $target: rustup target add $target" >&2
        exit 1
    fi
done

# rust-lld comes with the toolchain: a static binary for another processor needs no compiler or library of that processor.
# Other targets are linked as cargo is configured to.
build() {
    local target=$1 linking=()
    [[ $target == *-linux-musl ]] && linking=(-C linker=rust-lld -C target-feature=+crt-static)
    printf '\n== building for %s\n' "$target"
    cargo rustc --release --locked --package fcn --bin fcn --target "$target" -- "${linking[@]}"
}

binary() {
    local at=${CARGO_TARGET_DIR:-target}/$1/release/fcn
    [[ $1 == *-windows-* ]] && at+=.exe
    echo "$at"
}

# What the program writes about itself, by the first target that runs here.
pages=$work/pages
write_pages() {
    local fcn=$1
    mkdir -p "$pages/man/man1" "$pages/completions"
    "$fcn" man "$pages/man/man1" >/dev/null
    "$fcn" completions bash >"$pages/completions/fcn.bash"
    "$fcn" completions zsh >"$pages/completions/_fcn"
    "$fcn" completions fish >"$pages/completions/fcn.fish"
    "$fcn" completions powershell >"$pages/completions/_fcn.ps1"
    "$fcn" completions elvish >"$pages/completions/fcn.elv"
}

for target in "${targets[@]}"; do
    build "$target"
    fcn=$(binary "$target")
    if [[ ! -d $pages ]] && "$fcn" --version >/dev/null 2>&1; then
        write_pages "$fcn"
    fi
done
if [[ ! -d $pages ]]; then
    echo "none of ${targets[*]} runs on this machine: add its own target, which writes the manual pages" >&2
    exit 1
fi

mkdir -p dist
for target in "${targets[@]}"; do
    name=fcn-$version-$target
    mkdir "$work/$name"
    cp "$(binary "$target")" LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md "$work/$name/"
    cp -r "$pages/man" "$pages/completions" "$work/$name/"
    tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s \
        --mtime="@$epoch" "$name" | gzip --no-name --best >"dist/$name.tar.gz"
done
(cd dist && sha256sum -- "fcn-$version"-*.tar.gz >SHA256SUMS && cat SHA256SUMS)

# What is compiled but not handed out yet.
for target in x86_64-pc-windows-gnu aarch64-apple-darwin; do
    if rustup target list --installed | grep -qx "$target"; then
        printf '\n== checking %s\n' "$target"
        cargo check --release --locked --package fcn --target "$target"
    else
        printf '\n== not checked: %s (rustup target add %s)\n' "$target" "$target"
    fi
done
