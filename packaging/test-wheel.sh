#!/usr/bin/env bash
# Builds the wheel, installs it where nothing else is, and runs the program that it brings. Needs a Rust toolchain and
# Python with venv; everything but the build itself is in a temporary folder.
#
#   packaging/test-wheel.sh [--out DIR] [FLAGS OF MATURIN...]
#
# --out keeps a copy of the wheel there. All other words go to `maturin build`, such as --target x86_64-unknown-linux-musl.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kept=
if [[ ${1:-} == --out ]]; then
    kept=$(mkdir -p "${2:?--out needs a folder}" && cd "$2" && pwd)
    shift 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/python"
python3 -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet 'maturin>=1.8,<2.0'
"$work/tools/bin/maturin" build --release --out "$work/wheels" "$@"

wheel=$(echo "$work"/wheels/fcn_seg-*.whl)
printf '\n%s: %s bytes\n' "$(basename "$wheel")" "$(wc -c <"$wheel")"
[[ -z $kept ]] || cp "$wheel" "$kept/"

# Without the index: a wheel that needs another package fails here.
python3 -m venv "$work/fresh"
"$work/fresh/bin/pip" install --quiet --no-index "$wheel"
cd "$work" # so that nothing of the repository is at hand
fcn=$work/fresh/bin/fcn
"$fcn" --version
"$fcn" completions bash | grep -q 'complete -F _fcn'
"$fcn" bench crf --size 32x32 --runs 1
echo "the wheel works"
