"""How the keys of providers stand, for those who may see it."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING

import msgspec
import pytest

from synapse.domain.caller import Caller
from synapse.domain.quota import Measure
from synapse.domain.standing import KeyStanding, Use
from synapse.server.callers import Callers

if TYPE_CHECKING:
    from conftest import Open

AT = 1_767_225_600.0
STANDINGS = [
    KeyStanding(
        "gemini",
        "…cdef",
        "mine",
        "gemini-2.5-pro",
        (Use(Measure.RPM, 5, 5, AT + 12.5), Use(Measure.TPM, 100, None, None)),
        2,
        AT + 60,
        "the day's quota is used up",
    ),
    KeyStanding("gemini", "…", "other", None, (), 0, math.inf, "the key is not valid"),
    KeyStanding("ollama", None, None, None, (), 0, None, None),
]


async def test_the_keys_are_told_as_json(open_ports: Open) -> None:
    """Instants as people and programs read them; what is benched for good is benched for `never`."""
    ports = await open_ports(keys=lambda: STANDINGS)

    response, body = await ports.fetch("/admin/keys")

    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {
        "keys": [
            {
                "provider": "gemini",
                "credential": "…cdef",
                "project": "mine",
                "model": "gemini-2.5-pro",
                "quotas": [
                    {"measure": "rpm", "used": 5, "limit": 5, "reopens_at": "2026-01-01T00:00:12.500000Z"},
                    {"measure": "tpm", "used": 100, "limit": None, "reopens_at": None},
                ],
                "running": 2,
                "benched_until": "2026-01-01T00:01:00Z",
                "reason": "the day's quota is used up",
            },
            {
                "provider": "gemini",
                "credential": "…",
                "project": "other",
                "model": None,
                "quotas": [],
                "running": 0,
                "benched_until": "never",
                "reason": "the key is not valid",
            },
            {
                "provider": "ollama",
                "credential": None,
                "project": None,
                "model": None,
                "quotas": [],
                "running": 0,
                "benched_until": None,
                "reason": None,
            },
        ]
    }
    key, use = json.loads(body)["keys"][0], json.loads(body)["keys"][0]["quotas"][0]
    assert tuple(key) == KeyStanding.__struct_fields__
    assert tuple(use) == Use.__struct_fields__


async def test_there_may_be_no_keys(open_ports: Open) -> None:
    """Then the list is empty."""
    ports = await open_ports()

    assert json.loads((await ports.fetch("/admin/keys"))[1]) == {"keys": []}


@pytest.mark.parametrize(("key", "status"), [("app", 403), ("ops", 200)])
async def test_only_an_admin_sees_the_keys(open_ports: Open, key: str, status: int) -> None:
    """Where callers are told apart; who may not is told what would let it."""
    known = {hashlib.sha256(name.encode()).digest(): Caller(name, admin=name == "ops") for name in ("app", "ops")}
    ports = await open_ports(Callers(known), keys=lambda: STANDINGS)

    response, body = await ports.fetch("/admin/keys", headers={"Authorization": f"Bearer {key}"})

    assert response.status == status
    assert (b"gemini" in body) is (status == 200)
    if status == 403:
        error = msgspec.json.decode(body)["error"]
        assert error["type"] == "permission_denied"
        assert "admin: true" in error["message"]


async def test_the_keys_are_only_to_be_read(open_ports: Open) -> None:
    """HEAD gives their headers, and nothing else is taken."""
    ports = await open_ports(keys=lambda: STANDINGS)

    head, nothing = await ports.fetch("/admin/keys", method="HEAD")
    post, _ = await ports.fetch("/admin/keys", method="POST")

    assert (head.status, nothing, post.status) == (200, b"", 405)
    assert int(head.headers["content-length"]) > 100
