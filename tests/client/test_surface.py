"""The public interface, and the nets around it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import synapse
from synapse.domain import errors

ROOT = Path(__file__).resolve().parents[2]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own."""
    return subprocess.run(  # noqa: S603 - our own scripts
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_all_is_sorted_and_is_what_there_is() -> None:
    """Every exported name can be had, is called that at its home, and stands in order."""
    assert synapse.__all__ == sorted(synapse.__all__)
    assert dir(synapse) == synapse.__all__
    for name in synapse.__all__:
        assert name in {"__version__", getattr(getattr(synapse, name), "__name__", None)}


def test_every_error_of_the_tree_is_exported() -> None:
    """A caller can catch whatever a server can say."""
    tree = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}

    assert tree | {"ConnectionFailed"} == {
        name
        for name in synapse.__all__
        if isinstance(kind := getattr(synapse, name), type) and issubclass(kind, Exception)
    }


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The lazy module answers as any other."""
    with pytest.raises(AttributeError, match="Clinet"):
        _ = synapse.Clinet


def test_the_version_is_that_of_the_distribution() -> None:
    """The version stands in one place."""
    assert synapse.__version__ == version("synapse-queue")


def test_importing_the_package_loads_neither_grpc_nor_protobuf() -> None:
    """`import synapse` is cheap."""
    heavy = "{name.partition('.')[0] for name in sys.modules} & {'grpc', 'google', 'msgspec', 'asyncio'}"

    done = run_python("-c", f"import sys, synapse; print({heavy})")

    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_the_client_for_threads_is_what_the_other_says() -> None:
    """The generated file is current, and no pattern of the script is idle."""
    done = run_python("scripts/unasync.py", "--check")

    assert (done.returncode, done.stderr) == (0, "")


def test_both_clients_have_the_same_methods() -> None:
    """One can be had for the other, but for the name of close."""
    methods = {name for name in vars(synapse.AsyncClient) if not name.startswith("_")}

    assert {"close" if name == "aclose" else name for name in methods} == {
        name for name in vars(synapse.Client) if not name.startswith("_")
    }


def test_the_check_of_the_client_for_threads_sees_drift_and_idle_patterns(tmp_path: Path) -> None:
    """An edited copy fails the check until it is written again; so does a pattern that meets nothing."""
    script, client = tmp_path / "scripts/unasync.py", tmp_path / "src/synapse/client"
    shutil.copytree(ROOT / "src/synapse/client", client)
    script.parent.mkdir()
    shutil.copy(ROOT / "scripts/unasync.py", script)
    (client / "_sync.py").write_text("edited by hand")

    drifted = run_python(str(script), "--check")
    written = run_python(str(script))
    current = run_python(str(script), "--check")
    (client / "_async.py").write_text("class AsyncClient: ...\n")
    idle = run_python(str(script))

    assert (drifted.returncode, written.returncode, current.returncode, idle.returncode) == (1, 0, 0, 1)
    assert "run python scripts/unasync.py" in drifted.stderr
    assert "__aenter__" in idle.stderr
    assert (client / "_sync.py").read_text() == "class Client: ...\n"
