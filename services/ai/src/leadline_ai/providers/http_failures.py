"""Failures of calls over HTTP and what to do about them, in the same words for all providers.

No provider's text is repeated, since it may quote what was sent.
"""

from dataclasses import dataclass

import aiohttp

from leadline_ai.providers.port import ProviderFailure

_NO_ROUTE = {404, 405, 501}
_OVERLOADED = {429, 503, 529}
_TRY_AGAIN = {408, 409}
# A proxy stopped waiting; the model may have answered.
_GAVE_UP = {408, 502, 504, 524}
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)


class NoSuchRoute(ProviderFailure):
    """Nothing is at the address asked, which may mean the model or the whole route. Kind `misconfigured`."""


@dataclass(frozen=True, slots=True)
class HttpFailures:
    """The failures of one provider; `key_variable` and `url_variable` are what a person would set."""

    provider: str
    model: str
    key_variable: str
    url_variable: str

    def of(self, error: Exception) -> ProviderFailure:
        """Return the failure for an error without status: a connection's, or ValueError for a body with 200.

        It is `charged` unless it is certain that no request was sent.
        """
        if _was_never_sent(error):
            return ProviderFailure("unavailable", f"{self.provider} is out of reach")
        if isinstance(error, ValueError):
            return ProviderFailure("unavailable", f"{self.provider}'s response is no message", charged=True)
        text = f"the connection to {self.provider} broke before the answer was there"
        return ProviderFailure("unavailable", text, charged=True)

    def by_status(self, status: int, retry_after: float | None = None) -> ProviderFailure:
        """Return the failure for a status other than 2xx, as far as the status alone says."""
        match status:
            case 401 | 403:
                return self.wrong_key(status)
            case 402:
                return self.spent(status)
            case _ if status in _NO_ROUTE:
                remedy = f"set LEADLINE_AI_MODEL to one it has, or put {self.url_variable} right"
                text = f"{self.provider} has no model {self.model!r}, or no such address ({status}): {remedy}"
                return NoSuchRoute("misconfigured", text)
            case _ if status in _OVERLOADED:
                text = f"{self.provider} has too much to do ({status})"
                return ProviderFailure("overloaded", text, retry_after=retry_after)
            case _ if status in _TRY_AGAIN or status >= 500:
                text, charged = f"{self.provider} answered {status}", status in _GAVE_UP
                return ProviderFailure("unavailable", text, retry_after=retry_after, charged=charged)
        return ProviderFailure("declined", f"{self.provider} declines this request ({status})")

    def wrong_key(self, status: int) -> ProviderFailure:
        """Return the failure of a key that is unknown or may not be used for this."""
        text = f"{self.provider} does not accept the key ({status}): set {self.key_variable} to a valid one"
        return ProviderFailure("misconfigured", text)

    def spent(self, status: int) -> ProviderFailure:
        """Return the failure of an account that has no money left, or has reached what it may spend."""
        remedy = "add credit, raise its spend limit or change the key"
        text = f"the {self.provider} account cannot pay for more ({status}): {remedy}"
        return ProviderFailure("misconfigured", text)

    def unknown_model(self, status: int) -> ProviderFailure:
        """Return the failure of a model that is not there for this key, where the provider says so itself."""
        remedy = "set LEADLINE_AI_MODEL to one it has"
        text = f"{self.provider} has no model {self.model!r} for this key ({status}): {remedy}"
        return ProviderFailure("misconfigured", text)


def _was_never_sent(error: BaseException | None) -> bool:
    """Decide by the error's causes: the SDKs send through aiohttp, and wrap or pass on its errors."""
    while error is not None:
        if isinstance(error, _NEVER_SENT):
            return True
        error = error.__cause__
    return False
