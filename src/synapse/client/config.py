"""How the model is to answer, as the published API spells it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from synapse.client.field import set_field
from synapse.domain.errors import InvalidRequest
from synapse.protos import generate_pb2 as pb


class GenerationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the model picks its words. None leaves a choice to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    output_length: int | None = None
    """The longest answer, in output tokens."""


_NAMES = GenerationConfig.__struct_fields__


def encode_config(config: GenerationConfig | Mapping[str, float | None]) -> pb.GenerationConfig:
    """Return the config as it is sent.

    Raises `InvalidRequest` for a name that is none of `GenerationConfig`'s, or a value of the wrong type.
    """
    given = config if isinstance(config, Mapping) else msgspec.structs.asdict(config)
    message = pb.GenerationConfig()
    for name, value in given.items():
        if name not in _NAMES:
            raise InvalidRequest(f"there is no config.{name}; config takes {', '.join(_NAMES)}", field=f"config.{name}")
        if value is not None:
            expected = "a whole number below 2147483648" if name == "output_length" else "a number"
            set_field(message, name, value, expected, path=f"config.{name}")
    return message
