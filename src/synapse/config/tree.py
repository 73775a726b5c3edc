"""The YAML tree before it has types: composed, with the place of each node, and shown in error messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml
from yaml.constructor import SafeConstructor

from synapse.config.errors import ConfigError
from synapse.logs import redact

if TYPE_CHECKING:
    from pathlib import Path

    from yaml.nodes import Node

    Scalar = str | int | float | bool | None

_TAG = "tag:yaml.org,2002:"
MAP_TAG = f"{_TAG}map"
STR_TAG = f"{_TAG}str"
NULL_TAG = f"{_TAG}null"
_SCALAR_TAGS = frozenset(f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null"))
_LONGEST_SHOWN = 60


def read(path: Path) -> str | None:
    """Give a file's text, or None where there is no such file. Raises ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {exc.start})") from exc


def compose(text: str, name: str, *, lines: bool = True) -> Node:
    """Parse one YAML document; `name` is the file or variable it came from, `lines` whether errors give its line.

    Raises ConfigError where the text is no YAML.
    """

    def wrong(line: int, problem: str) -> ConfigError:
        return ConfigError(f"{name}:{line}: {problem}" if lines else f"{name}: {problem}")

    try:
        loader = yaml.SafeLoader(text)
        loader.name = name
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise wrong(line, f"this is not YAML: {redact(_problem(exc))}") from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise wrong(line, f"this is not YAML: the character U+{exc.character:04X} may not stand in it") from exc
    except (ValueError, OverflowError) as exc:  # chr(): "\UFFFFFFFF"
        raise wrong(loader.line + 1, "this is not YAML: an escape stands for no character there is") from exc
    except RecursionError as exc:
        raise wrong(loader.line + 1, "this is nested too deeply") from exc
    return node if node is not None else null_node(name)


def null_node(name: str) -> yaml.ScalarNode:
    """Make a node for a value that was left out."""
    start = yaml.Mark(name, 0, 0, 0, None, 0)
    return yaml.ScalarNode(NULL_TAG, "", start, start)


def is_null(node: Node) -> bool:
    """Tell whether nothing stands there."""
    return isinstance(node, yaml.ScalarNode) and node.tag == NULL_TAG


def is_text(node: Node) -> bool:
    """Tell whether a text stands there."""
    return isinstance(node, yaml.ScalarNode) and node.tag == STR_TAG


def pairs(node: Node) -> list[tuple[Node, Node]]:
    """Give the keys and values of a mapping; nothing of what is none."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def child(node: Node, key: str) -> Node | None:
    """Give what stands under a key of a mapping, where it is one and has the key."""
    return next((value for name, value in pairs(node) if is_text(name) and name.value == key), None)


def scalar(node: Node) -> Scalar:
    """Give a scalar's value.

    Raises ValueError for lists and mappings, and for dates, bytes, private tags and tags that their text contradicts.
    """
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALAR_TAGS:
        raise ValueError(node.tag)
    try:
        value: Scalar = SafeConstructor().construct_object(node)
    except (KeyError, IndexError) as exc:
        raise ValueError(node.tag) from exc
    return value


def show(node: Node) -> str:
    """Say what stood there, in a few characters and without anything that looks like a key."""
    if not isinstance(node, yaml.ScalarNode):
        kind = "list" if isinstance(node, yaml.SequenceNode) else "mapping"
        return f"a {kind}" if node.value else f"an empty {kind}"
    if is_null(node):
        return "nothing"
    text = redact(node.value)
    short = text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
    return json.dumps(short, ensure_ascii=False) if node.style or node.tag == STR_TAG else short


def _problem(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)
