"""What the Gemini API's responses say: https://ai.google.dev/api/generate-content

Fields that are zero, empty or false are left out of them.
"""

from dataclasses import dataclass

from pydantic import AliasPath, BaseModel, Field, ValidationError

from leadline_ai.providers.port import Reply, Stop, Usage
from leadline_ai.providers.rate_limits import duration

_REFUSALS = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR")
_STOPS = {"STOP": Stop.COMPLETE, "MAX_TOKENS": Stop.TRUNCATED, **dict.fromkeys(_REFUSALS, Stop.REFUSED)}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error tells beyond its status: machine-readable reasons, and for how many seconds to wait."""

    reasons: tuple[str, ...] = ()
    retry_after: float | None = None


def read_reply(body: str) -> Reply:
    """Read a response with status 200; raises ValueError where it holds neither an answer nor a refusal."""
    response = _Response.model_validate_json(body)
    if not response.candidates and not response.block_reason:
        raise ValueError("neither an answer nor a reason to have none")
    read = response.cached
    usage = Usage(
        input_tokens=max(0, response.prompt - read),
        output_tokens=response.answer + response.thought,
        cache_read_tokens=read,
    )
    if not response.candidates:
        return Reply("", Stop.REFUSED, usage)
    first = response.candidates[0]
    text = "".join(part.text for part in first.parts if not part.thought)
    return Reply(text, _STOPS.get(first.finish_reason, Stop.OTHER), usage)


def read_refusal(body: object) -> Refusal:
    """Read the parsed body of an error: https://cloud.google.com/apis/design/errors"""
    try:
        details = _Error.model_validate(body).details
    except ValidationError:
        return Refusal()
    delays = (duration(detail.retry_delay) for detail in details)
    return Refusal(
        tuple(detail.reason for detail in details if detail.reason),
        next((delay for delay in delays if delay is not None), None),
    )


class _Part(BaseModel):
    text: str = ""
    thought: bool = False


class _Candidate(BaseModel):
    finish_reason: str = Field("", alias="finishReason")
    parts: list[_Part] = Field([], validation_alias=AliasPath("content", "parts"))


class _Response(BaseModel):
    candidates: list[_Candidate] = []
    block_reason: str = Field("", validation_alias=AliasPath("promptFeedback", "blockReason"))
    prompt: int = Field(0, validation_alias=AliasPath("usageMetadata", "promptTokenCount"))
    cached: int = Field(0, validation_alias=AliasPath("usageMetadata", "cachedContentTokenCount"))
    answer: int = Field(0, validation_alias=AliasPath("usageMetadata", "candidatesTokenCount"))
    thought: int = Field(0, validation_alias=AliasPath("usageMetadata", "thoughtsTokenCount"))


class _Detail(BaseModel):
    reason: str = ""
    retry_delay: str = Field("", alias="retryDelay")


class _Error(BaseModel):
    details: list[_Detail] = Field([], validation_alias=AliasPath("error", "details"))
