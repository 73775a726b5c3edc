"""The smallest value that a JSON Schema allows."""

from __future__ import annotations

from typing import cast

import msgspec

Schema = dict[str, object]

_WORD = "lorem"
_LEAST = ("minimum", "exclusiveMinimum")
_MOST = ("maximum", "exclusiveMaximum")


def instance_of(schema: object) -> str:
    """Return the JSON of a minimal value of a schema: of objects what is required, of lists one item or the least."""
    root = schema if isinstance(schema, dict) else {}
    return msgspec.json.encode(_value(root, root, frozenset())).decode()


def _value(schema: Schema, root: Schema, opened: frozenset[str]) -> object:
    """Return a value. `opened` are the references that are being followed: what they refer to is not repeated."""
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if choices := schema.get("enum"):
        return cast("list[object]", choices)[0]
    if isinstance(reference := schema.get("$ref"), str):
        return _value(_resolve(reference, root), root, opened | {reference})
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _value(_closed(cast("list[Schema]", options), opened), root, opened)
    for part in cast("list[Schema]", schema.get("allOf", [])):
        schema = _merged(schema, _resolve(cast("str", part["$ref"]), root) if "$ref" in part else part)
    return _typed(schema, root, opened)


def _typed(schema: Schema, root: Schema, opened: frozenset[str]) -> object:
    match _type(schema):
        case "object":
            required = cast("list[str]", schema.get("required", []))
            properties = cast("dict[str, Schema]", schema.get("properties", {}))
            return {name: _value(properties.get(name, {}), root, opened) for name in required}
        case "array":
            return _items(schema, root, opened)
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(schema)


def _type(schema: Schema) -> str:
    """Return its type in lower case, as Gemini's own schemas do not write it; the first where there are several."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _items(schema: Schema, root: Schema, opened: frozenset[str]) -> list[object]:
    items = schema.get("items")
    item = cast("Schema", items) if isinstance(items, dict) else {}
    prefix = [_value(one, root, opened) for one in cast("list[Schema]", schema.get("prefixItems", []))]
    if prefix or item.get("$ref") in opened or schema.get("maxItems") == 0:
        return prefix
    count = cast("int", schema.get("minItems", 1))
    return [_value(item, root, opened) for _ in range(max(1, count))]


def _number(schema: Schema) -> int | float:
    """Return 1, or what is next to it of what is allowed."""
    for name in _LEAST:
        least = schema.get(name)
        if isinstance(least, int | float) and least >= 1:
            return least + (1 if name == "exclusiveMinimum" else 0)
    for name in _MOST:
        most = schema.get(name)
        if isinstance(most, int | float) and most <= 1:
            return most - (1 if name == "exclusiveMaximum" else 0)
    return 1


def _text(schema: Schema) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    text = _WORD.ljust(cast("int", least), "m")
    return text[:most] if isinstance(most, int) else text


def _resolve(reference: str, root: Schema) -> Schema:
    """Return what a reference like `#/$defs/Name` refers to; anything where there is nothing."""
    value: object = root
    for step in reference.removeprefix("#").split("/")[1:]:
        value = value.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(value, dict) else {}
    return cast("Schema", value)


def _closed(options: list[Schema], opened: frozenset[str]) -> Schema:
    """Choose the first option that does not lead back to where we are."""
    return next((option for option in options if option.get("$ref") not in opened), options[-1])


def _merged(schema: Schema, part: Schema) -> Schema:
    """Add what a part of a schema asks for to the rest."""
    properties = {**cast("Schema", schema.get("properties", {})), **cast("Schema", part.get("properties", {}))}
    required = [*cast("list[str]", schema.get("required", [])), *cast("list[str]", part.get("required", []))]
    both = {**schema, **part}
    if properties:
        both["properties"] = properties
    if required:
        both["required"] = list(dict.fromkeys(required))
    return both
