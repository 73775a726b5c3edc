"""Write the client for threads from the one for asyncio; `--check` only says whether what is committed is current.

    python scripts/unasync.py [--check]

The table must fit: a pattern that meets nothing is an error too.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "src" / "synapse" / "client"
SOURCE = CLIENT / "_async.py"
TARGET = CLIENT / "_sync.py"

SUBSTITUTIONS = (
    (r"^.*The client for asyncio\..*$", '"""The client for threads. Made from `_async.py` by `scripts/unasync.py`."""'),
    (r"^import asyncio\n", ""),
    (r"AsyncClient", "Client"),
    (r"AsyncGenerator, Iterable", "Generator, Iterable"),
    (r"AsyncGenerator\[", "Generator["),
    (r"AbstractContextManager, aclosing", "AbstractContextManager, closing"),
    (r"\baclosing\b", "closing"),
    (r"\baclose\b", "close"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"import grpc\.aio$", "import grpc"),
    (r"grpc\.aio\.", "grpc."),
    (r"await asyncio\.to_thread\((\w+), (\w+)\)", r"\1(\2)"),
    (r"  # noqa: ASYNC109 - .*$", ""),
    (r"\[(\w+) async for \1 in (\w+)\]", r"list(\2)"),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
)


def unasync(source: str) -> tuple[str, list[str]]:
    """Return the text for threads, and the patterns that met nothing."""
    unused = []
    for pattern, replacement in SUBSTITUTIONS:
        source, count = re.subn(pattern, replacement, source, flags=re.MULTILINE)
        if count == 0:
            unused.append(pattern)
    return source, unused


def main() -> int:
    """Write or compare."""
    fresh, unused = unasync(SOURCE.read_text())
    for pattern in unused:
        print(f"scripts/unasync.py: nothing in {SOURCE.name} matches {pattern!r}: take it out", file=sys.stderr)
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(fresh)
        return 1 if unused else 0
    stale = not TARGET.exists() or TARGET.read_text() != fresh
    if stale:
        print(f"{TARGET.name} is not what {SOURCE.name} says: run python scripts/unasync.py", file=sys.stderr)
    return 1 if unused or stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
