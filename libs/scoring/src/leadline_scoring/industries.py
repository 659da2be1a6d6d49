"""How a lead's industry fits the industries an offer is for."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from leadline_scoring.evidence import excerpt
from leadline_scoring.icp import Icp
from leadline_scoring.taxonomy import Industry, taxonomy
from leadline_text.placeholders import is_missing
from leadline_text.tokens import read_text

_READ = 300


class IndustryFit(StrEnum):
    """EXACT is a target branch; ADJACENT a neighbouring branch of its sector, or a wider term for it."""

    EXACT = "exact"
    ADJACENT = "adjacent"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class IndustryMatch:
    """A fit and, in plain words, why."""

    fit: IndustryFit
    evidence: str


def match_industry(icp: Icp, industry: str) -> IndustryMatch:
    """Matches the first 300 characters of a lead's industry, as it was typed; never raises."""
    return _match(icp.industries, industry[:_READ])


@lru_cache(maxsize=32_768)
def _match(targets: tuple[str, ...], industry: str) -> IndustryMatch:
    if is_missing(industry):
        return IndustryMatch(IndustryFit.NONE, "no industry given")
    if not targets:
        return IndustryMatch(IndustryFit.NONE, "the offer names no industry")
    here = excerpt(industry)
    if wanted := _literal(targets, industry):
        return IndustryMatch(IndustryFit.EXACT, f"{here}: named by the offer ({excerpt(wanted)})")
    known = [taxonomy().industries[target] for target in targets if target in taxonomy().industries]
    named = taxonomy().named_in_field(industry)
    for own in named:
        for target in known:
            if own.branches <= target.branches:
                return IndustryMatch(
                    IndustryFit.EXACT, f"{here}: {_within(own, target)}, which the offer targets"
                )
    for own in named:
        for target in known:
            if near := _next_to(own, target):
                return IndustryMatch(IndustryFit.ADJACENT, f"{here}: {near}, which the offer targets")
    return IndustryMatch(IndustryFit.NONE, f"{here}: {_why_none(named, known, targets)}")


def _literal(targets: tuple[str, ...], industry: str) -> str | None:
    text = f" {' '.join(read_text(industry).words)} "
    unknown = (target for target in targets if target not in taxonomy().industries)
    return next((t for t in unknown if (p := " ".join(read_text(t).words)) and f" {p} " in text), None)


def _within(own: Industry, target: Industry) -> str:
    return own.title if own == target else f"{own.title} is part of {target.title}"


def _next_to(own: Industry, target: Industry) -> str | None:
    if own.branches & target.branches:
        return f"{own.title} is wider than {target.title}"
    if own.branches & target.nearby or own.nearby & target.branches:
        return f"{own.title} is next to {target.title}"
    return None


def _why_none(named: tuple[Industry, ...], known: list[Industry], targets: tuple[str, ...]) -> str:
    wanted = ", ".join([industry.title for industry in known] or targets)
    if not named:
        return f"not an industry the taxonomy knows; the offer targets {excerpt(wanted)}"
    return f"{' and '.join(industry.title for industry in named)} is not near {excerpt(wanted)}"
