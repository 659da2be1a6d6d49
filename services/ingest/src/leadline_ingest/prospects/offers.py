"""Look-ups of the offer that a request names."""

from leadline_contracts.errors import Invalid, NotFound
from leadline_contracts.scoring import Offer
from leadline_ingest.prospects.store import ProspectStore


async def known_offer(store: ProspectStore, owner: str, offer_id: str) -> Offer:
    """Return the owner's offer of that id. Raises NotFound."""
    offer = await store.offer(owner, offer_id)
    if offer is None:
        raise NotFound(f"There is no offer {offer_id[:64]!r}; POST /offer answers the id of each offer.")
    return offer


def one_offer(in_path: str | None, in_body: str | None) -> str | None:
    """Return the offer that is named. Raises Invalid where path and body name two."""
    if in_path is not None and in_body not in {None, in_path}:
        raise Invalid("Two offers", "The path and the body name different offers; name one.")
    return in_path or in_body
