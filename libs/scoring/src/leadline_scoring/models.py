"""Scoring models as data: every number a score is made of, read from `data/model_<name>.toml`.

Either model gives up to 50 points by rules (role 20, industry 20, completeness 10) and up to 50 by the label
that the AI chose.
"""

import tomllib
from functools import cache, cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leadline_scoring.data_files import read_data
from leadline_scoring.industries import IndustryFit
from leadline_scoring.titles import Seniority
from leadline_text.phrases import Phrases
from leadline_text.tokens import fold

MODEL_NAMES = ("standard", "graded")
MAX_LAYER_POINTS = 50

Label = Literal["High", "Medium", "Low"]
LeadField = Literal["name", "role", "company", "industry", "location", "linkedin_bio"]
Points = Annotated[int, Field(ge=0, le=MAX_LAYER_POINTS)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SeniorityPoints(_Frozen):
    """Points for a role by what the title says about buying."""

    by: Literal["seniority"]
    decision_maker: Points
    influencer: Points
    other: Points

    @property
    def max(self) -> int:
        """The most points a role can earn."""
        return max(self.decision_maker, self.influencer, self.other)

    def of(self, seniority: Seniority) -> int:
        """The points of a seniority."""
        return {
            Seniority.DECISION_MAKER: self.decision_maker,
            Seniority.INFLUENCER: self.influencer,
            Seniority.OTHER: self.other,
        }[seniority]


class FitPoints(_Frozen):
    """Points for an industry by how it fits the ICP."""

    by: Literal["icp"]
    exact: Points
    adjacent: Points
    none: Points

    @property
    def max(self) -> int:
        """The most points an industry can earn."""
        return max(self.exact, self.adjacent, self.none)

    def of(self, fit: IndustryFit) -> int:
        """The points of a fit."""
        return {
            IndustryFit.EXACT: self.exact,
            IndustryFit.ADJACENT: self.adjacent,
            IndustryFit.NONE: self.none,
        }[fit]


class Tier(_Frozen):
    """Phrases that earn the same points."""

    points: Points
    phrases: tuple[str, ...]


class KeywordPoints(_Frozen):
    """Points by whole words: the longest phrase masks its words, then the highest tier counts."""

    by: Literal["keywords"]
    tiers: tuple[Tier, ...]

    @property
    def max(self) -> int:
        """The points of the highest tier."""
        return max(tier.points for tier in self.tiers)

    @cached_property
    def table(self) -> Phrases[int]:
        """The tiers' points by phrase."""
        return Phrases([(phrase, tier.points) for tier in self.tiers for phrase in tier.phrases])


class TitleKeywordPoints(KeywordPoints):
    """Keywords in a title, each limited by the seniority that its word may show.

    A keyword in a phrase that names somebody who only shapes a purchase earns at most `shaping_at_most`.
    """

    shaping_at_most: Points

    def under(self, ceiling: Seniority | None, points: int) -> int:
        """A keyword's points, limited by the seniority that the title's word may show."""
        if ceiling is Seniority.DECISION_MAKER:
            return points
        return min(points, self.shaping_at_most) if ceiling is Seniority.INFLUENCER else 0


class Completeness(_Frozen):
    """Points for filled-in fields: all of them or none, or in proportion, rounded down."""

    fields: tuple[LeadField, ...]
    points: Points
    proportional: bool

    def of(self, present: int) -> int:
        """The points where `present` of the fields are there."""
        if self.proportional:
            return self.points * present // len(self.fields)
        return self.points if present == len(self.fields) else 0


class Band(_Frozen):
    """A range of points; a confidence of 0 gives `low`, of 1 `high`."""

    low: Points
    high: Points

    def at(self, confidence: float) -> int:
        """The points at a confidence, which is taken into 0..1 first; halves round up."""
        within = min(1.0, max(0.0, confidence))
        return self.low + int((self.high - self.low) * within + 0.5)


class AiPoints(_Frozen):
    """The points each label stands for."""

    High: Band
    Medium: Band
    Low: Band


class IntentThresholds(_Frozen):
    """The lowest scores (0..100) of High and Medium."""

    high: int
    medium: int


class OfflineRow(_Frozen):
    """An answer of the offline assessor, and the conditions on a lead: all that are given must hold.

    `words`: the title has one of them, and it counts there.
    """

    seniority: Seniority | None = None
    fit: IndustryFit | None = None
    words: tuple[str, ...] = ()
    label: Label
    confidence: float = Field(ge=0, le=1)

    @cached_property
    def folded_words(self) -> frozenset[str]:
        """`words` in the spelling of title_words."""
        return frozenset(map(fold, self.words))


class ScoringModel(_Frozen):
    """One complete scoring model. `version` changes with any change that can change a score."""

    name: str
    version: str
    role: Annotated[SeniorityPoints | TitleKeywordPoints, Field(discriminator="by")]
    industry: Annotated[FitPoints | KeywordPoints, Field(discriminator="by")]
    completeness: Completeness
    ai: AiPoints
    intent_rule: Annotated[Literal["ai_label"] | IntentThresholds, Field(alias="intent")]
    offline: tuple[OfflineRow, ...]

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        most = self.role.max + self.industry.max + self.completeness.points
        if most != MAX_LAYER_POINTS:
            raise ValueError(f"the rules of {self.name} add up to {most} points, not {MAX_LAYER_POINTS}")
        last = self.offline[-1]
        if last.seniority or last.fit or last.words:
            raise ValueError(f"the last offline row of {self.name} must fit every lead")
        return self

    def ai_points(self, label: Label, confidence: float) -> int:
        """The points (0..50) of an AI's label; `confidence` places them inside the label's band."""
        band: Band = getattr(self.ai, label)
        return band.at(confidence)

    def intent(self, label: Label, score: int) -> Label:
        """A lead's intent: the AI's label, or by the thresholds of the final score (0..100)."""
        if self.intent_rule == "ai_label":
            return label
        if score >= self.intent_rule.high:
            return "High"
        return "Medium" if score >= self.intent_rule.medium else "Low"


@cache
def load_model(name: str) -> ScoringModel:
    """The scoring model of that name.

    Raises ValueError, which lists the names there are, for any other.
    """
    if name not in MODEL_NAMES:
        raise ValueError(f"no scoring model {name!r}: use one of {', '.join(MODEL_NAMES)}")
    return ScoringModel.model_validate(tomllib.loads(read_data(f"model_{name}.toml")))
