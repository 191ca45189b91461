#!/usr/bin/env bash
# Pins every dependency by version and hash, without any index address. Run it to upgrade: `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url "$@"; }
compile pyproject.toml --output-file requirements/core.txt
compile pyproject.toml --extra grpc --extra server --extra contracts --extra postgres --extra parquet --extra anthropic --extra openai --extra demo \
  --group test --group integrations --group lint --group build --output-file requirements/all.txt
compile --no-deps requirements/model.in --output-file requirements/model.txt
