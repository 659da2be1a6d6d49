"""Requests whose JSON body is checked: one that cannot be read is refused with the reason."""

import re
from typing import Any

from litestar import Request
from litestar.exceptions import SerializationException

from leadline_contracts.errors import Problem

_JSON = re.compile(r"application/([^/\s]+\+)?json", re.IGNORECASE)


class ApiRequest(Request[Any, Any, Any]):
    """A request whose `json` raises Problem where the body is not called JSON, or is not JSON in UTF-8."""

    async def json(self) -> Any:
        """Return the body, decoded; None where there is none, whatever its type."""
        # A browser sends text and forms for any page, and asks first before it sends what is called JSON.
        if await self.body() and not _JSON.fullmatch(self.content_type[0]):
            raise _not_called_json(self.content_type[0])
        try:
            return await super().json()
        except SerializationException as error:
            raise _unreadable(error.detail) from None
        except UnicodeDecodeError:
            raise _unreadable("it is not in UTF-8") from None
        except RecursionError:
            raise _unreadable("it is nested too deeply") from None


def _not_called_json(kind: str) -> Problem:
    came = f"as {kind[:100]!r}" if kind else "without a Content-Type"
    return Problem(
        415,
        "Not called JSON",
        f"The body came {came}. Send JSON, and say that it is: curl -H 'Content-Type: application/json' ...",
    )


def _unreadable(reason: str) -> Problem:
    return Problem(
        400,
        "Not JSON",
        f"The body cannot be read: {reason}. Send JSON in UTF-8, its strings and names in double quotes.",
    )
