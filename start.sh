#!/usr/bin/env bash
# Sets up the environment on first use (and again when the locked dependencies change), then serves.
# Arguments go to `synapse serve`. Needs Python 3.11 or newer and a package index; nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
scripts/setup.sh requirements.lock
exec .venv/bin/synapse serve "$@"
