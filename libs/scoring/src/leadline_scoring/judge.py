"""The offline answer: a label for a lead from its title and industry alone, by the model's table."""

from dataclasses import dataclass

from leadline_scoring.icp import Icp, read_role
from leadline_scoring.industries import IndustryFit, match_industry
from leadline_scoring.models import Label, OfflineRow, ScoringModel
from leadline_scoring.titles import Seniority, title_words


@dataclass(frozen=True, slots=True)
class Judgement:
    """A label, the confidence (0..1) that places it in its band, and what it rests on."""

    label: Label
    confidence: float
    role_evidence: str
    industry_evidence: str


def judge(model: ScoringModel, icp: Icp, role: str, industry: str) -> Judgement:
    """The first row of the model's offline table that fits; the last row fits every lead. Never raises."""
    reading, match = read_role(icp, role), match_industry(icp, industry)
    row = next(row for row in model.offline if _fits(row, reading.seniority, match.fit, role))
    return Judgement(row.label, row.confidence, reading.evidence, match.evidence)


def _fits(row: OfflineRow, seniority: Seniority, fit: IndustryFit, role: str) -> bool:
    return (
        row.seniority in {None, seniority}
        and row.fit in {None, fit}
        and (
            not row.words or any(word.ceiling and word.word in row.folded_words for word in title_words(role))
        )
    )
