"""The types of the public interface. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import assert_type

from synapse import (
    AsyncClient,
    Client,
    ConnectionFailed,
    GenerationConfig,
    GenerationResult,
    QueueFull,
    SynapseError,
    Usage,
    __version__,
)

assert_type(__version__, str)


def threads() -> None:
    """Use the client for threads."""
    with Client("localhost:50051") as client:
        assert_type(client, Client)
        for result in client.generate_task(prompt="Why?", model_code="fast", stream=True):
            assert_type(result, GenerationResult)
            assert_type(result.text, str)
            assert_type(result.is_keep_alive, bool)
            assert_type(result.finish_reason, str | None)
            assert_type(result.usage, Usage | None)
            assert_type(result.task_id, str)
        assert_type(client.generate_task(prompt="Why?", model_code="fast"), Generator[GenerationResult])
        assert_type(client.generate(prompt="Why?", model_code="fast", images=["cat.png"]), GenerationResult)
        assert_type(client.list_models(), list[str])
    client.close()


async def asyncio() -> None:
    """Use the client for asyncio."""
    async with AsyncClient(tls=True, root_certificates=b"", metadata={"authorization": "Bearer ..."}) as client:
        assert_type(client, AsyncClient)
        async for result in client.generate_task(
            prompt="Why?",
            model_code="fast",
            config=GenerationConfig(temperature=0.5, top_p=1, top_k=40, output_length=100),
            images=[b"GIF89a", "cat.png", Path("cat.png")],
            max_wait=60,
            timeout=120.5,
        ):
            assert_type(result, GenerationResult)
        assert_type(client.generate_task(prompt="Why?", model_code="fast"), AsyncGenerator[GenerationResult])
        whole = await client.generate(prompt="Why?", model_code="fast", config={"temperature": 0.5, "top_k": 40})
        assert_type(whole, GenerationResult)
        assert_type(await client.list_models(timeout=5), list[str])
    await client.aclose()


def errors() -> None:
    """Catch what goes wrong."""
    try:
        threads()
    except QueueFull as error:
        assert_type(error.retry_after, float | None)
    except ConnectionFailed as error:
        assert_type(error.message, str)
    except SynapseError as error:
        assert_type(error.code, str)
        assert_type(error.field, str | None)


def refused(client: Client, config: GenerationConfig) -> None:
    """Be told by the type checker; an ignore that is not needed is an error of its own."""
    client.generate(prompt="Why?")  # type: ignore[call-arg]
    client.generate("Why?", "fast")  # type: ignore[call-arg]
    client.generate(prompt="Why?", model_code="fast", images=[1])  # type: ignore[list-item]
    GenerationConfig(temprature=0.5)  # type: ignore[call-arg]
    config.temperature = 0.5  # type: ignore[misc]
