"""What every message has in common: how it is encoded and read, and whose it is.

A message type (`leads.accepted.v1`) is the routing key and the AMQP `type` property at once. Readers ignore
fields that they do not know, so that an older consumer survives a newer producer; a change that an older
reader would misread gets a new version in its type.
"""

from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from leadline_contracts.errors import Permanent

LOCAL_OWNER = "local"
"""The owner of everything where there are no accounts."""

OwnerName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f]+$")]
"""Whose leads and messages they are. No control characters: derived ids use one as a separator."""


def any_case(literal: Any) -> BeforeValidator:
    """Read the texts of a Literal in upper and lower case alike; for what people write."""
    spelling = {text.casefold(): text for text in get_args(literal)}
    return BeforeValidator(
        lambda text: spelling.get(text.casefold(), text) if isinstance(text, str) else text
    )


class Wire(BaseModel):
    """A part of a message: immutable, tolerant of fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Contract(Wire):
    """A whole message body."""

    TYPE: ClassVar[str]

    def encode(self) -> bytes:
        """Return the body as UTF-8 JSON."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a body.

        Raises Permanent, naming the first wrong field but never its value, where the body does not fit.
        """
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise Permanent(f"{cls.TYPE}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Say what is first wrong in one line, by field and rule, without the value that was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {first['msg']}{more}"
