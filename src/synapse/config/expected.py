"""What belongs in a place, in words, from the type that stands there."""

from __future__ import annotations

from msgspec import inspect


def expected(kind: object) -> str:
    """Describe the values of a type: `an integer from 0 to 65535`."""
    return _describe(inspect.type_info(kind))


def takes_text(kind: object) -> bool:
    """Tell whether any text may stand there."""
    info = inspect.type_info(kind)
    members = info.types if isinstance(info, inspect.UnionType) else (info,)
    return any(isinstance(_bare(member), inspect.StrType) for member in members)


def _bare(info: inspect.Type) -> inspect.Type:
    return info.type if isinstance(info, inspect.Metadata) else info


def _describe(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            words = text
        case inspect.IntType(ge=low, le=high):
            words = f"an integer {_range(low, high)}"
        case inspect.FloatType(gt=0):
            words = "a number above 0"
        case inspect.FloatType(ge=low, le=high):
            words = f"a number {_range(low, high)}"
        case inspect.LiteralType(values=values):
            words = f"one of {', '.join(map(str, values))}"
        case inspect.UnionType(types=members):
            words = " or ".join(_describe(member) for member in members if not isinstance(member, inspect.NoneType))
        case inspect.VarTupleType(item_type=item):
            words = f"a list with at least one item: {_describe(item)}"
        case inspect.DictType():
            words = "a mapping of names"
        case inspect.StructType(fields=fields):
            words = f"a mapping of {', '.join(field.name for field in fields)}"
        case _:
            words = "text"
    return words


def _range(low: float | None, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"from {low} to {high}"
