"""What a request to the local model takes, in tokens."""

from leadline_testing.model_request import Request, system_of, turns_of

# https://developers.openai.com/api/docs/guides/prompt-caching; Gemini's minimum differs by model.
_UNASKED_CACHING_TOKENS = 1_024


def count_tokens(text: str) -> int:
    """Four characters a token: near enough for tests of budgets."""
    return len(text) // 4


def count_input_tokens(request: Request) -> int:
    """Count the system prompt and all messages, leaving out the schema."""
    spoken = "".join(text for role, text in turns_of(request.body) if role not in {"system", "developer"})
    return count_tokens(system_of(request.body) + spoken)


class PromptCache:
    """The beginnings of prompts met so far, which never expire and are found by the next request at once."""

    def __init__(self) -> None:
        self._known: set[tuple[str, int]] = set()

    def use(self, model: str, prefixes: list[str]) -> tuple[int, int]:
        """Return the tokens read and written for `prefixes`, each of which begins with the one before it.

        The longest prefix that is known is read, what the last one has beyond it is written; afterwards all
        are known.
        """
        keys = [(model, hash(prefix)) for prefix in prefixes]
        known = (
            count_tokens(prefix) for prefix, key in zip(prefixes, keys, strict=True) if key in self._known
        )
        read = max(known, default=0)
        self._known.update(keys)
        return read, count_tokens(prefixes[-1]) - read if prefixes else 0

    def read_unasked(self, request: Request) -> int:
        """Return the tokens read where a provider caches long system prompts without being asked to."""
        system = system_of(request.body)
        if count_tokens(system) < _UNASKED_CACHING_TOKENS:
            return 0
        return self.use(request.model, [system])[0]
