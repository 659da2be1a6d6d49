"""The application around a service's routes: health, metrics, schema page, problems and the /api alias."""

import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from litestar import Litestar, Response, Router, get
from litestar.di import Provide
from litestar.enums import HttpMethod, ScopeType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp, ControllerRouterHandler, Message, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from leadline_common.http.problems import PROBLEM_RESPONSE, exception_handlers, missing_page
from leadline_common.http.requests import ApiRequest
from leadline_common.messages import LOCAL_OWNER
from leadline_common.metrics import Metrics
from leadline_common.service import Health

MAX_BODY = 1_000_000
"""Bytes of a request body, unless a route says otherwise."""
_ASSETS = "/schema/assets"
_EXPOSITION = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar adds the charset itself
_METHODS = frozenset(method.value for method in HttpMethod)
_ALIASES = {"/export": "/results/export"}


def build_app(
    title: str, routes: Sequence[ControllerRouterHandler], health: Health, metrics: Metrics
) -> ASGIApp:
    """Return the ASGI application that serves the routes and what every service has beside them."""
    app = Litestar(
        route_handlers=[*routes, *_operations(health, metrics), _schema_assets()],
        dependencies={"owner": Provide(_owner)},
        exception_handlers=exception_handlers(),
        openapi_config=OpenAPIConfig(
            title=title,
            version="1",
            openapi_router=Router(
                "/schema", route_handlers=[], include_in_schema=False, after_request=missing_page
            ),
            render_plugins=[
                SwaggerRenderPlugin(
                    path="/",
                    favicon=f'<link rel="icon" type="image/png" href="{_ASSETS}/favicon-32x32.png">',
                    js_url=f"{_ASSETS}/swagger-ui-bundle.js",
                    css_url=f"{_ASSETS}/swagger-ui.css",
                    standalone_preset_js_url=f"{_ASSETS}/swagger-ui-standalone-preset.js",
                ),
                JsonRenderPlugin(),
            ],
        ),
        request_class=ApiRequest,
        request_max_body_size=MAX_BODY,
        logging_config=None,
    )
    _document_problems(app)
    return without_api_prefix(_timed(app, metrics))


async def _owner() -> str:
    return LOCAL_OWNER


def _operations(health: Health, metrics: Metrics) -> list[ControllerRouterHandler]:
    @get("/health/live", summary="Whether the process makes progress", tags=["operations"])
    async def live() -> Response[dict[str, str]]:
        alive = health.alive()
        return Response({"status": "ok" if alive else "stalled"}, status_code=200 if alive else 503)

    @get(["/health", "/health/ready"], summary="Whether broker and store answer", tags=["operations"])
    async def ready() -> Response[dict[str, Any]]:
        fine, checks = await health.ready()
        body = {"status": "ok" if fine else "unready", "checks": checks}
        return Response(body, status_code=200 if fine else 503)

    @get(
        "/metrics",
        summary="Metrics for Prometheus",
        tags=["operations"],
        media_type=_EXPOSITION,
        sync_to_thread=True,
    )
    def exposition() -> bytes:
        return generate_latest(metrics.registry)

    return [live, ready, exposition]


def _schema_assets() -> ControllerRouterHandler:
    return create_static_files_router(
        path=_ASSETS, directories=[str(files("swagger_ui") / "static")], include_in_schema=False
    )


def _document_problems(app: Litestar) -> None:
    """Put what errors really look like where Litestar documents an error body of its own."""
    for path in (app.openapi_schema.paths or {}).values():
        for operation in (path.get, path.post):
            if operation is not None and operation.responses is not None:
                operation.responses.pop("400", None)
                operation.responses["default"] = PROBLEM_RESPONSE


def _timed(app: ASGIApp, metrics: Metrics) -> ASGIApp:
    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, note_status)
        finally:
            route = str(scope.get("path_template") or "unknown")
            elapsed = time.perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.requests.labels(method, route, str(status)).observe(elapsed)

    return timed


def without_api_prefix(app: ASGIApp) -> ASGIApp:
    """Serve /api/… as the same path without it, since one family of clients calls those."""

    async def aliased(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["path"].startswith("/api/"):
            path = "/" + scope["path"].removeprefix("/api/").strip("/")
            path = _ALIASES.get(path, path)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    return aliased
