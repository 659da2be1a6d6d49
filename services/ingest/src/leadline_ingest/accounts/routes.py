"""The routes of an account: sign up, log in, and who am I."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from leadline_common.http.api import PUBLIC
from leadline_ingest.accounts.client_address import client_address
from leadline_ingest.accounts.service import Accounts, LogIn, Profile, Session, SignUp


def account_routes(accounts: Accounts, trusted_proxies: int) -> list[ControllerRouterHandler]:
    """Return the routes; attempts are counted by the client's address, behind so many trusted proxies."""

    def address_of(request: Request[Any, Any, Any]) -> str:
        peer = request.client.host if request.client else ""
        return client_address(peer, request.headers.getall("x-forwarded-for", []), trusted_proxies)

    @post("/auth/signup", summary="Make an account", tags=["accounts"], opt=PUBLIC)
    async def sign_up(request: Request[Any, Any, Any], data: JSONBody[SignUp]) -> Response[Session]:
        """Email and a password of 8 to 200 characters; answers a token, as log-in does."""
        return _kept_by_nobody(await accounts.sign_up(data, address_of(request)), 201)

    @post("/auth/login", summary="Log in", tags=["accounts"], status_code=200, opt=PUBLIC)
    async def log_in(request: Request[Any, Any, Any], data: JSONBody[LogIn]) -> Response[Session]:
        """The token goes into other requests as `Authorization: Bearer TOKEN`, until it expires.

        After five failures from an address it answers 429 for a while, and in Retry-After when to come again.
        """
        return _kept_by_nobody(await accounts.log_in(data, address_of(request)), 200)

    @get("/auth/me", summary="Whose token it is", tags=["accounts"])
    async def show_me(owner: NamedDependency[str]) -> Profile:
        """The user who asks."""
        return await accounts.profile(owner)

    return [sign_up, log_in, show_me]


def _kept_by_nobody(session: Session, status: int) -> Response[Session]:
    """Return a response with a token, which no cache may keep (RFC 6749, section 5.1)."""
    return Response(session, status_code=status, headers={"Cache-Control": "no-store"})
