"""The client for threads. Made from `_async.py` by `scripts/unasync.py`."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, closing
from types import TracebackType
from typing import Self

import grpc

from synapse.client.channel import channel_options
from synapse.client.config import GenerationConfig
from synapse.client.errors import translating
from synapse.client.images import ImageSource, read_images
from synapse.client.metadata import read_metadata
from synapse.client.request import deadline, encode_request
from synapse.client.result import GenerationResult, decode_result, join_results
from synapse.client.target import parse_target
from synapse.protos import generate_pb2 as pb


class Client:
    """Sends prompts to a Synapse server over gRPC. Every failure is a `SynapseError`.

    It connects when it is first used, and has one connection for all its calls. Close it with `client.close()`
    or use it as `with Client() as client:`; closing cancels what still runs.
    """

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        api_key: str | None = None,
        tls: bool | None = None,
        root_certificates: bytes | None = None,
        metadata: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        """Remember where the server is, `HOST:PORT`, and the key it knows the caller by.

        `api_key` goes along with every call: that of the variable SYNAPSE_API_KEY where it is None; an empty one is
        none. TLS is used for `https://HOST`, for port 443, with `root_certificates` (PEM, in place of the system's),
        or as `tls` says. `metadata` goes along with every call, too.
        Raises `InvalidRequest` where target, key or metadata cannot be used.
        """
        self._target = parse_target(target, tls=True if tls is None and root_certificates is not None else tls)
        self._root_certificates = root_certificates
        self._metadata = read_metadata(metadata, api_key)
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._closed = False

    def generate_task(
        self,
        *,
        prompt: str,
        model_code: str,
        stream: bool = True,
        config: GenerationConfig | Mapping[str, float | None] | None = None,
        images: Iterable[ImageSource] = (),
        max_wait: float | None = None,
        timeout: float | None = None,
    ) -> Generator[GenerationResult]:
        """Yield a task's answer, piece by piece or with `stream=False` in one; and keepalives while there is none.

        The task is sent when the loop takes its first step. Leaving the loop early cancels the task at the server;
        where the generator is kept in a variable, `close()` it, or loop within `contextlib.closing`.

        `images` are the bytes or the paths of image files. `max_wait` is how many seconds the task may wait for its
        first attempt, `timeout` how many it may take as a whole; the server's own settings hold where they are None.
        Raises a `SynapseError` where there is no (more) answer; its class says why.
        """
        files = read_images(images) if images else []
        request = encode_request(
            prompt=prompt,
            model_code=model_code,
            stream=stream,
            config=config,
            images=files,
            max_wait=max_wait,
            timeout=timeout,
        )
        start = self._connect().unary_stream(
            "/synapse.Generate/GenerateTask",
            request_serializer=pb.Request.SerializeToString,
            response_deserializer=pb.Response.FromString,
        )
        call = start(request, timeout=deadline(timeout), metadata=self._metadata)
        try:
            with self._translating():
                for message in call:
                    yield decode_result(message)
        finally:
            call.cancel()

    def generate(
        self,
        *,
        prompt: str,
        model_code: str,
        config: GenerationConfig | Mapping[str, float | None] | None = None,
        images: Iterable[ImageSource] = (),
        max_wait: float | None = None,
        timeout: float | None = None,
    ) -> GenerationResult:
        """Return the whole answer of a task; takes what `generate_task` takes, and raises what it raises."""
        task = self.generate_task(
            prompt=prompt,
            model_code=model_code,
            stream=False,
            config=config,
            images=images,
            max_wait=max_wait,
            timeout=timeout,
        )
        with closing(task) as results:
            return join_results(list(results))

    def list_models(self, *, timeout: float = 30) -> list[str]:
        """Return the model codes that the server takes; `timeout` in seconds.

        Raises a `SynapseError` where the server did not say.
        """
        ask = self._connect().unary_unary(
            "/synapse.Generate/ListModels",
            request_serializer=pb.ListModelsRequest.SerializeToString,
            response_deserializer=pb.ListModelsResponse.FromString,
        )
        with self._translating():
            answer = ask(pb.ListModelsRequest(), timeout=timeout, metadata=self._metadata)
        return list(answer.models)

    def close(self) -> None:
        """Cancel what still runs and close the connection; harmless when done before. A closed client stays closed."""
        with self._lock:
            self._closed = True
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def _translating(self) -> AbstractContextManager[None]:
        return translating(self._target.address, lambda: self._closed)

    def _connect(self) -> grpc.Channel:
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed; make a new one")
            if self._channel is None:
                self._channel = self._open_channel()
            return self._channel

    def _open_channel(self) -> grpc.Channel:
        options = channel_options(self._target)
        if not self._target.tls:
            return grpc.insecure_channel(self._target.address, options)
        credentials = grpc.ssl_channel_credentials(self._root_certificates)
        return grpc.secure_channel(self._target.address, credentials, options)
