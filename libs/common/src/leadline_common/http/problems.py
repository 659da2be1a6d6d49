"""Every error as RFC 9457 problem details: what was wrong, where, and what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Schema
from litestar.types import ExceptionHandlersMap
from pydantic import ValidationError

from leadline_common.http.head import allowed
from leadline_common.telemetry.tracing import current_trace_id
from leadline_contracts.errors import (
    Conflict,
    FieldError,
    Invalid,
    NotAuthenticated,
    NotFound,
    Overloaded,
    Problem,
    Refused,
    TooMany,
    Unavailable,
    code_of,
    type_of,
)

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid fields",
}
OTHER_TITLE = "Request refused"
_STATUS: dict[type[Refused], int] = {
    NotAuthenticated: 401,
    Conflict: 409,
    Invalid: 422,
    TooMany: 429,
    Overloaded: 503,
}
_CLIENT_GONE = "client disconnected prematurely"  # Litestar's text for it, under status 500

_TEXT = Schema(type=OpenAPIType.STRING)
_FIELD_ERROR = Schema(type=OpenAPIType.OBJECT, properties={"field": _TEXT, "message": _TEXT})
PROBLEM_RESPONSE = OpenAPIResponse(
    description="Refused or failed: problem details (RFC 9457) that say what to do",
    content={
        MEDIA_TYPE: OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.OBJECT,
                required=["type", "title", "status", "code", "detail"],
                properties={
                    "type": _TEXT,
                    "title": _TEXT,
                    "status": Schema(type=OpenAPIType.INTEGER),
                    "code": _TEXT,
                    "detail": _TEXT,
                    "trace_id": _TEXT,
                    "errors": Schema(type=OpenAPIType.ARRAY, items=_FIELD_ERROR),
                },
            )
        )
    },
)
"""How an OpenAPI document describes every answer that is an error."""

log = structlog.get_logger()


def invalid(error: ValidationError) -> Problem:
    """Turn a validation error into a problem with one entry a wrong field, never quoting what was sent."""
    errors = [
        FieldError(".".join(str(part) for part in item["loc"]) or "body", said(item["msg"]))
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return wrong_fields(errors)


def wrong_fields(errors: Sequence[FieldError]) -> Problem:
    """Return the refusal of a request for these faults."""
    return Problem(422, TITLES[422], "Correct the fields named in `errors` and send it again.", errors=errors)


def render(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[dict[str, Any]]:
    """Write a problem as a response."""
    code = code_of(problem.title)
    body: dict[str, Any] = {
        "type": type_of(code),
        "title": problem.title,
        "status": problem.status,
        "code": code,
        "detail": problem.detail,
    }
    if (trace_id := current_trace_id()) is not None:
        body["trace_id"] = trace_id
    if problem.errors:
        body["errors"] = [{"field": item.field, "message": item.message} for item in problem.errors]
    extra = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if problem.status == 401:
        extra["WWW-Authenticate"] = "Bearer"  # a 401 has to say how to be let in (RFC 9110, section 11.6.1)
    return Response(
        body, status_code=problem.status, media_type=MEDIA_TYPE, headers={**(headers or {}), **extra}
    )


def _on_problem(_: Request[Any, Any, Any], problem: Problem) -> Response[dict[str, Any]]:
    return render(problem)


def _on_not_found(_: Request[Any, Any, Any], error: NotFound) -> Response[dict[str, Any]]:
    return render(Problem(404, "Not found", str(error)))


def _on_refused(_: Request[Any, Any, Any], error: Refused) -> Response[dict[str, Any]]:
    status = _STATUS[type(error)]
    return render(Problem(status, error.title, error.detail, retry_after=error.retry_after))


def _on_invalid(_: Request[Any, Any, Any], error: ValidationError) -> Response[dict[str, Any]]:
    return render(invalid(error))


def _on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    if isinstance(error, ValidationException):
        return render(_unreadable(error))
    if error.detail == _CLIENT_GONE:
        return render(Problem(400, "Incomplete body", "The connection ended before the body did."))
    if error.status_code >= 500:
        return _on_unexpected(request, error)
    title = TITLES.get(error.status_code, OTHER_TITLE)
    return render(Problem(error.status_code, title, _advice(request, error)), headers=error.headers)


def _unreadable(error: ValidationException) -> Problem:
    extra = error.extra if isinstance(error.extra, list) else []
    errors = [_field_error(str(item.get("key", "body")), str(item.get("message", ""))) for item in extra]
    detail = "Correct the fields named in `errors` and send it again." if errors else error.detail
    return Problem(422, TITLES[422], detail, errors=errors)


def _field_error(key: str, message: str) -> FieldError:
    if message == repr(key):  # the text of the KeyError that a missing argument ends in
        message = "Field required"
    return FieldError("body" if key == "data" else key, said(message))


def said(message: str) -> str:
    """Return a validator's own words without the kind of error that pydantic puts before them."""
    return message.removeprefix("Value error, ")


def _advice(request: Request[Any, Any, Any], error: HTTPException) -> str:
    path = request.scope["path"]
    if error.status_code == 404:
        return f"There is nothing at {path}; GET /schema lists what there is."
    if error.status_code == 405:
        methods = allowed((error.headers or {}).get("allow", "").split(","))
        return f"{request.method} is not possible on {path}; it takes {methods}."
    if error.status_code == 413:
        limit = request.route_handler.resolve_request_max_body_size()
        return f"The body is over the {limit} bytes that {path} takes; send less at a time."
    return error.detail


def _on_unavailable(_: Request[Any, Any, Any], error: Unavailable) -> Response[dict[str, Any]]:
    log.warning("dependency_unavailable", error=str(error))
    return render(
        Problem(
            503,
            "Temporarily unavailable",
            "A broker or store of Leadline does not answer. Send it again in a few seconds.",
            retry_after=5,
        )
    )


def _on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    log.error(
        "request_failed", method=request.method, route=request.scope.get("path_template"), exc_info=error
    )
    return render(
        Problem(500, "Internal error", "Leadline failed to answer; the fault is in its log. Try again later.")
    )


async def missing_page(response: Response[Any]) -> Response[Any]:
    """Return the response, or a problem in place of the HTML that Litestar answers for an unknown page."""
    if response.status_code != 404:
        return response
    return render(Problem(404, TITLES[404], "There is no such page; GET /schema lists what there is."))


def exception_handlers() -> ExceptionHandlersMap:
    """Return the handlers that turn every exception into a problem."""
    return {
        Problem: _on_problem,
        NotFound: _on_not_found,
        **dict.fromkeys(_STATUS, _on_refused),
        ValidationError: _on_invalid,
        HTTPException: _on_http,
        Unavailable: _on_unavailable,
        Exception: _on_unexpected,
    }  # type: ignore[dict-item, return-value, unused-ignore]
