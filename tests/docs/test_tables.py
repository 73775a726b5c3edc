"""Tables of the docs say what the code says, all of it and nothing else."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from typing import TYPE_CHECKING

import msgspec
import pytest
from command_line import COMMANDS, options
from pages import PAGES, ROOT, blocks, names, read, section, table

import synapse
from synapse.client import GenerationResult
from synapse.config import schema
from synapse.config.expected import expected
from synapse.domain.errors import ERRORS, SynapseError
from synapse.domain.failure import FailureClass
from synapse.domain.quota import Measure
from synapse.domain.task import TaskState
from synapse.domain.usage import Usage
from synapse.protos import generate_pb2 as pb
from synapse.providers.catalog import ROWS
from synapse.providers.wires.base import Wire
from synapse.server.http.admin import CallerData, KeyData, UseData
from synapse.server.http.native import GenerateAnswer, GenerateBody
from synapse.server.prompt import GenerationConfig
from synapse.simulator import FaultKind
from synapse.task_log import TaskLine

if TYPE_CHECKING:
    from collections.abc import Iterator

API, CONFIGURATION, DESIGN = "docs/api.md", "docs/configuration.md", "docs/design.md"
OPERATIONS, PROVIDERS, SCHEDULING = "docs/operations.md", "docs/providers.md", "docs/scheduling.md"

SECTIONS: dict[str, type[schema.Section]] = {
    "server": schema.ServerConfig,
    "server.tls": schema.TlsConfig,
    "server.remote_images": schema.RemoteImagesConfig,
    "An item of server.callers": schema.CallerConfig,
    "worker": schema.WorkerConfig,
    "queue": schema.QueueConfig,
    "store": schema.StoreConfig,
    "retry": schema.RetryConfig,
    "scheduling": schema.SchedulingConfig,
    "providers": schema.ProvidersConfig,
    "models.NAME, of a type with an address": schema.HostedProvider,
    "models.NAME, of type openai": schema.OpenAIProvider,
    "models.NAME, of type simulator": schema.SimulatorProvider,
    "An item of codes": schema.ModelConfig,
    "limits": schema.LimitsConfig,
}
"""What each heading of the configuration's page is about."""


@pytest.mark.parametrize("heading", SECTIONS)
def test_each_key_of_the_configuration_has_its_type_and_default(heading: str) -> None:
    """A section's table lists its keys in order, with what is expected and what holds without them."""
    fields = msgspec.structs.fields(SECTIONS[heading])

    assert [row[:3] for row in table(CONFIGURATION, heading)] == [
        [f"`{field.name}`", expected(field.type), _default(field)] for field in fields
    ]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if isinstance(field.default, schema.Section):
        return "see below"
    if field.default in {None, ()}:
        return "none"
    return f"`{json.dumps(field.default) if isinstance(field.default, bool) else field.default}`"


def test_each_section_of_the_configuration_has_a_table() -> None:
    """No section is left out."""
    assert {*SECTIONS.values(), schema.Config} == set(schema.Section.__subclasses__())
    assert set(schema.Config.__struct_fields__) - {"models"} <= set(SECTIONS)


def test_each_type_of_provider_has_its_key_variables() -> None:
    """The table of API keys has a line for each type, with the variables that are read."""
    told = {names([row])[0]: names([row[1:]]) for row in table(CONFIGURATION, "API keys")}

    assert set(told) == set(ROWS)
    assert all(set(row.key_variables) <= set(told[kind]) for kind, row in ROWS.items())


def test_each_error_has_its_status_on_every_port() -> None:
    """The table of errors is that of the code, in its order, with the class that Python raises."""
    classes = {kind.code: kind.__name__ for kind in _subclasses(SynapseError)}

    assert [row[:4] for row in table(API, "Errors")] == [
        [f"`{code}`", str(row.http), row.grpc, f"`{classes[code]}`"] for code, row in ERRORS.items()
    ]
    assert {classes[code] for code in ERRORS} <= set(synapse.__all__)


def _subclasses(kind: type[SynapseError]) -> Iterator[type[SynapseError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


@pytest.mark.parametrize(
    ("page", "heading", "column", "struct"),
    [
        (API, "POST /generate", "field", GenerateBody),
        (API, "config", "field", GenerationConfig),
        (API, "The whole answer", "field", GenerateAnswer),
        (API, "The whole answer", "field of usage", Usage),
        (API, "GET /admin/keys", "field", KeyData),
        (API, "GET /admin/keys", "field of quotas", UseData),
        (API, "GET /admin/callers", "field of callers", CallerData),
        (API, "Python", "field of GenerationResult", GenerationResult),
        (OPERATIONS, "The task line", "field", TaskLine),
        (PROVIDERS, "Another dialect", "field of Wire", Wire),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_each_field_has_a_line(page: str, heading: str, column: str, struct: type[msgspec.Struct]) -> None:
    """A table of fields has them all, in order."""
    assert tuple(names(table(page, heading, column))) == struct.__struct_fields__


def test_each_field_of_the_messages_has_a_line() -> None:
    """What gRPC takes is among what REST takes, and the table of its answers has all that the proto has."""
    assert set(pb.Request.DESCRIPTOR.fields_by_name) <= set(GenerateBody.__struct_fields__)
    assert names(table(API, "gRPC", "field of Response")) == list(pb.Response.DESCRIPTOR.fields_by_name)


def test_the_example_of_a_key_has_its_fields() -> None:
    """The example of how a key stands leaves nothing out."""
    (example,) = (block for block in blocks("json", page=API) if block.heading == "GET /admin/keys")

    key = json.loads(example.content)

    assert tuple(key) == KeyData.__struct_fields__
    assert {tuple(use) for use in key["quotas"]} == {UseData.__struct_fields__}
    assert [use["measure"] for use in key["quotas"]] == list(Measure)


def test_the_example_of_a_task_line_has_its_fields() -> None:
    """The example is a task line that can be read as one."""
    examples = [json.loads(block.content) for block in blocks("json", page=OPERATIONS)]

    assert [tuple(example) for example in examples] == [TaskLine.__struct_fields__]


def test_each_state_is_in_the_picture() -> None:
    """The picture of a task's life has every state that the code has."""
    (picture,) = blocks("mermaid", page=DESIGN)

    states = set(re.findall(r"\w+(?= -->)|(?<=--> )\w+", picture.content))
    assert states == set(TaskState)


def test_each_class_of_failure_has_a_rule() -> None:
    """The table of what a failure leads to has every class."""
    assert set(names(table(SCHEDULING, "What a failure leads to"))) == set(FailureClass)


def test_the_layers_are_those_that_are_checked() -> None:
    """The picture of the layers is that of the contract which imports are checked against."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    picture = next(block.content for block in blocks("text", page=DESIGN))

    assert [line.partition("  ")[0] for line in picture.splitlines()] == [
        layer.replace("synapse.", "") for layer in layers
    ]


def test_each_kind_of_simulated_failure_is_told() -> None:
    """The table of `--fail` has every kind."""
    assert set(names(table(PROVIDERS, "The simulator", "kind of failure"))) == set(FaultKind)


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_each_option_of_the_command_line_is_told(command: str | None) -> None:
    """Whatever `--help` lists is mentioned in README or docs."""
    text = "\n".join(map(read, PAGES))

    missing = [option for option in options(command) if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)]
    assert options(command)
    assert not missing


def test_each_event_of_the_log_is_told() -> None:
    """The table of events has every one that the code logs, with its level, and none that it does not."""
    told = {(names([row])[0], row[1].partition(",")[0]) for row in table(OPERATIONS, "Logs")}

    assert told == {*_logged(), ("task", "info")}


def _logged() -> Iterator[tuple[str, str]]:
    for tree in _sources():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.Constant(value=str(event)), *_]
                ):
                    yield event, "error" if level == "exception" else level
                case ast.Call(func=ast.Name(id="News" | "_news"), args=[ast.Constant(value=str(event)), *_]):
                    yield event, "warning"


def _sources() -> Iterator[ast.Module]:
    for file in (ROOT / "src" / "synapse").rglob("*.py"):
        yield ast.parse(file.read_text(encoding="utf-8"))


def test_each_message_to_troubleshoot_is_one_of_the_code() -> None:
    """A message in the table is found in the code, piece by piece between what differs."""
    texts = [
        node.value
        for tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    messages = names(table(OPERATIONS, "Troubleshooting"))
    pieces = {piece.strip() for message in messages for piece in message.split("...")} - {""}
    assert len(messages) > 10
    assert not [piece for piece in pieces if not any(piece in text for text in texts)]


def test_each_known_provider_is_told_as_it_is() -> None:
    """The table of providers has each row with its wire, its address, and whether it fetches images."""
    told = [
        [f"`{kind}`", row.wire, f"`{row.base_url}`", "yes" if row.image_urls else "no"]
        for kind, row in ROWS.items()
        if row.base_url
    ]

    assert table(PROVIDERS, "Those that are known") == told


def test_each_cell_of_what_works_names_a_test() -> None:
    """A feature of a port is shown by a test of that name, over the wires that the row has."""
    tree = ast.parse((ROOT / "tests" / "sdk" / "test_matrix.py").read_text(encoding="utf-8"))
    tests = {
        f"{kind.name}.{test.name}"
        for kind in tree.body
        if isinstance(kind, ast.ClassDef)
        for test in kind.body
        if isinstance(test, ast.AsyncFunctionDef)
    }

    told = re.findall(r"`(Test\w+\.\w+)`", section(PROVIDERS, "What works over which wire"))
    assert len(told) == len(set(told)) > 20
    assert not set(told) - tests
