"""The Provider port: a language model behind a provider's API, asked one question a call."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from leadline_contracts.errors import LeadlineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model is asked, sent as `system`, then `prefix`, then `body`.

    `system` and `prefix` are the same in many questions; `prefix_caches` says that the two are long enough
    for the provider's prompt cache to pay. `schema` is the JSON schema the answer must follow, `max_tokens`
    bounds the answer with whatever the model thinks before it.
    """

    system: str
    prefix: str
    body: str
    schema: Mapping[str, object]
    max_tokens: int
    prefix_caches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call. `input_tokens` leaves out those read from or written to the prompt cache;
    `output_tokens` includes what the model thought.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class Stop(StrEnum):
    """Why the model stopped: it was done, ran out of tokens, declined, or for another reason."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a call: the answer's text as it came, unchecked, and the tokens it took.

    `cooldown` is for how many seconds the provider's headers say that it will take no further request, 0
    where they say nothing about that.
    """

    text: str
    stop: Stop
    usage: Usage
    cooldown: float = 0.0


FailureKind = Literal["overloaded", "unavailable", "declined", "misconfigured"]


class ProviderFailure(LeadlineError):
    """A call that brought no reply; the text is one line that holds neither lead text nor a key.

    `overloaded`: too much is asked (429, 529); `unavailable`: broken or out of reach; both may pass.
    `declined`: this request is not taken, now or later. `misconfigured`: none will be taken until a person
    corrects the key, the model's name or the account; the text says which setting.
    `retry_after` is for how many seconds the provider wants no request, None where it does not say.
    `charged`: the request may have been read, and is perhaps billed, before it failed.
    """

    def __init__(
        self, kind: FailureKind, text: str, *, retry_after: float | None = None, charged: bool = False
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after = retry_after
        self.charged = charged


class Provider(Protocol):
    """One model of one provider; one instance serves any number of calls at once.

    `name` is the adapter (`anthropic`, `gemini`, `openai`), `model` what it asks, `endpoint` the address it
    was given in place of the provider's public one, empty where none. The three stay the same for the life
    of the instance.
    """

    name: str
    model: str
    endpoint: str

    async def ask(self, question: Question) -> Reply:
        """Send exactly one request and return what came back.

        Raises ProviderFailure, and nothing else for what a provider or a network does. Has no deadline of
        its own: the caller cancels it, which ends the request.
        """

    async def check(self) -> None:
        """Raise ProviderFailure where the key or the model's name is known to be wrong, or nothing answers.

        Costs no tokens. Returns where the endpoint cannot tell, as with servers that only imitate a
        provider's main route.
        """

    async def close(self) -> None:
        """Close the connections; safe to call twice. Nothing else may be called afterwards."""
