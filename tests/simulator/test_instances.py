"""The smallest values that schemas allow."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Optional

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from pydantic import BaseModel, TypeAdapter

from synapse.simulator.instance import instance_of


class Leaf(Struct):
    """Some fields with bounds."""

    name: str
    age: Annotated[int, Meta(ge=18)]
    share: Annotated[float, Meta(gt=0, lt=1)]
    code: Annotated[str, Meta(min_length=8)]
    letters: Annotated[str, Meta(max_length=2)]
    sort: Literal["b", "a"]
    maybe: int | None
    flag: bool
    left_out: str = ""


class Tree(BaseModel):
    """What contains itself, directly and in lists."""

    leaf: Optional[Tree]  # noqa: UP045 - a name that is yet to be
    leaves: list[Tree]
    table: dict[str, int]
    pair: tuple[int, str]


@pytest.mark.parametrize("kind", [Leaf, list[Leaf], dict[str, int], int, str, bool, None, int | str, Literal[3, 4]])
def test_a_value_is_what_its_schema_says(kind: type) -> None:
    """A decoder for the type that the schema was made of takes it."""
    schema = msgspec.json.schema(kind)

    msgspec.json.decode(instance_of(schema), type=kind)


def test_only_what_is_required_is_there() -> None:
    """With the words and numbers that callers can rely on."""
    made = json.loads(instance_of(msgspec.json.schema(Leaf)))

    assert made == {
        "name": "lorem",
        "age": 18,
        "share": pytest.approx(0.5),
        "code": "loremmmm",
        "letters": "lo",
        "sort": "a",
        "maybe": 1,
        "flag": True,
    }


def test_what_contains_itself_comes_to_an_end() -> None:
    """It is not repeated in itself."""
    made = instance_of(Tree.model_json_schema())

    tree = Tree.model_validate_json(made)

    assert (tree.leaf is None or tree.leaf.leaf is None) is True
    assert TypeAdapter(dict[str, object]).validate_json(made)["pair"] == [1, "lorem"]


def test_geminis_own_schemas_are_read_too() -> None:
    """Their types are in capitals."""
    schema = {
        "type": "OBJECT",
        "properties": {"n": {"type": "INTEGER"}, "l": {"type": "ARRAY", "items": {"type": "STRING"}}},
        "required": ["n", "l"],
    }

    assert json.loads(instance_of(schema)) == {"n": 1, "l": ["lorem"]}


def test_parts_that_must_all_hold_are_put_together() -> None:
    """References in them included."""
    schema = {
        "allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"const": 7}}, "required": ["y"]}],
        "$defs": {"a": {"type": "object", "properties": {"x": {"enum": ["first", "second"]}}, "required": ["x"]}},
    }

    assert json.loads(instance_of(schema)) == {"x": "first", "y": 7}


@given(st.integers(-1000, 1000), st.integers(0, 1000))
def test_numbers_keep_to_their_bounds(least: int, more: int) -> None:
    """Whatever they are."""
    made = json.loads(instance_of({"type": "integer", "minimum": least, "maximum": least + more}))

    assert least <= made <= least + more


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["type", "items", "properties", "required", "anyOf", "$ref", "enum"]), _JSON))
def test_what_is_no_schema_gives_something_all_the_same(schema: dict[str, object]) -> None:
    """A schema comes from outside: nothing in it may bring the simulator down."""
    json.loads(instance_of(schema))
