"""JSON Schemas of the types that decode bodies and encode answers, with what the code says of their fields."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec

from synapse.server.http.openai import responses_items, responses_request

Json = dict[str, object]

REFERENCE: Final = "#/components/schemas/"
_PACKAGE = "synapse.server.http."
_ITEMS: Final[Mapping[type[msgspec.Struct], str]] = {
    responses_items.MessageItem: "message",
    responses_items.CallItem: "function_call",
    responses_items.CallOutputItem: "function_call_output",
    responses_items.ReasoningItem: "reasoning",
}
"""What stands in a list as it came and is read by its type later."""


class Schemas:
    """Schemas by name, and how each type refers to its own."""

    def __init__(self, types: Iterable[type[msgspec.Struct]]) -> None:
        """Describe the types and all that they consist of."""
        wanted = tuple(dict.fromkeys([*types, *_ITEMS]))
        references, found = msgspec.json.schema_components(wanted, ref_template=REFERENCE + "{name}")
        self._names = {kind: str(told["$ref"]) for kind, told in zip(wanted, references, strict=True)}
        self.components = cast("dict[str, Json]", found)
        self._tell_of_fields(wanted)
        self._list_items()

    def reference(self, kind: type[msgspec.Struct]) -> Json:
        """Refer to a type's schema."""
        return {"$ref": self._names[kind]}

    def _component(self, kind: type[msgspec.Struct]) -> Json:
        return self.components[self._names[kind].removeprefix(REFERENCE)]

    def _list_items(self) -> None:
        """Say what is in the list that `POST /v1/responses` reads item by item."""
        for kind, name in _ITEMS.items():
            item = self._component(kind)
            properties = cast("Json", item["properties"])
            item["properties"] = {"type": {"const": name}, **properties}
            if kind is not responses_items.MessageItem:
                item["required"] = ["type", *cast("list[str]", item.get("required", []))]
        body = cast("dict[str, Json]", self._component(responses_request.ResponsesBody)["properties"])
        body["input"]["anyOf"] = [
            {"type": "string"},
            {"type": "array", "items": {"anyOf": [self.reference(kind) for kind in _ITEMS]}, "minItems": 1},
        ]

    def _tell_of_fields(self, types: Sequence[type[msgspec.Struct]]) -> None:
        sources: dict[str, dict[str, dict[str, str]]] = {}
        for kind in _structs(types):
            name = self._name(kind)
            if name is None:
                continue
            told = _told(kind, sources)
            properties = cast("dict[str, Json]", self.components[name].get("properties", {}))
            for field, schema in properties.items():
                if field in told:
                    schema["description"] = told[field]

    def _name(self, kind: type[msgspec.Struct]) -> str | None:
        full = f"{kind.__module__}.{kind.__qualname__}"
        return next((name for name in (full, kind.__qualname__) if name in self.components), None)


def short(name: str) -> str:
    """Return a schema's name as people read it."""
    return name.removeprefix(_PACKAGE)


def _structs(types: Sequence[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """Return the structs among what some types consist of."""
    found: set[type[msgspec.Struct]] = set()
    pending: list[object] = [msgspec.inspect.type_info(kind) for kind in types]
    while pending:
        match pending.pop():
            case msgspec.inspect.StructType(cls=kind, fields=fields) if kind not in found:
                found.add(kind)
                pending += [field.type for field in fields]
            case msgspec.inspect.UnionType(types=members):
                pending += members
            case msgspec.inspect.CollectionType(item_type=item):
                pending.append(item)
            case msgspec.inspect.DictType(value_type=value):
                pending.append(value)
            case _:
                pass
    return found


def _told(kind: type[msgspec.Struct], sources: dict[str, dict[str, dict[str, str]]]) -> dict[str, str]:
    """Return what the source says of the fields of a struct: nothing where there is no source."""
    told: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        module = each.__module__
        if module not in sources:
            sources[module] = _of_module(module)
        told |= sources[module].get(each.__qualname__, {})
    return told


def _of_module(name: str) -> dict[str, dict[str, str]]:
    if not name.startswith("synapse."):
        return {}
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except OSError:
        return {}
    return {node.name: _of_class(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    """Return the text behind each field that has one."""
    told: dict[str, str] = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                told[name] = text
            case _:
                pass
    return told
