"""Reading JSON bodies so that one that cannot be read is refused with the reason."""

from typing import Any

from litestar import Request
from litestar.exceptions import SerializationException

from leadline_common.errors import Problem


class ApiRequest(Request[Any, Any, Any]):
    """A request whose `json` raises Problem where the body is not JSON in UTF-8."""

    async def json(self) -> Any:
        """Return the body, decoded."""
        try:
            return await super().json()
        except SerializationException as error:
            raise _unreadable(error.detail) from None
        except UnicodeDecodeError:
            raise _unreadable("it is not in UTF-8") from None
        except RecursionError:
            raise _unreadable("it is nested too deeply") from None


def _unreadable(reason: str) -> Problem:
    return Problem(
        400,
        "Not JSON",
        f"The body cannot be read: {reason}. Send JSON in UTF-8, its strings and names in double quotes.",
    )
