"""The OpenAPI description, made out of the same table as the routes, and a page to read it on."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Final

from data_access.api import problem
from data_access.api.query import PAGE
from data_access.api.schemas import TEXT, WHOLE
from data_access.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.api.endpoints import Endpoint
    from data_access.api.query import Parameter

VERSION: Final = "3.1.0"
TITLE: Final = "Betascope"
ABOUT: Final = (
    "The numbers of the pages, as JSON. Every data endpoint takes the query string of a page's "
    "link, and answers with `data` and with `meta`, which says what was counted over which days. "
    "A token comes from `python -m ingest token create --name WHO`."
)
_REFUSALS: Final = {
    "400": "A parameter is unknown, or has a value that cannot be used.",
    "401": "No token, or one that is unknown, expired or revoked.",
    "403": "The token lacks the scope, or a setting closes this.",
    "404": "Not there.",
    "405": "Only GET, HEAD and OPTIONS.",
    "414": "The address is too long.",
    "429": "Too many requests; Retry-After says when to come back.",
    "431": "The headers are too long.",
    "500": "A fault of ours; `id` names it in the server's log.",
    "503": "There is no telemetry to read, or too much is asked at once.",
}


_RATES: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
HEADERS: Final = {
    "RateLimit-Limit": ("Requests this token may make in a minute.", WHOLE),
    "RateLimit-Remaining": ("How many of them are left.", WHOLE),
    "RateLimit-Reset": ("Seconds until all of them are there again.", WHOLE),
    "ETag": ("Send it back as If-None-Match to ask whether anything changed.", TEXT),
    "X-Rows": ("Rows in this file.", WHOLE),
    "X-Total-Rows": ("Rows there are.", WHOLE),
    "X-Truncated": ("Whether limits.export_rows cut them.", {"type": "boolean"}),
    "X-Query": ("The same question with its days written out.", TEXT),
}


def document(endpoints: Sequence[Endpoint], *, release: str) -> dict[str, Any]:
    """Return the whole description."""
    return {
        "openapi": VERSION,
        "info": {"title": f"{TITLE} HTTP API", "version": release, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": {one.path: {"get": _operation(one), "head": _head(one)} for one in endpoints},
        "components": {
            "schemas": {"Problem": problem.SCHEMA},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`Authorization: Bearer bts_...`; never in the address.",
                }
            },
        },
    }


def definitions(endpoint: Endpoint) -> str:
    """Return what the endpoint says of itself, with the definitions of its metrics."""
    parts = [endpoint.says] if endpoint.says else []
    if endpoint.scope:
        parts.append(f"Needs a token with the scope `{endpoint.scope}`.")
    parts += [f"## {name}\n\n{METRICS[name].definition}" for name in endpoint.metrics]
    return "\n\n".join(parts)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": definitions(endpoint),
        "security": [{"token": []}] if endpoint.scope else [],
        "parameters": _parameters(endpoint),
        "responses": {
            "200": {
                "description": endpoint.summary,
                "headers": _headers(endpoint),
                "content": {endpoint.media: {"schema": endpoint.schema}},
            },
            **_not_modified(endpoint),
            **_refused(endpoint),
        },
    }


def _head(endpoint: Endpoint) -> dict[str, Any]:
    """Return the description of HEAD: the headers of GET, and no body."""
    without = {
        status: {"description": says}
        for status, says in _REFUSALS.items()
        if status in _refused(endpoint)
    }
    return {
        "operationId": f"{endpoint.name}_head",
        "summary": f"The headers of: {endpoint.summary}",
        "security": [{"token": []}] if endpoint.scope else [],
        "parameters": _parameters(endpoint),
        "responses": {
            "200": {"description": "The headers of GET, and no body."},
            **_not_modified(endpoint),
            **without,
        },
    }


def _headers(endpoint: Endpoint) -> dict[str, Any]:
    names = [*(_RATES if endpoint.scope else ())]
    if _is_data(endpoint):
        names.append("ETag")
    if endpoint.media == "text/csv":
        names += ["X-Rows", "X-Total-Rows", "X-Truncated", "X-Query"]
    return {
        name: {"description": says, "schema": kind}
        for name, (says, kind) in HEADERS.items()
        if name in names
    }


def _is_data(endpoint: Endpoint) -> bool:
    return endpoint.pages and endpoint.media == "application/json"


def _not_modified(endpoint: Endpoint) -> dict[str, Any]:
    said = {"304": {"description": "Nothing has changed since the ETag in If-None-Match."}}
    return said if _is_data(endpoint) else {}


def _refused(endpoint: Endpoint) -> dict[str, Any]:
    statuses = set(_REFUSALS)
    if not endpoint.scope:
        statuses -= {"401", "403", "429"}
    return {
        status: {
            "description": says,
            "content": {problem.MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, says in _REFUSALS.items()
        if status in statuses
    }


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": dict(schema)}
        for name, schema in endpoint.in_path.items()
    ]
    return [*in_path, *map(_parameter, endpoint.parameters)]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.many:
        schema = {"type": "array", "items": schema, "maxItems": 200}
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.says,
        "schema": schema,
        "style": "form",
        "explode": True,
    }


def page(endpoints: Sequence[Endpoint]) -> str:
    """Return the description as a page for people: no script, nothing from elsewhere."""
    parts = [_section(one) for one in endpoints]
    listed = "".join(
        f'<li><a href="#{one.name}"><code>{html.escape(one.path)}</code></a> '
        f"{html.escape(one.summary)}</li>"
        for one in endpoints
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{TITLE}: HTTP API</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>HTTP API</h1><p>{_marked(ABOUT)}</p>"
        '<p><a href="openapi.json">openapi.json</a> is the same for programs.</p>'
        f'<ul>{listed}</ul><section id="query"><h2>The query string of a page</h2>'
        f"{_parameters_table(PAGE)}</section>{''.join(parts)}</main></body></html>"
    )


def _marked(text: str) -> str:
    """Return text as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _parameters_table(parameters: Sequence[Parameter]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(one.name)}</code></td><td>{_marked(_said(one))}</td></tr>"
        for one in parameters
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _said(parameter: Parameter) -> str:
    values = parameter.schema.get("enum")
    often = " May be repeated." if parameter.many else ""
    return f"{parameter.says}{often}" + (f" One of `{'`, `'.join(values)}`." if values else "")


def _section(endpoint: Endpoint) -> str:
    own = _parameters_table(endpoint.own)
    more = '<p>Takes <a href="#query">the query string of a page</a>.</p>' if endpoint.pages else ""
    said = html.escape(definitions(endpoint))
    told = f"<details><summary>Definitions</summary><pre>{said}</pre></details>" if said else ""
    return (
        f'<section id="{endpoint.name}"><h2><code>GET {html.escape(endpoint.path)}</code></h2>'
        f"<p>{html.escape(endpoint.summary)}.</p>{more}{own}{told}</section>"
    )


_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}"
    "main{max-width:60rem;margin:0 auto;padding:1rem}h2{font-size:1.05rem;margin-top:2rem;"
    "overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere}"
    "td{vertical-align:top;padding:.15rem .75rem .15rem 0}"
)
