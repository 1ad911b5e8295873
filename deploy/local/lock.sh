#!/bin/sh
# Renew the lock files: what the API processes need, what a worker needs, and everything.
set -eu
cd "$(dirname "$0")/../.."
compile() {
    output=$1
    shift
    .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --output-file "$output" "$@"
    if grep -q '://' "$output"; then
        echo "$output names an address: a lock file must leave that to whoever installs." >&2
        exit 1
    fi
}
compile requirements.lock
compile requirements-worker.lock --extra speech --extra sip --extra local
compile requirements-dev.lock --all-extras
