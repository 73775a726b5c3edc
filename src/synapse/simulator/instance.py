"""The smallest value that a JSON Schema allows."""

from __future__ import annotations

from typing import TypeGuard

import msgspec

Schema = dict[str, object]

_WORD = "lorem"
_LONGEST = 10_000
"""Of texts and lists, whatever a schema asks for."""


def instance_of(schema: object) -> str:
    """Return the JSON of a minimal value of a schema: of objects what is required, of lists one item or the least.

    Of what is no schema it makes something all the same.
    """
    root = _schema(schema)
    return msgspec.json.encode(_value(root, root, frozenset())).decode()


def _value(schema: Schema, root: Schema, opened: frozenset[str]) -> object:
    """Return a value. `opened` are the references that are being followed: what they refer to is not repeated."""
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    if isinstance(reference := schema.get("$ref"), str):
        return None if reference in opened else _value(_resolve(reference, root), root, opened | {reference})
    if options := _schemas(schema.get("anyOf")) or _schemas(schema.get("oneOf")):
        return _value(_closed(options, opened), root, opened)
    for part in _schemas(schema.get("allOf")):
        reference = part.get("$ref")
        schema = _merged(schema, _resolve(reference, root) if isinstance(reference, str) else part)
    return _typed(schema, root, opened)


def _typed(schema: Schema, root: Schema, opened: frozenset[str]) -> object:
    match _type(schema):
        case "object":
            properties = _schema(schema.get("properties"))
            return {
                name: _value(_schema(properties.get(name)), root, opened) for name in _names(schema.get("required"))
            }
        case "array":
            return _items(schema, root, opened)
        case "integer" | "number" as kind:
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(schema)


def _type(schema: Schema) -> str:
    """Return its type in lower case, as Gemini's own schemas do not write it; the first where there are several."""
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        kind = kind[0]
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _items(schema: Schema, root: Schema, opened: frozenset[str]) -> list[object]:
    item = _schema(schema.get("items"))
    prefix = [_value(one, root, opened) for one in _schemas(schema.get("prefixItems"))]
    reference = item.get("$ref")
    if prefix or schema.get("maxItems") == 0 or (isinstance(reference, str) and reference in opened):
        return prefix
    return [_value(item, root, opened) for _ in range(max(1, _length(schema.get("minItems"))))]


def _number(schema: Schema, *, whole: bool) -> int | float:
    """Return 1, or what is next to it of what is allowed."""
    step = 1 if whole else _gap(schema)
    least = _bound(schema, "minimum", "exclusiveMinimum", step)
    most = _bound(schema, "maximum", "exclusiveMaximum", -step)
    if least is not None and least > 1:
        return least
    return most if most is not None and most < 1 else 1


def _gap(schema: Schema) -> float:
    """Return how far to keep from bounds that are not allowed themselves: half of what is between two."""
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if _is_number(low) and _is_number(high) and low < high:
        return (high - low) / 2
    return 1


def _bound(schema: Schema, including: str, excluding: str, step: float) -> int | float | None:
    if _is_number(bound := schema.get(excluding)):
        return bound + step
    return bound if _is_number(bound := schema.get(including)) else None


def _text(schema: Schema) -> str:
    text = _WORD.ljust(_length(schema.get("minLength")), "m")
    return text[: _length(schema["maxLength"])] if "maxLength" in schema else text


def _resolve(reference: str, root: Schema) -> Schema:
    """Return what a reference like `#/$defs/Name` refers to; anything where there is nothing."""
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = _schema(found.get(step.replace("~1", "/").replace("~0", "~")))
    return found


def _closed(options: list[Schema], opened: frozenset[str]) -> Schema:
    """Choose the first option that does not lead back to where we are."""
    return next((option for option in options if str(option.get("$ref")) not in opened), options[-1])


def _merged(schema: Schema, part: Schema) -> Schema:
    """Add what a part of a schema asks for to the rest."""
    properties = {**_schema(schema.get("properties")), **_schema(part.get("properties"))}
    required = [*_names(schema.get("required")), *_names(part.get("required"))]
    return {**schema, **part, **({"properties": properties, "required": required} if properties else {})}


def _schema(value: object) -> Schema:
    return value if isinstance(value, dict) else {}


def _schemas(value: object) -> list[Schema]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _names(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _length(value: object) -> int:
    return min(max(0, value), _LONGEST) if isinstance(value, int) else 0


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float)
