"""Offers over HTTP."""

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from pydantic import TypeAdapter

from leadline_common.http.idempotency import RequestAttempt
from leadline_common.http.pagination import next_link, read_cursor, write_cursor
from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import Offer, OfferSpec
from leadline_ingest.prospects.offers import known_offer, offer_warnings
from leadline_ingest.prospects.store import ProspectStore
from leadline_scoring.offer_reading import read_offer

Limit = Annotated[int, QueryParameter(ge=1, le=500, description="how many at most")]
Cursor = Annotated[str | None, QueryParameter(description="where the page begins, from the Link header")]
_LAST_ID = TypeAdapter(tuple[str])


class OfferReadingView(Wire):
    """Whom an offer is taken to be for.

    `targets` are the industries that earn all points for industry, `adjacent` the neighbouring ones that earn
    half with the model `graded`, `roles` those that decide beside the usual titles. `not_understood` are the
    phrases of `ideal_use_cases` that no industry was read out of.
    """

    targets: list[str]
    adjacent: list[str]
    roles: list[str]
    not_understood: list[str]


class OfferView(Offer):
    """An offer, what is read out of it, and what its writer ought to know before it is scored against."""

    reading: OfferReadingView
    warnings: list[str]


def offer_view(offer: Offer) -> OfferView:
    """Show an offer with its reading."""
    reading = read_offer(offer.ideal_use_cases, offer.icp.industries, offer.icp.roles)
    view = OfferReadingView(
        targets=list(reading.targets),
        adjacent=list(reading.adjacent),
        roles=list(reading.roles),
        not_understood=list(reading.not_understood),
    )
    return OfferView(**offer.model_dump(), reading=view, warnings=offer_warnings(offer))


def offer_routes(store: ProspectStore) -> list[ControllerRouterHandler]:
    """Return the routes for offers."""

    @post("/offer", summary="Create an offer", tags=["offers"])
    async def create_offer(
        data: JSONBody[OfferSpec], owner: NamedDependency[str], attempt: NamedDependency[RequestAttempt]
    ) -> OfferView:
        """What is sold, why, and for whom; the newest offer is what POST /score scores against.

        The answer says what was read out of it.
        """
        offer = Offer(id=attempt.object_id, **data.model_dump())
        await store.add_offer(owner, offer, inline=False)
        return offer_view(offer)

    @get("/offers", summary="List offers", tags=["offers"])
    async def list_offers(
        request: Request[Any, Any, Any],
        owner: NamedDependency[str],
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[list[OfferView]]:
        """The offers made by POST /offer, the newest first."""
        offers = await store.offers(owner, page_after(cursor), limit + 1)
        shown = [offer_view(offer) for offer in offers[:limit]]
        return Response(shown, headers=page_headers(request, [one.id for one in offers], limit))

    @get("/offers/{offer_id:str}", summary="One offer, and what is read out of it", tags=["offers"])
    async def show_offer(offer_id: FromPath[str], owner: NamedDependency[str]) -> OfferView:
        """An offer with its reading: whom it is taken to be for, and what was not understood."""
        return offer_view(await known_offer(store, owner, offer_id))

    return [create_offer, list_offers, show_offer]


def page_after(cursor: str | None) -> str | None:
    """Return the id that a cursor continues below."""
    return None if cursor is None else read_cursor(cursor, _LAST_ID)[0]


def page_headers(request: Request[Any, Any, Any], ids: list[str], limit: int) -> dict[str, str]:
    """Return the header that leads to the next page, where there are more ids than the limit."""
    if len(ids) <= limit:
        return {}
    cursor = write_cursor([ids[limit - 1]])
    return {"Link": next_link(request.url.path, request.query_params.multi_items(), cursor)}
