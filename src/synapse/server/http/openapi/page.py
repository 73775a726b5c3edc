"""The document as a page for people: one piece of HTML that needs nothing from anywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final, cast

from synapse.server.http.openapi.schemas import REFERENCE, Json, short

_STYLE: Final = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1.5rem}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem}
code,pre{font:0.875em/1.45 ui-monospace,monospace}
pre{background:#8881;padding:.75rem;overflow-x:auto;border-radius:6px}
details{border:1px solid #8884;border-radius:6px;margin:.5rem 0;padding:.5rem .75rem}
summary{cursor:pointer}.method{display:inline-block;min-width:3.5em;font-weight:700}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;border-bottom:1px solid #8883}
"""
_BOUNDS: Final = {"minimum": "≥", "exclusiveMinimum": "&gt;", "maximum": "≤", "exclusiveMaximum": "&lt;"}
_WIDEST_DEFAULT: Final = 60
"""Characters."""


def render(document: Json) -> str:
    """Write the page."""
    info = cast("Mapping[str, str]", document["info"])
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return "".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{escape(info['description'])}</p>",
            '<p>For programs: <a href="/openapi.json"><code>/openapi.json</code></a>.</p>',
            *_routes(document),
            *_types(document),
            "</body></html>\n",
        ]
    )


def _routes(document: Json) -> Iterator[str]:
    paths = cast("dict[str, dict[str, Any]]", document["paths"])
    for tag in cast("list[dict[str, str]]", document["tags"]):
        yield f'<h2 id="{tag["name"]}">{tag["name"]}</h2><p>{_marked(tag["description"])}</p>'
        for path, methods in paths.items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield from _route(path, method, operation)


def _route(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<details id="{operation["operationId"]}"><summary><code><span class="method">{method.upper()}</span> '
    yield f"{escape(path)}</code> {escape(operation['summary'])}</summary>"
    yield f"<p>{_marked(operation.get('description', ''))}</p>"
    if operation["parameters"]:
        rows = [(each["name"], each["in"], each.get("description", "")) for each in operation["parameters"]]
        yield from _table(("parameter", "in", "meaning"), rows)
    if "requestBody" in operation:
        ((_, body),) = operation["requestBody"]["content"].items()
        yield f"<p>Takes {_type(body['schema'])}, as JSON:</p>"
        yield f"<pre>{escape(json.dumps(body['example'], indent=2))}</pre>"
    for status, answer in operation["responses"].items():
        yield from _answer(status, answer)
    yield "</details>"


def _answer(status: str, answer: Mapping[str, Any]) -> Iterator[str]:
    shown = [
        f"<code>{escape(kind)}</code>{_type(content['schema']) if kind.endswith('json') else ''}"
        for kind, content in answer["content"].items()
    ]
    kinds = ", or ".join(each.removeprefix("<code>application/json</code>") for each in shown)
    yield f"<p><strong>{status}</strong> {_marked(answer['description'])} {kinds}</p>"
    if "headers" in answer:
        yield from _table(
            ("header", "meaning"), [(name, each["description"]) for name, each in answer["headers"].items()]
        )
    for content in answer["content"].values():
        if "example" in content:
            yield f"<pre>{escape(content['example'])}</pre>"


def _types(document: Json) -> Iterator[str]:
    components = cast("dict[str, dict[str, Any]]", document["components"])
    yield '<h2 id="types">Types</h2>'
    for name, schema in components["schemas"].items():
        yield f'<details open id="{_anchor(name)}"><summary><code>{escape(short(name))}</code></summary>'
        yield f"<p>{_marked(schema.get('description', ''))}</p>"
        if "enum" in schema:
            yield f"<p>{_type(schema)}</p>"
        required = schema.get("required", ())
        rows = [
            f"<tr><td><code>{escape(field)}</code></td><td>{_type(each)}</td>"
            f"<td>{_default(each, field in required)}</td><td>{_marked(each.get('description', ''))}</td></tr>"
            for field, each in schema.get("properties", {}).items()
        ]
        if rows:
            yield "<table><tr><th>field</th><th>type</th><th>default</th><th>meaning</th></tr>"
            yield from rows
            yield "</table>"
        yield "</details>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{each}</th>" for each in head) + "</tr>"
    for first, *rest in rows:
        cells = "".join(f"<td>{_marked(cell)}</td>" for cell in rest)
        yield f"<tr><td><code>{escape(first)}</code></td>{cells}</tr>"
    yield "</table>"


def _type(schema: Mapping[str, Any]) -> str:
    """Name a schema's type."""
    match schema:
        case {"$ref": str(reference)}:
            name = reference.removeprefix(REFERENCE)
            text = f'<a href="#{_anchor(name)}">{escape(short(name).rpartition(".")[2])}</a>'
        case {"anyOf": options}:
            text = " or ".join(_type(option) for option in options)
        case {"enum": values}:
            text = ", ".join(_code(value) for value in values)
        case {"const": value}:
            text = _code(value)
        case {"type": "array"}:
            text = f"list of ({_type(schema.get('items', {}))})"
        case {"type": "object", "additionalProperties": dict(values)}:
            text = f"object of ({_type(values)})"
        case _:
            text = escape(schema.get("type", "anything")) + _bounds(schema)
    return text


def _bounds(schema: Mapping[str, Any]) -> str:
    told = [f"{sign} {schema[name]:g}" for name, sign in _BOUNDS.items() if name in schema]
    return f" {', '.join(told)}" if told else ""


def _code(value: object) -> str:
    return f"<code>{escape(str(value))}</code>"


def _default(schema: Mapping[str, Any], required: bool) -> str:  # noqa: FBT001
    if required:
        return "required"
    value = schema.get("default")
    return "" if value is None else f"<code>{escape(json.dumps(value)[:_WIDEST_DEFAULT])}</code>"


def _anchor(name: str) -> str:
    return f"type-{escape(short(name))}"


def _marked(text: str) -> str:
    """Write what stands between backticks as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
