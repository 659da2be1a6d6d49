"""Look-ups of the offers and uploads that requests name, and what is wrong with an offer."""

from leadline_contracts.errors import Invalid, NotFound
from leadline_contracts.scoring import Offer
from leadline_ingest.prospects.store import ProspectStore, Upload
from leadline_scoring.offer_reading import read_offer


async def known_offer(store: ProspectStore, owner: str, offer_id: str) -> Offer:
    """Return the owner's offer of that id. Raises NotFound."""
    offer = await store.offer(owner, offer_id)
    if offer is None:
        raise NotFound(f"There is no offer {offer_id[:64]!r}; POST /offer answers the id of each offer.")
    return offer


async def known_upload(store: ProspectStore, owner: str, upload_id: str) -> Upload:
    """Return the owner's upload of that id. Raises NotFound."""
    upload = await store.upload(owner, upload_id)
    if upload is None:
        raise NotFound(
            f"There is no upload {upload_id[:64]!r}; POST /leads/upload answers the id of each upload."
        )
    return upload


def one_offer(in_path: str | None, in_body: str | None) -> str | None:
    """Return the offer that is named. Raises Invalid where path and body name two."""
    if in_path is not None and in_body not in {None, in_path}:
        raise Invalid("Two offers", "The path and the body name different offers; name one.")
    return in_path or in_body


def offer_warnings(offer: Offer) -> list[str]:
    """Say where an offer names nobody, which costs every lead its points for industry."""
    reading = read_offer(offer.ideal_use_cases, offer.icp.industries, offer.icp.roles)
    if reading.targets:
        return []
    if not offer.ideal_use_cases:
        return [
            "The offer says nothing of whom it is for, so no lead gets points for its industry. "
            "Name industries in ideal_use_cases or in icp.industries."
        ]
    phrases = ", ".join(repr(phrase) for phrase in reading.not_understood[:5])
    return [
        f"No industry was read out of {phrases}, so no lead gets points for its industry. Name industries in "
        "icp.industries, or in other words."
    ]
