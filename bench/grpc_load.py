"""A load over gRPC: as many calls at a time as the plan has connections, over a few channels.

    python bench/grpc_load.py '{"url": "127.0.0.1:50051", "pid": SERVER, "connections": 32, "seconds": 3}'

The client is Python's own and costs about as much as the server: read the server's processor time, not the rate.
Takes a `Plan` and prints a `results.Sample`, both JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import msgspec
import uvloop

from answers import MARK
from machine import Meter
from plan import PROMPT, Plan, Tally
from synapse.protos import generate_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from results import Sample

CHANNELS = 4
METHOD = "/synapse.Generate/GenerateTask"
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Channels to the same address share a connection unless told otherwise."""


class Load:
    """Keeps the calls going, and sums up."""

    def __init__(self, plan: Plan) -> None:
        """Take the plan."""
        self._plan = plan
        self._tally = Tally()
        self._done = False
        self._request = pb.Request(prompt=PROMPT, model_code=plan.model, stream=plan.stream)

    async def run(self) -> Sample:
        """Connect, warm up, measure, hang up."""
        channels = [grpc.aio.insecure_channel(self._plan.url, options=OWN_CONNECTION) for _ in range(CHANNELS)]
        async with asyncio.TaskGroup() as callers:
            for number in range(self._plan.connections):
                callers.create_task(self._call_on(channels[number % CHANNELS]))
            await asyncio.sleep(self._plan.warmup)
            sample = await self._measure()
        for channel in channels:
            await channel.close()
        return sample

    async def _measure(self) -> Sample:
        self._tally = tally = Tally()
        meter = Meter(self._plan.pid)
        await asyncio.sleep(self._plan.seconds)
        self._done = True
        return tally.sample(meter)

    async def _call_on(self, channel: grpc.aio.Channel) -> None:
        method = channel.unary_stream(
            METHOD, request_serializer=pb.Request.SerializeToString, response_deserializer=pb.Response.FromString
        )
        while not self._done:
            start = time.monotonic()
            try:
                marks = await self._read(method(self._request))
            except grpc.aio.AioRpcError:
                marks = -1
                await asyncio.sleep(0.01)
            self._tally.requests += 1
            self._tally.errors += marks < 0 or (self._plan.marks not in (0, marks))
            self._tally.seconds.append(time.monotonic() - start)

    async def _read(self, call: grpc.aio.UnaryStreamCall[Message, pb.Response]) -> int:
        marks = 0
        while True:
            response = await call.read()
            if not isinstance(response, pb.Response):
                return marks
            count = response.chunk.count(MARK)
            marks += count
            self._tally.events += count
            self._tally.frames += 1
            self._tally.reads += 1


if __name__ == "__main__":
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    print(msgspec.json.encode(uvloop.run(Load(plan).run())).decode())
