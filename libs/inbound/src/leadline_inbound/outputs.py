"""The labels and fields of what is read from a message; the names and values are those of the contracts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol

Channel = Literal["whatsapp", "webchat", "email", "other"]
Category = Literal["sales_new", "sales_existing", "support", "spam", "unknown"]
RouteQueue = Literal["sales", "support", "ignore", "needs_clarification"]
Priority = Literal["p0", "p1", "p2"]
Level = Literal["low", "medium", "high"]
Timeline = Literal["now", "<1w", "1-4w", ">1m", "unknown"]
BudgetRange = Literal["<500", "500-2000", "2000-10000", ">10000", "unknown"]
Language = Literal["en", "es", "de", "fr", "pt"]
LeadType = Literal["quote_request", "availability", "pricing", "comparison", "other"]
ChangeRequest = Literal["reschedule", "upgrade", "add_on", "cancel", "other"]
IssueType = Literal["billing", "scheduling", "service_quality", "technical", "other"]
SpamReason = Literal["promo", "phishing", "irrelevant", "abusive", "other"]
MissingInfo = Literal["service_type", "budget", "timeline", "contact", "other"]
SignalKind = Literal["urgency", "budget", "churn_risk", "timeline", "sentiment", "complaint", "injection"]


@dataclass(frozen=True, slots=True)
class Classification:
    """Exactly one category, how sure it is (0..1), and a sentence or two that name the signals."""

    category: Category
    confidence: float
    rationale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The fields of every category; None (or "unknown") where the message does not say."""

    customer_name: str | None
    contact_channel: Channel
    service_interest: str | None
    location: str | None
    urgency: Level
    timeline: Timeline
    budget_range: BudgetRange
    language: Language | None
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesNew(Core):
    """A new customer's request."""

    category: Literal["sales_new"] = "sales_new"
    lead_type: LeadType
    service_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesExisting(Core):
    """A customer's wish for another service or another date."""

    category: Literal["sales_existing"] = "sales_existing"
    account_hint: str | None
    change_request: ChangeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Support(Core):
    """A complaint or a question about what was bought."""

    category: Literal["support"] = "support"
    issue_type: IssueType
    severity: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Spam(Core):
    """What nobody needs to answer."""

    category: Literal["spam"] = "spam"
    spam_reason: SpamReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Core):
    """What cannot be told; `missing_info` (1 to 5) is what to ask for."""

    category: Literal["unknown"] = "unknown"
    missing_info: tuple[MissingInfo, ...]


Extraction = SalesNew | SalesExisting | Support | Spam | Unknown


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing seen: its kind, its strength (0..1) and the words it was seen in (at most 120 characters)."""

    kind: SignalKind
    strength: float
    evidence: str


@dataclass(frozen=True, slots=True)
class RouteDefault:
    """The queue by the rules, why, and the signals that were seen."""

    queue: RouteQueue
    reason: str
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A routing decision; `sla_minutes` is the time to a first answer."""

    queue: RouteQueue
    priority: Priority
    sla_minutes: int
    recommended_next_action: str
    required_followups: tuple[str, ...]
    explanation: str


class SignalLike(Protocol):
    """A signal of ours or of the contracts."""

    @property
    def kind(self) -> SignalKind:
        """What it is about."""

    @property
    def strength(self) -> float:
        """From 0 to 1."""

    @property
    def evidence(self) -> str:
        """The words it was seen in."""


class DefaultLike(Protocol):
    """A default route of ours or of the contracts."""

    @property
    def queue(self) -> RouteQueue:
        """The queue by the rules."""

    @property
    def signals(self) -> Sequence[SignalLike]:
        """What was seen."""


class JudgementLike(Protocol):
    """A judgement of ours or of the contracts."""

    @property
    def queue(self) -> RouteQueue:
        """Who is to answer."""

    @property
    def priority(self) -> Priority:
        """How soon."""

    @property
    def sla_minutes(self) -> int:
        """The time to a first answer."""

    @property
    def recommended_next_action(self) -> str:
        """One sentence."""

    @property
    def required_followups(self) -> Sequence[str]:
        """What is still to be asked or done."""

    @property
    def explanation(self) -> str:
        """One or two sentences."""


class ExtractionLike(Protocol):
    """An extraction of ours or of the contracts."""

    @property
    def urgency(self) -> Level:
        """How urgent the words are."""

    @property
    def timeline(self) -> Timeline:
        """When it is wanted."""

    @property
    def budget_range(self) -> BudgetRange:
        """What may be spent."""
