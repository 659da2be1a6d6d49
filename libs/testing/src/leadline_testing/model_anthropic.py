"""Anthropic's Messages API, as its SDK 2.11 uses it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from leadline_testing.model_dialect import Response, Said
from leadline_testing.model_request import Request
from leadline_testing.model_usage import PromptCache, count_input_tokens, count_tokens

ROUTE = re.compile("/v1/messages")
# https://platform.claude.com/docs/en/api/errors
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def find_fault(request: Request) -> Response | None:
    """Refuse a request without key, version, or the fields that the API requires, and an empty text."""
    if not {"authorization", "x-api-key"} & request.headers.keys():
        return refuse(401, "no key: send Authorization: Bearer KEY")
    if "anthropic-version" not in request.headers:
        return refuse(400, "anthropic-version: header is required")
    missing = {"model", "max_tokens", "messages"} - request.body.keys() if request.method == "POST" else ()
    if missing:
        return refuse(400, f"{', '.join(sorted(missing))}: field required")
    return refuse(400, "messages: text content blocks must be non-empty") if _holds_nothing(request) else None


def _holds_nothing(request: Request) -> bool:
    """Return whether a text block is empty, which the API refuses."""
    contents = [turn.get("content") for turn in request.body.get("messages", ())]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return any(block.get("type") == "text" and not block.get("text") for block in blocks)


def refuse(status: int, reason: str, retry_after: float | None = None) -> Response:
    """Return {"type": "error", "error": {"type", "message"}}."""
    error = {"type": _ERROR_TYPES.get(status, "api_error"), "message": reason}
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Response(status, {"type": "error", "error": error}, headers)


def reply(request: Request, said: Said, cache: PromptCache, number: int) -> dict[str, Any]:
    """Return a message: a thinking block where there was a thought, then the text."""
    content: list[dict[str, str]] = []
    if said.thought:
        content.append({"type": "thinking", "thinking": said.thought, "signature": "none"})
    if said.text:
        content.append({"type": "text", "text": said.text})
    refused = said.stop == "refusal"
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": said.stop,
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": None} if refused else None,
        "usage": _usage(request, said, cache),
    }


def describe(model: str) -> dict[str, Any]:
    """Return a model's entry; its age is made up."""
    return {
        "type": "model",
        "id": model,
        "display_name": model,
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def limit_headers(reset: float) -> dict[str, str]:
    """Return the moment of the reset: https://platform.claude.com/docs/en/api/rate-limits"""
    moment = datetime.now(UTC) + timedelta(seconds=reset)
    return {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": moment.isoformat().replace("+00:00", "Z"),
    }


def _usage(request: Request, said: Said, cache: PromptCache) -> dict[str, int]:
    """Count what was read from and written to the cache apart from the rest of the input."""
    read, written = cache.use(request.model, _marked_prefixes(request))
    return {
        "input_tokens": max(0, count_input_tokens(request) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": count_tokens(said.thought + said.text),
    }


def _marked_prefixes(request: Request) -> list[str]:
    """Return the prompt up to each block that carries cache_control."""
    contents = [request.body.get("system"), *(turn.get("content") for turn in request.body["messages"])]
    said, marked = "", []
    for content in contents:
        for block in [{"text": content}] if isinstance(content, str) else content or ():
            said += block.get("text", "")
            if block.get("cache_control"):
                marked.append(said)
    return marked
