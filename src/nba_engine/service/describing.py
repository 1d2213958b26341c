"""The routes as OpenAPI 3.1; schemas come from the very types that decode requests and are encoded as answers."""

from __future__ import annotations

import inspect
import re
from http import HTTPStatus
from typing import Any

import msgspec

import nba_engine
from nba_engine.service.bodies import Problem
from nba_engine.service.routes import BODY_BYTES_MAX, ROUTES, Route

PROBLEM = "application/problem+json"


def describe(secured: bool) -> dict[str, Any]:
    """The description of this service; `secured` where a token is asked for."""
    types = [type_ for route in ROUTES for type_ in (route.gives, *route.takes.values())]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template="#/components/schemas/{name}")
    found = iter(schemas)
    problem = {PROBLEM: {"schema": schemas[-1]}}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        operation = _operation(route, next(found), [next(found) for _ in route.takes], problem, secured)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    for schema in components.values():
        schema["description"] = inspect.cleandoc(schema.get("description", ""))
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "nba_engine", "version": nba_engine.__version__, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                 "description": f"Next best action. Bodies of up to {BODY_BYTES_MAX} bytes; refusals are RFC 9457 problems."},
        "paths": paths,
        "components": {"schemas": components},
    }  # fmt: skip
    if secured:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return msgspec.json.decode(msgspec.json.encode(described))  # defaults are tuples, JSON has lists


def _operation(route: Route, gives: Any, takes: list[Any], problem: dict[str, Any], secured: bool) -> dict[str, Any]:
    asks = secured and not route.open
    refuses = sorted({*route.refuses, 500, *((401,) if asks else ())})
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": gives}}},
            **{str(status): {"description": HTTPStatus(status).phrase, "content": problem} for status in refuses},
        },
    }
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in re.findall(r"{(\w+)}", route.path)]
    parameters += [{"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in route.headers]
    if parameters:
        operation["parameters"] = parameters
    if takes:
        bodies = {media_type: {"schema": schema} for media_type, schema in zip(route.takes, takes, strict=True)}
        operation["requestBody"] = {"required": True, "content": bodies}
    if asks:
        operation["security"] = [{"token": []}]
    return operation
