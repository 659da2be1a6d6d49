"""Access tokens, and whose request it is.

Tokens are stateless: one stays valid until it expires, even if its account is gone, and no store is read. To
end all of them at once, replace the secret.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import jwt
from pydantic import SecretStr

from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Problem

MIN_SECRET_BYTES = 32
"""HS256 wants a key as long as its hash (RFC 7518, section 3.2)."""
_ALGORITHM = "HS256"
_ISSUER = "leadline"
_LEEWAY = timedelta(seconds=30)
"""How far the clocks of two machines may be apart."""
_CLAIMS = ("sub", "iat", "exp", "iss")


class Tokens:
    """Signs and reads access tokens (JWT, HS256): the first secret signs, every one of them verifies.

    To rotate, put a new secret in front on all services that verify, and drop the old one once the last
    token it signed has expired.
    """

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        """Take one secret or more, each of at least `MIN_SECRET_BYTES` bytes."""
        self._secrets = tuple(secrets)

    def sign(self, user_id: str, now: datetime, lifetime: timedelta) -> str:
        """Return a token for the user that is valid from now on for that time."""
        claims = {"sub": user_id, "iat": now, "exp": now + lifetime, "iss": _ISSUER}
        return jwt.encode(claims, self._secrets[0].get_secret_value(), algorithm=_ALGORITHM)

    def read(self, token: str) -> str:
        """Return the id of the user it was signed for.

        Raises Problem (401) where it is no token of ours, or has expired.
        """
        for secret in self._secrets:
            try:
                claims = jwt.decode(
                    token,
                    secret.get_secret_value(),
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    leeway=_LEEWAY,
                    options={"require": list(_CLAIMS)},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise not_authenticated("The token has expired; get a new one.") from None
            except jwt.InvalidTokenError:
                break
            return str(claims["sub"])
        raise not_authenticated("The token is not one of this Leadline's.")


class Authentication:
    """Finds the user of a request by its Authorization headers.

    `open_to_all` takes a request without any as the owner `local`; for an address that others cannot reach.
    """

    def __init__(self, tokens: Tokens, *, open_to_all: bool) -> None:
        self._tokens = tokens
        self.open_to_all = open_to_all

    def owner_of(self, authorizations: Sequence[str]) -> str:
        """Return the id of the user whose token is sent. Raises Problem (401)."""
        if not authorizations and self.open_to_all:
            return LOCAL_OWNER
        if len(authorizations) != 1:
            raise not_authenticated("The request has no token, or more than one.")
        scheme, _, token = authorizations[0].partition(" ")
        if scheme.lower() != "bearer":
            raise not_authenticated("The Authorization header is not of the kind Bearer.")
        return self._tokens.read(token.strip())


def not_authenticated(reason: str) -> Problem:
    """Return the refusal of a request for this reason, saying how to authenticate."""
    advice = "POST /auth/login answers a token; send it as `Authorization: Bearer TOKEN`."
    return Problem(401, "Not authenticated", f"{reason} {advice}")
