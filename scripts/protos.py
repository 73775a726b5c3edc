"""Write the Python code of the published protos; `--check` only says whether what is committed is current.

Usage: python scripts/protos.py [--check]
"""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = "synapse/protos/generate.proto"
TARGET = ROOT / "src" / "synapse" / "protos"


def generate(into: Path) -> None:
    """Run protoc; the modules end up in `into/synapse/protos`."""
    arguments = [
        "protoc",
        f"-Isynapse/protos={ROOT / 'protos' / 'synapse'}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"--python_out={into}",
        f"--pyi_out={into}",
        PROTO,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit(f"protoc failed on {PROTO}")


def main() -> int:
    """Write or compare."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = {path.name: path.read_text() for path in sorted((Path(scratch) / "synapse" / "protos").iterdir())}
    if "--check" not in sys.argv[1:]:
        for name, text in fresh.items():
            (TARGET / name).write_text(text)
        return 0
    stale = [name for name, text in fresh.items() if (TARGET / name).read_text() != text]
    for name in stale:
        print(f"src/synapse/protos/{name} is not what protos/ says: run python scripts/protos.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
