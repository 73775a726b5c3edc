"""From the YAML tree to the configuration's structs, noting every error on the way."""

from __future__ import annotations

import difflib
import math
import re
import types
from typing import TYPE_CHECKING, TypeVar, get_args, get_origin

import msgspec
import yaml

from synapse.config.expected import expected, may_be_secret, members_of, takes_text
from synapse.config.schema import NAMES_THAT_TELL, PROVIDER_TYPES, ModelConfig, ProviderConfig, ProviderType
from synapse.config.tree import child, is_null, is_text, pairs, scalar, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yaml.nodes import Node

S = TypeVar("S", bound=msgspec.Struct)

_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Reader:
    """Reads one file. Where there are `errors` in the end, what was read is of no use."""

    def __init__(self, file: str) -> None:
        """Take the file's name; nodes that bear another name come from the variable of that name."""
        self.errors: list[str] = []
        self._file = file
        self._places: dict[str, str] = {}
        self._codes: dict[str, str] = {}

    def struct(self, node: Node, kind: type[S], path: str, **given: object) -> S | None:
        """Read a mapping into a struct, or None where any part of it is wrong. `given` need not stand in it.

        A section without content has its defaults.
        """
        if not isinstance(node, yaml.MappingNode) and not is_null(node):
            self._refuse(node, kind, path)
            return None
        errors_before = len(self.errors)
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        values = given
        for key, value in self._pairs(node, path):
            if key.value in fields:
                values[key.value] = self._value(value, fields[key.value].type, _join(path, key.value))
            else:
                self._note(key, _join(path, key.value), _unknown(key.value, list(fields)))
        for field in fields.values():
            if field.required and field.name not in values:
                self._note(node, _join(path, field.name), f"missing, expected {expected(field.type)}")
        return kind(**values) if len(self.errors) == errors_before else None

    def note(self, path: str, problem: str) -> None:
        """Add an error about a value that has been read, or that was left out."""
        self.errors.append(f"{self._places.get(path, self._file)}: {path}: {problem}")

    def _value(self, node: Node, kind: object, path: str) -> object:
        self._places[path] = self._place(node)
        if kind == ProviderConfig:
            return self._provider(node, path)
        if get_origin(kind) is dict:
            return self._models(node, kind, path)
        if get_origin(kind) is tuple:
            return self._list(node, kind, path)
        members = members_of(kind)
        if is_null(node) and types.NoneType in members:
            return None
        structs = [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]
        if structs and (isinstance(node, yaml.MappingNode) or len(members) == 1):
            return self.struct(node, structs[0], path)
        return self._scalar(node, kind, path)

    def _scalar(self, node: Node, kind: object, path: str) -> object:
        try:
            value = scalar(node)
            if _usable(value):
                return msgspec.convert(value, kind)
        except ValueError:  # msgspec's ValidationError is one
            pass
        self._refuse(node, kind, path)
        return None

    def _list(self, node: Node, kind: object, path: str) -> tuple[object, ...]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self._refuse(node, kind, path)
            return ()
        item = get_args(kind)[0]
        return tuple(self._value(value, item, f"{path}[{index}]") for index, value in enumerate(node.value))

    def _models(self, node: Node, kind: object, path: str) -> dict[str, object]:
        if not isinstance(node, yaml.MappingNode) or not node.value:
            self._refuse(node, kind, path)
            return {}
        provider = get_args(kind)[1]
        return {
            key.value: self._value(value, provider, _join(path, key.value)) for key, value in self._pairs(node, path)
        }

    def _provider(self, node: Node, path: str) -> ProviderConfig | None:
        name = path.partition(".")[2]
        if not _PROVIDER_NAME.fullmatch(name):
            self.note(path, "a provider's name begins with a letter or digit and has only those, '-', '_' and '.'")
        stated = child(node, "type")
        kind = self._value(stated, ProviderType, f"{path}.type") if stated else name
        if stated is None and name not in NAMES_THAT_TELL:
            self.note(path, f"type is missing, expected {expected(ProviderType)}")
        struct = PROVIDER_TYPES.get(str(kind))
        provider = self.struct(node, struct, path, type=kind) if struct else None
        for index, entry in enumerate(provider.codes if provider else ()):
            self._claim(entry.code if isinstance(entry, ModelConfig) else entry, f"{path}.codes[{index}]")
        return provider

    def _claim(self, code: str, path: str) -> None:
        first = self._codes.setdefault(code, path)
        if first != path:
            where = f"{first} ({self._places[first]})"
            self.note(path, f'got "{code}", expected a code of its own: {where} has it already')

    def _pairs(self, node: Node, path: str) -> Iterator[tuple[yaml.ScalarNode, Node]]:
        seen: dict[str, str] = {}
        for key, value in pairs(node):
            if not isinstance(key, yaml.ScalarNode) or not is_text(key):
                self._note(key, path, f"got {show(key)} as a key, expected text; in quotes it is text")
            elif key.value in seen:
                self._note(key, _join(path, key.value), f"given twice, the first time at {seen[key.value]}")
            else:
                seen[key.value] = self._place(key)
                yield key, value

    def _refuse(self, node: Node, kind: object, path: str) -> None:
        quotes = isinstance(node, yaml.ScalarNode) and not is_text(node) and not is_null(node) and takes_text(kind)
        hint = "; in quotes it is text" if quotes else ""
        found = "something else" if may_be_secret(kind) else show(node)
        self._note(node, path, f"got {found}, expected {expected(kind)}{hint}")

    def _note(self, node: Node, path: str, problem: str) -> None:
        about = f"{path}: " if path else ""
        self.errors.append(f"{self._place(node)}: {about}{problem}")

    def _place(self, node: Node) -> str:
        mark = node.start_mark
        return f"{mark.name}:{mark.line + 1}" if mark.name == self._file else mark.name


def _usable(value: str | float | None) -> bool:
    """Tell text that fits on a line and numbers that are numbers from what YAML can say besides."""
    if isinstance(value, str):
        return value.isprintable()
    return not isinstance(value, float) or math.isfinite(value)


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=2)
    suggestion = f"; did you mean {' or '.join(near)}?" if near else ";"
    return f"unknown key{suggestion} Known here: {', '.join(known)}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
