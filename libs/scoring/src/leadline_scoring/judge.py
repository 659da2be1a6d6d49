"""The offline answer: a label for a lead from its title and industry alone, by the model's table."""

from dataclasses import dataclass

from leadline_scoring.icp import Icp, read_role
from leadline_scoring.industries import IndustryFit, match_industry
from leadline_scoring.models import Label, OfflineRow, ScoringModel
from leadline_scoring.titles import Seniority, title_words


@dataclass(frozen=True, slots=True)
class Judgement:
    """A label, and the confidence (0..1) that places it in its band."""

    label: Label
    confidence: float


def judge(model: ScoringModel, icp: Icp, role: str, industry: str) -> Judgement:
    """The first row of the model's offline table that fits; the last row fits every lead. Never raises."""
    seniority, fit = read_role(icp, role).seniority, match_industry(icp, industry).fit
    row = next(row for row in model.offline if _fits(row, seniority, fit, role))
    return Judgement(row.label, row.confidence)


def _fits(row: OfflineRow, seniority: Seniority, fit: IndustryFit, role: str) -> bool:
    return (
        row.seniority in {None, seniority}
        and row.fit in {None, fit}
        and (
            not row.words or any(word.ceiling and word.word in row.folded_words for word in title_words(role))
        )
    )
