"""The OpenAPI 3.1 document, made from the very table that makes the routes.

Schemas come from the structs that bodies are read with, so the document says what the program does.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from dispatch.console.endpoint import PREFIX, Endpoint, phrase


class ProblemDetail(msgspec.Struct):
    """RFC 9457. `errors` names fields; `current` is the case as it stands, on 409."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []
    current: dict[str, Any] | None = None


def document(endpoints: list[Endpoint], version: str) -> dict[str, Any]:
    kinds = [kind for endpoint in endpoints for kind in (endpoint.body, endpoint.answers) if kind is not None]
    kinds.append(ProblemDetail)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    named = {str(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = PREFIX + re.sub(r":\w+}", "}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cityvigil",
            "version": version,
            "description": "Alerts, cases and sensors of a city. Level 1 is the most severe.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "cityvigil_session"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(endpoint: Endpoint, named: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation,
        "summary": endpoint.says,
        "parameters": _parameters(endpoint),
        "responses": {str(endpoint.status): _success(endpoint, named)}
        | {str(status): _refusal(status, named) for status in endpoint.refusing()},
        "security": [] if endpoint.open else [{"session": []}, {"token": []}],
    }
    if endpoint.roles:
        operation["description"] = f"Roles: {', '.join(endpoint.roles)}."
    if endpoint.body is not None:
        schema = named[str(endpoint.body)]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _success(endpoint: Endpoint, named: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"description": phrase(endpoint.status)}
    if endpoint.answers is not None:
        said["content"] = {endpoint.media: {"schema": named[str(endpoint.answers)]}}
    return said


def _refusal(status: int, named: dict[str, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": named[str(ProblemDetail)]}}
    return {"description": phrase(status), "content": content}


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if kind == "int" else "string"},
        }
        for name, kind in re.findall(r"{(\w+)(?::(\w+))?}", endpoint.path)
    ]
    in_query = [
        {"name": query.name, "in": "query", "description": query.says, "schema": query.schema}
        for query in endpoint.query
    ]
    return in_path + in_query
