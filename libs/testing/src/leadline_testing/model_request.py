"""A request to a model, and what it says in whichever of the three protocols it came.

Anthropic, OpenAI and Gemini name system prompt, user text and schema differently, and none of them uses
another's name for something else: a body is read without being told whose it is.
"""

import re
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
Schema = dict[str, Any]

_SCHEMA_PLACES = (
    ("output_config", "format", "schema"),
    ("response_format", "json_schema", "schema"),
    ("generationConfig", "responseJsonSchema"),
    ("generationConfig", "responseSchema"),
)
_LEAD = re.compile(r'<lead\s[^>]*?\bid="([^"]*)"[^>]*>(.*?)</lead>', re.DOTALL)
_MODEL_IN_PATH = re.compile(r".*/models/([^/:]+)")


@dataclass(frozen=True, slots=True)
class Request:
    """One received request; header names are lower-case, `path` has no query, `body` is {} where it was no
    JSON object.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Body

    @property
    def model(self) -> str:
        """The model that is asked, from the body or, for Gemini and GETs, from the path."""
        in_path = _MODEL_IN_PATH.match(self.path)
        return in_path[1] if in_path else str(self.body.get("model", ""))

    @property
    def system(self) -> str:
        """See `system_of`."""
        return system_of(self.body)

    @property
    def user_text(self) -> str:
        """All that was said in the user's name."""
        return "\n".join(user_texts_of(self.body))

    @property
    def schema(self) -> Schema:
        """See `schema_of`."""
        return schema_of(self.body)

    @property
    def leads(self) -> list[tuple[str, str]]:
        """See `leads_in`."""
        return leads_in(self.body)


def system_of(body: Body) -> str:
    """Return the system prompt; OpenAI's is made of its system and developer messages."""
    spoken = [text for role, text in turns_of(body) if role in {"system", "developer"}]
    texts = [_text(body.get("system")), _text(body.get("systemInstruction")), *spoken]
    return "\n".join(text for text in texts if text)


def user_texts_of(body: Body) -> list[str]:
    """Return the text of each user message, its blocks joined by newlines."""
    return [text for role, text in turns_of(body) if role == "user"]


def turns_of(body: Body) -> list[tuple[str, str]]:
    """Return (role, text) of each message."""
    turns = body.get("messages") or body.get("contents") or ()
    return [(turn.get("role", "user"), _text(turn.get("content", turn))) for turn in turns]


def schema_of(body: Body) -> Schema:
    """Return the JSON schema the request asks its answer to follow, {} where it asks for none."""
    for place in _SCHEMA_PLACES:
        found: Any = body
        for step in place:
            found = found.get(step) or {}
        if found:
            return dict(found)
    return {}


def leads_in(body: Body) -> list[tuple[str, str]]:
    """Return (id, text) of each <lead id="..."> in the last user message that holds any, in order."""
    for text in reversed(user_texts_of(body)):
        if leads := _LEAD.findall(text):
            return leads
    return []


def _text(content: Any) -> str:
    """Join the text of a string, of a list of blocks, or of Gemini's {"parts": [...]}."""
    if isinstance(content, str):
        return content
    blocks = content.get("parts") if isinstance(content, dict) else content
    return "\n".join(block["text"] for block in blocks or () if "text" in block)
