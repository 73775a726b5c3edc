"""The environment: `.env` beside the configuration file, and values of the file overridden by variables."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import dotenv
import yaml

from synapse.config.errors import ConfigError
from synapse.config.tree import MAP_TAG, STR_TAG, compose, is_null, is_text, null_node, pairs, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from yaml.nodes import Node

PREFIX = "SYNAPSE_"
NO_OVERRIDES = frozenset({"SYNAPSE_SERVER", "SYNAPSE_URL", "SYNAPSE_API_KEY", "SYNAPSE_RECORDINGS"})
"""Variables with our prefix that are for others: the addresses that clients call, their key, the tests' recordings."""
_KUBERNETES = re.compile(r"SYNAPSE_(SERVICE_HOST|(SERVICE_)?PORT(_.*)?)")
"""What Kubernetes sets in every pod where a service is named `synapse`."""


def environment(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Join the `.env` beside the configuration file `path` with the real environment, which wins.

    Values are taken as they stand: `${…}` is not expanded. Raises ConfigError where `.env` cannot be read.
    """
    return {**_dotenv(path.parent / ".env"), **environ}


def with_overrides(root: Node, environ: Mapping[str, str], errors: list[str]) -> Node:
    """Put the values of all `SYNAPSE_…` variables into the tree, noting what cannot be put there in `errors`."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NO_OVERRIDES or _KUBERNETES.fullmatch(variable):
            continue
        try:
            value = compose(environ[variable], variable, lines=False)
            root = _put(root, variable.removeprefix(PREFIX).split("__"), value)
        except ConfigError as exc:
            errors.append(str(exc))
    return root


def _put(node: Node, keys: Sequence[str], value: Node, path: str = "the file") -> Node:
    """Make a copy of the mapping with the value in the place that the keys lead to."""
    if not keys:
        return value
    mark = value.start_mark
    if not is_null(node) and not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{mark.name}: {path} is no mapping, so nothing in it can be set")
    entries = pairs(node)
    index = next((index for index, (key, _) in enumerate(entries) if _names(keys[0], key)), len(entries))
    if index == len(entries):
        entries.append((yaml.ScalarNode(STR_TAG, keys[0].lower(), mark, mark), null_node(mark.name)))
    key, old = entries[index]
    here = key.value if path == "the file" else f"{path}.{key.value}"
    entries[index] = (key, _put(old, keys[1:], value, here))
    return yaml.MappingNode(MAP_TAG, entries, node.start_mark, node.end_mark)


def _names(key: str, node: Node) -> bool:
    """Tell whether a part of a variable's name means this key: variables have no small letters and no `-`."""
    return is_text(node) and re.sub(r"[^a-z0-9]", "_", node.value.lower()) == key.lower()


def _dotenv(path: Path) -> dict[str, str]:
    values = dotenv.dotenv_values(stream=io.StringIO(read(path) or ""), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}
