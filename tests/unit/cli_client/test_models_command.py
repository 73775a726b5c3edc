"""`synapse models`, against a scripted server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.testing.grpc_server import ScriptedServer

if TYPE_CHECKING:
    from conftest import Run


async def test_models_are_listed_one_a_line(run: Run) -> None:
    """The list can be read by people and by `grep`."""
    async with ScriptedServer(models=["sim/echo", "z-ai/glm-4.5-air:free"]) as server:
        assert await run(server.target, "models") == (0, "sim/echo\nz-ai/glm-4.5-air:free\n", "")


async def test_a_server_without_models_prints_nothing(run: Run) -> None:
    """There is no empty line for no model."""
    async with ScriptedServer() as server:
        assert await run(server.target, "models") == (0, "", "")


async def test_json_is_what_the_rest_api_answers(run: Run) -> None:
    """One object with the list in it; `--server` overrules the environment."""
    async with ScriptedServer(models=["sim/echo"]) as server:
        assert await run("localhost:1", "models", "--json", "--server", server.target) == (
            0,
            '{"models": ["sim/echo"]}\n',
            "",
        )


async def test_without_a_server_it_says_how_to_start_one(run: Run) -> None:
    """The command ends at once, with one line."""
    status, out, errors = await run("localhost:1", "models")

    assert (status, out, errors.count("\n")) == (1, "", 1)
    assert "synapse serve" in errors
