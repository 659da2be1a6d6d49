"""OpenAI's chat completions, as its SDK 3.52 and the servers that imitate them use them."""

import re
from collections.abc import Iterator
from typing import Any

from leadline_testing.model_dialect import Response, Said
from leadline_testing.model_request import Request, Schema
from leadline_testing.model_usage import PromptCache, count_input_tokens, count_tokens

ROUTE = re.compile("/v1/chat/completions")
# Type and code; https://developers.openai.com/api/docs/guides/error-codes
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_FINISH_REASONS = {"end_turn": "stop", "max_tokens": "length", "refusal": "content_filter"}


def find_fault(request: Request) -> Response | None:
    """Refuse a request without key or required fields, and a schema that is less strict than it says."""
    if "authorization" not in request.headers:
        return refuse(401, "no key: send Authorization: Bearer KEY")
    if request.method != "POST":
        return None
    if missing := {"model", "messages"} - request.body.keys():
        return refuse(400, f"missing required parameter: {', '.join(sorted(missing))}")
    return _find_lax_schema(request)


def refuse(status: int, reason: str, retry_after: float | None = None) -> Response:
    """Return {"error": {"message", "type", "param", "code"}}; OpenAI answers 503 for Anthropic's 529."""
    kind, code = _ERRORS.get(status, ("server_error", None))
    error = {"message": reason, "type": kind, "param": None, "code": code}
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Response(503 if status == 529 else status, {"error": error}, headers)


def reply(request: Request, said: Said, cache: PromptCache, number: int) -> dict[str, Any]:
    """Return a completion; a refusal before the first word comes in a field of its own, with "stop"."""
    refused = said.stop == "refusal" and not said.text
    message = {
        "role": "assistant",
        "content": None if refused else said.text,
        "refusal": "I cannot help with that." if refused else None,
    }
    finish_reason = "stop" if refused else _FINISH_REASONS[said.stop]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": _usage(request, said, cache),
    }


def describe(model: str) -> dict[str, Any]:
    """Return a model's entry; its age is made up."""
    return {"id": model, "object": "model", "created": 0, "owned_by": "local"}


def limit_headers(reset: float) -> dict[str, str]:
    """Return the headers with the time to the reset as "1m30.5s" or "200ms".

    https://developers.openai.com/api/docs/guides/rate-limits
    """
    minutes, seconds = divmod(reset, 60)
    wait = f"{int(minutes)}m{seconds:g}s" if minutes else f"{seconds:g}s"
    return {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": f"{reset * 1000:g}ms" if reset < 1 else wait,
    }


def _usage(request: Request, said: Said, cache: PromptCache) -> dict[str, Any]:
    """Count cached tokens within those of the prompt, and thoughts within those of the completion."""
    asked, thought = count_input_tokens(request), count_tokens(said.thought)
    answered = thought + count_tokens(said.text)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": cache.read_unasked(request)},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _find_lax_schema(request: Request) -> Response | None:
    """Hold a strict schema to what OpenAI demands: all properties required, no others allowed.

    https://developers.openai.com/api/docs/guides/structured-outputs
    """
    asked = (request.body.get("response_format") or {}).get("json_schema") or {}
    if not asked.get("strict"):
        return None
    for part in _objects(asked.get("schema")):
        if part.get("additionalProperties") is not False:
            return refuse(400, "invalid schema: 'additionalProperties' must be false in every object")
        if part.get("properties", {}).keys() - set(part.get("required", ())):
            return refuse(400, "invalid schema: 'required' must name every property")
    return None


def _objects(value: Any) -> Iterator[Schema]:
    if isinstance(value, dict):
        if value.get("type") == "object":
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _objects(part)
