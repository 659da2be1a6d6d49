"""The application around a service's routes: who asks, health, metrics, schema page, problems, /api alias."""

from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Litestar, Response, Router, get
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.enums import HttpMethod, ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme
from litestar.response import Redirect
from litestar.routes import HTTPRoute
from litestar.serialization import decode_json, encode_json, get_serializer
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp, ControllerRouterHandler, Guard, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from leadline_common import __version__
from leadline_common.clock import now
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.bodies import StrictBodies
from leadline_common.http.compression import compressed
from leadline_common.http.cors import shared
from leadline_common.http.cross_site import guarded
from leadline_common.http.head import with_head
from leadline_common.http.idempotency import (
    KEY_PARAMETER,
    Idempotency,
    Replayed,
    current_attempt,
    replay,
)
from leadline_common.http.middleware import observed
from leadline_common.http.openapi import ASSETS, Document, pages
from leadline_common.http.problems import PROBLEM_RESPONSE, exception_handlers, missing_page
from leadline_common.http.query import check_query, parameters_of
from leadline_common.http.requests import ApiRequest
from leadline_common.http.responses import finished
from leadline_common.http.service_map import HOME
from leadline_common.idempotency.store import IdempotencyStore
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry

MAX_BODY = 1_000_000
"""Bytes of a request body, unless a route says otherwise."""
PUBLIC = {"public": True}
"""The `opt` of a route that needs no token."""
_BEARER = "bearer"
_EXPOSITION = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar adds the charset itself
ALIASES = {"/export": "/results/export"}


def build_app(
    title: str,
    routes: Sequence[ControllerRouterHandler],
    health: Health,
    metrics: Metrics,
    authentication: Authentication,
    *,
    document: Document | None = None,
    cors_origins: Collection[str] = (),
    idempotency: IdempotencyStore | None = None,
) -> ASGIApp:
    """Return the ASGI application that serves the routes and what every service has beside them.

    Routes have a dependency `owner`, the id of the user who asks. Each is refused without one, before its
    body is read, unless it is `PUBLIC`. Where all are let in, other hosts' names and pages are not, save
    pages of the `cors_origins`. With a store for idempotency keys a POST that has one is done once; what it
    makes gets the id of the dependency `attempt`.
    /schema shows the `document`, by default that of these routes.
    """
    app = _application(
        title, routes, health, metrics, authentication, document=document, idempotency=idempotency
    )
    known = frozenset(cors_origins)
    answers = compressed(finished(guarded(app, open_to_all=authentication.open_to_all, origins=known)))
    return without_api_prefix(observed(shared(with_head(answers), known), metrics))


def describe(title: str, routes: Sequence[ControllerRouterHandler]) -> Document:
    """Return the OpenAPI document of the routes, as who needs a token sees them from outside."""
    authentication = Authentication(Tokens([]), open_to_all=False)
    app = _application(title, routes, Health([]), Metrics(new_registry()), authentication)
    document: Document = decode_json(
        encode_json(app.openapi_schema.to_schema(), get_serializer(app.type_encoders))
    )
    # Their order is another at each start; Prometheus alone asks for metrics.
    paths = {path: told for path, told in sorted(document["paths"].items()) if path != "/metrics"}
    return document | {"paths": paths}


def _application(
    title: str,
    routes: Sequence[ControllerRouterHandler],
    health: Health,
    metrics: Metrics,
    authentication: Authentication,
    *,
    document: Document | None = None,
    idempotency: IdempotencyStore | None = None,
) -> Litestar:
    app = Litestar(
        route_handlers=[*routes, *_operations(health, metrics), _schema_assets()],
        guards=[_guard(authentication)],
        middleware=[Idempotency(idempotency, authentication, now)] if idempotency else [],
        dependencies={"owner": Provide(_owner), "attempt": Provide(current_attempt)},
        exception_handlers={**exception_handlers(), Replayed: replay},  # type: ignore[dict-item, unused-ignore]
        openapi_config=OpenAPIConfig(
            title=title,
            version="1",
            openapi_router=Router(
                "/schema", route_handlers=[], include_in_schema=False, after_request=missing_page, opt=PUBLIC
            ),
            components=Components(
                security_schemes={
                    _BEARER: SecurityScheme(
                        type="http",
                        scheme="bearer",
                        bearer_format="JWT",
                        description="The `access_token` that POST /auth/login answers",
                    )
                }
            ),
            render_plugins=pages(document),
        ),
        plugins=[StrictBodies()],
        request_class=ApiRequest,
        request_max_body_size=MAX_BODY,
        logging_config=None,
    )
    _document(app, authentication)
    return app


def _guard(authentication: Authentication) -> Guard:
    parameters = cache(parameters_of)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        scope = connection.scope
        # To OPTIONS Litestar itself answers, with the methods of the path.
        if scope["type"] != ScopeType.HTTP or scope["method"] == HttpMethod.OPTIONS:
            return
        if not _is_public(handler):
            scope["user"] = authentication.owner_of(connection.headers.getall("authorization", []))
        check_query(scope, parameters(handler))

    return guard


def _is_public(handler: BaseRouteHandler) -> bool:
    return bool(handler.opt.get("public"))


async def _owner(request: ApiRequest) -> str:
    owner: str = request.user
    return owner


def _operations(health: Health, metrics: Metrics) -> list[ControllerRouterHandler]:
    @get("/health/live", summary="Whether the process makes progress", tags=["operations"], opt=PUBLIC)
    async def live() -> Response[dict[str, str]]:
        alive = health.alive()
        return Response({"status": "ok" if alive else "stalled"}, status_code=200 if alive else 503)

    @get(
        ["/health", "/health/ready"],
        summary="Whether broker and store answer",
        tags=["operations"],
        opt=PUBLIC,
    )
    async def ready() -> Response[dict[str, Any]]:
        fine, checks = await health.ready()
        body = {"status": "ok" if fine else "unready", "version": __version__, "checks": checks}
        return Response(body, status_code=200 if fine else 503)

    @get(
        "/metrics",
        summary="Metrics for Prometheus",
        tags=["operations"],
        media_type=_EXPOSITION,
        sync_to_thread=True,
        opt=PUBLIC,
    )
    def exposition() -> bytes:
        return generate_latest(metrics.registry)

    @get(HOME, include_in_schema=False, opt=PUBLIC)
    async def home() -> Redirect:
        return Redirect("/schema", status_code=307)

    return [live, ready, exposition, home]


def _schema_assets() -> ControllerRouterHandler:
    return create_static_files_router(
        path=ASSETS,
        directories=[str(files("swagger_ui") / "static")],
        include_in_schema=False,
        opt=PUBLIC,
    )


def _document(app: Litestar, authentication: Authentication) -> None:
    """Say who is let in, and put what errors really look like where Litestar documents a body of its own."""
    needed: list[SecurityRequirement] = [{_BEARER: []}, *([{}] if authentication.open_to_all else [])]
    paths = app.openapi_schema.paths or {}
    for route in app.routes:
        documented = paths.get(getattr(route, "path_format", ""))
        if not isinstance(route, HTTPRoute) or documented is None:
            continue
        for method, (handler, _) in route.route_handler_map.items():
            operation = getattr(documented, method.lower())
            if operation is not None and operation.responses is not None:
                operation.security = [] if _is_public(handler) else needed
                operation.responses.pop("400", None)
                operation.responses["default"] = PROBLEM_RESPONSE
                if method == HttpMethod.POST and not _is_public(handler):
                    operation.parameters = [*(operation.parameters or []), KEY_PARAMETER]


def without_api_prefix(app: ASGIApp) -> ASGIApp:
    """Serve /api/… as the same path without it, since one family of clients calls those."""

    async def aliased(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["path"].startswith("/api/"):
            path = "/" + scope["path"].removeprefix("/api/").strip("/")
            path = ALIASES.get(path, path)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    return aliased
