#!/usr/bin/env bash
# Make .venv hold exactly what a lock file says, and Synapse itself. Does nothing when that is so already.
# Usage: scripts/setup.sh requirements.lock|requirements-dev.lock
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
  for name in python3.13 python3.12 python3.11 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "Synapse needs Python 3.11 or newer, and there is none on the PATH: install one from https://www.python.org" >&2
  return 1
}

lock=$1
stamp=.venv/.installed-$(basename "$lock")
fingerprint=$(cat "$lock" pyproject.toml | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$fingerprint" ]; then
  exit 0
fi
python=$(find_python)
echo "setting up .venv from $lock with $("$python" --version), once" >&2
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
echo "$fingerprint" >"$stamp"
