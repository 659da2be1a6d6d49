"""What is read out of an offer, in words, for the person who wrote it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leadline_scoring.icp import read_icp
from leadline_scoring.taxonomy import taxonomy


@dataclass(frozen=True, slots=True)
class OfferReading:
    """Whom an offer is taken to be for.

    `targets` are the industries that earn all points for industry, `adjacent` the neighbouring ones that earn
    half, `roles` those that decide beside the usual titles. `not_understood` are the phrases that no industry
    was read out of.
    """

    targets: tuple[str, ...]
    adjacent: tuple[str, ...]
    roles: tuple[str, ...]
    not_understood: tuple[str, ...]


def read_offer(
    ideal_use_cases: Sequence[str], industries: Sequence[str] = (), roles: Sequence[str] = ()
) -> OfferReading:
    """Read an offer as the scores do; stated `industries` replace those that the use cases name."""
    icp = read_icp(ideal_use_cases, industries, roles)
    known = taxonomy().industries
    found = [known[target] for target in icp.industries if target in known]
    targets = {branch for industry in found for branch in industry.branches}
    near = {branch for industry in found for branch in industry.nearby} - targets
    return OfferReading(
        targets=tuple(known[target].title if target in known else target for target in icp.industries),
        adjacent=tuple(sorted(known[branch].title for branch in near)),
        roles=icp.roles,
        not_understood=tuple(_unread(() if industries else ideal_use_cases)),
    )


def _unread(phrases: Iterable[str]) -> Iterable[str]:
    return (phrase for phrase in phrases if not taxonomy().named_in_use_case(phrase))
