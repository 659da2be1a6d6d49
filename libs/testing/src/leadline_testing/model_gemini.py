"""Google's Gemini API, as its SDK google-genai 3.4 uses it (with /v1; earlier ones say /v1beta)."""

import re
from typing import Any

from leadline_testing.model_dialect import Response, Said
from leadline_testing.model_request import Request
from leadline_testing.model_usage import PromptCache, count_input_tokens, count_tokens

ROUTE = re.compile(r"/v1(?:beta)?/models/[^/:]+:generateContent")
# https://ai.google.dev/gemini-api/docs/troubleshooting
_STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
# What Anthropic answers with 401 and 529.
_OTHER_CODES = {401: 400, 529: 503}
_KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}
_FINISH_REASONS = {"end_turn": "STOP", "max_tokens": "MAX_TOKENS", "refusal": "SAFETY"}


def find_fault(request: Request) -> Response | None:
    """Refuse a request without key or contents."""
    if "x-goog-api-key" not in request.headers:
        return refuse(403, "no key: send x-goog-api-key: KEY")
    if request.method == "POST" and not request.body.get("contents"):
        return refuse(400, "contents: is not specified")
    return None


def refuse(status: int, reason: str, retry_after: float | None = None) -> Response:
    """Return {"error": {"code", "message", "status", "details"}}.

    A wrong key is a 400 that the details alone tell from other bad requests. The pause that a 429 asks for
    stands in the details as well, not in a header.
    """
    code = _OTHER_CODES.get(status, status)
    error: dict[str, Any] = {"code": code, "message": reason, "status": _STATUSES.get(code, "UNKNOWN")}
    details: list[dict[str, Any]] = [_KEY_INVALID] if status == 401 else []
    if retry_after is not None:
        pause = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after:g}s"}
        details.append(pause)
    return Response(code, {"error": {**error, "details": details} if details else error})


def reply(request: Request, said: Said, cache: PromptCache, number: int) -> dict[str, Any]:
    """Return one candidate; a refusal before the first word has none and blocks the prompt instead."""
    answer: dict[str, Any] = {
        "responseId": f"response-{number}",
        "modelVersion": request.model,
        "usageMetadata": _usage(request, said, cache),
    }
    if said.stop == "refusal" and not said.text:
        return {**answer, "promptFeedback": {"blockReason": "SAFETY"}}
    thoughts = [{"text": said.thought, "thought": True}] if said.thought else []
    content = {"role": "model", "parts": [*thoughts, {"text": said.text}]}
    candidate = {"index": 0, "content": content, "finishReason": _FINISH_REASONS[said.stop]}
    return {**answer, "candidates": [candidate]}


def describe(model: str) -> dict[str, Any]:
    """Return a model's entry; its limits are made up."""
    return {
        "name": f"models/{model}",
        "version": "1",
        "displayName": model,
        "inputTokenLimit": 1_000_000,
        "outputTokenLimit": 64_000,
        "supportedGenerationMethods": ["generateContent"],
    }


def limit_headers(_reset: float) -> dict[str, str]:
    """Return none: Gemini has no such headers."""
    return {}


def _usage(request: Request, said: Said, cache: PromptCache) -> dict[str, int]:
    """Count cached tokens within those of the prompt, and thoughts beside those of the candidates."""
    asked, thought, answered = (
        count_input_tokens(request),
        count_tokens(said.thought),
        count_tokens(said.text),
    )
    usage = {"promptTokenCount": asked, "totalTokenCount": asked + thought + answered}
    parts = {
        "candidatesTokenCount": answered,
        "thoughtsTokenCount": thought,
        "cachedContentTokenCount": cache.read_unasked(request),
    }
    return usage | {name: count for name, count in parts.items() if count}
