#!/usr/bin/env bash
# Sets up the environment with what tests need, then runs all checks and all tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
scripts/setup.sh requirements-dev.lock
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/python -m pytest --cov=synapse --cov-fail-under=90 "$@"
