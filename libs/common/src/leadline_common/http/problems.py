"""Every error as RFC 9457 problem details: what was wrong, where, and what to do."""

from collections.abc import Mapping
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap
from pydantic import ValidationError

from leadline_common.errors import FieldError, NotFound, Problem, Unavailable

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid fields",
}

log = structlog.get_logger()


def invalid(error: ValidationError) -> Problem:
    """Turn a validation error into a problem with one entry a wrong field, never quoting what was sent."""
    errors = [
        FieldError(".".join(str(part) for part in item["loc"]) or "body", item["msg"])
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return Problem(
        422, "Invalid fields", "Correct the fields named in `errors` and send it again.", errors=errors
    )


def render(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[dict[str, Any]]:
    """Write a problem as a response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = [{"field": item.field, "message": item.message} for item in problem.errors]
    extra = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    return Response(
        body, status_code=problem.status, media_type=MEDIA_TYPE, headers={**(headers or {}), **extra}
    )


def _on_problem(_: Request[Any, Any, Any], problem: Problem) -> Response[dict[str, Any]]:
    return render(problem)


def _on_not_found(_: Request[Any, Any, Any], error: NotFound) -> Response[dict[str, Any]]:
    return render(Problem(404, "Not found", str(error)))


def _on_invalid(_: Request[Any, Any, Any], error: ValidationError) -> Response[dict[str, Any]]:
    return render(invalid(error))


def _on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        errors = [FieldError(str(item.get("key", "body")), str(item.get("message", ""))) for item in extra]
        detail = "Correct the fields named in `errors` and send it again." if errors else error.detail
        return render(Problem(422, "Invalid fields", detail, errors=errors))
    detail = error.detail
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path}; GET /schema lists what there is."
    title = _TITLES.get(error.status_code, "Request refused")
    return render(Problem(error.status_code, title, detail), headers=error.headers)


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


def exception_handlers() -> ExceptionHandlersMap:
    """Return the handlers that turn every exception into a problem."""
    return {
        Problem: _on_problem,
        NotFound: _on_not_found,
        ValidationError: _on_invalid,
        HTTPException: _on_http,
        Unavailable: _on_unavailable,
        Exception: _on_unexpected,
    }  # type: ignore[dict-item, return-value, unused-ignore]
