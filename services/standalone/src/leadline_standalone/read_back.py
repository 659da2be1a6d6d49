"""What was read out of a file and an offer, said before anything is scored or paid for."""

from leadline_contracts.scoring import LEAD_FIELDS, OfferSpec
from leadline_ingest.prospects.report import UploadReport
from leadline_scoring.offer_reading import read_offer
from leadline_standalone.money import counted

_NEEDED = ("role", "industry")
_SHOWN = 6


def file_lines(report: UploadReport) -> list[str]:
    """Say which column was taken for what, and what became of the rows."""
    taken = ", ".join(
        f"{field} from {report.columns[field]!r}" for field in LEAD_FIELDS if field in report.columns
    )
    parts = [counted(report.inserted, "prospect")]
    if report.duplicates:
        parts.append(f"{counted(report.duplicates, 'duplicate')} left out")
    if report.rejected_count:
        parts.append(f"{report.rejected_count:,} rejected")
    if report.blank:
        parts.append(f"{report.blank:,} without a prospect")
    return [f"Read: {taken}.", f"{counted(report.rows, 'row')}: {', '.join(parts)}."]


def offer_line(offer: OfferSpec) -> str:
    """Say whom the offer is taken to be for, and what of it was not understood."""
    reading = read_offer(offer.ideal_use_cases, offer.icp.industries, offer.icp.roles)
    parts = [f"targets: {_listed(reading.targets)}"] if reading.targets else ["targets: no industry"]
    if reading.adjacent:
        parts.append(f"next to them: {_listed(reading.adjacent)}")
    if reading.roles:
        parts.append(f"roles: {_listed(reading.roles)}")
    if reading.not_understood:
        parts.append(f"not understood: {_listed(tuple(map(repr, reading.not_understood)))}")
    return f"Offer {offer.name!r}: {'; '.join(parts)}."


def doubts(report: UploadReport, offer: OfferSpec) -> list[str]:
    """Say what makes the scores of little worth: a field that was not found, an offer that names nobody."""
    missing = [field for field in _NEEDED if field not in report.columns]
    found = (
        [
            f"no column was taken for {' and '.join(missing)}: say which one holds it, as in "
            f'--map {missing[0]}="Column title"'
        ]
        if missing
        else []
    )
    if not read_offer(offer.ideal_use_cases, offer.icp.industries, offer.icp.roles).targets:
        found.append("the offer names no industry that is known, so no lead gets points for its industry")
    return found


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
