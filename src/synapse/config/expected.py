"""What belongs in a place, in words, from the type that stands there."""

from __future__ import annotations

import types
from typing import Union, get_args, get_origin

import msgspec
from msgspec import inspect


def members_of(kind: object) -> tuple[object, ...]:
    """Give the types of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in {Union, types.UnionType} else (kind,)


def takes_text(kind: object) -> bool:
    """Tell whether text belongs there, or may."""
    return any(get_args(member)[:1] == (str,) for member in members_of(kind))


def may_be_secret(kind: object) -> bool:
    """Tell whether people who mistake what belongs there write a secret."""
    details = [detail for member in members_of(kind) for detail in get_args(member)[1:]]
    return any(isinstance(detail, msgspec.Meta) and (detail.extra or {}).get("secret") for detail in details)


def expected(kind: object) -> str:
    """Describe the values of a type: `an integer from 0 to 65535`."""
    return " or ".join(_describe(member) for member in members_of(kind) if member is not types.NoneType)


def _describe(kind: object) -> str:
    if get_origin(kind) is dict:
        return "a mapping of at least one provider by its name"
    if get_origin(kind) is tuple:
        return f"a list with at least one item: {expected(get_args(kind)[0])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"a mapping of {', '.join(kind.__struct_fields__)}"
    return _describe_scalar(inspect.type_info(kind))


def _describe_scalar(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.IntType(ge=low, le=high):
            return f"an integer {_range(low, high)}"
        case inspect.FloatType(gt=0):
            return "a number above 0"
        case inspect.FloatType(ge=low, le=high):
            return f"a number {_range(low, high)}"
        case inspect.BoolType():
            return "true or false"
        case _:
            choices = _choices(info)
            return f"one of {', '.join(choices)}" if choices else "text"


def _choices(info: inspect.Type) -> list[str]:
    match info:
        case inspect.LiteralType(values=values):
            return [str(value) for value in values]
        case inspect.EnumType(cls=members):
            return [str(member.value) for member in members]
        case _:
            return []


def _range(low: float | None, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"from {low} to {high}"
