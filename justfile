# `just` lists the recipes; `just check` is what must pass before a change lands.

default:
    @just --list

# Format, lint, test, document: exactly what .ci/run runs.
check:
    .ci/run

# The suite alone.
test:
    cargo test --release --workspace

# Draw a data set, train on it and look at the pictures: minutes on two cores.
quickstart *FLAGS:
    cargo run --release -- quickstart {{ FLAGS }}

# The pages of docs/ as a site (needs mdbook).
book:
    mdbook serve docs --open

# The archives of a release, in dist/.
release *TARGETS:
    packaging/release.sh {{ TARGETS }}

# The wheel, built and tried in a fresh environment.
wheel *FLAGS:
    packaging/test-wheel.sh {{ FLAGS }}

# Licences, duplicate and unmaintained dependencies (needs cargo-deny).
deny:
    cargo deny check

# Spelling (needs typos-cli).
typos:
    typos
