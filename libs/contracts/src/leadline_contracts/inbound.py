"""The contracts of a message's workflow: what is submitted, what each step is asked, and what it answers.

`checked_output` is strict about an output, where it is made and where it is stored. As a part of a message
an output is read like any other: fields of a newer writer are ignored.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

from leadline_contracts.envelope import LOCAL_OWNER, Contract, OwnerName, Wire, any_case

MAX_MESSAGE = 20_000
"""Characters of an inbound message."""

Channel = Literal["whatsapp", "webchat", "email", "other"]
Category = Literal["sales_new", "sales_existing", "support", "spam", "unknown"]
RouteQueue = Literal["sales", "support", "ignore", "needs_clarification"]
Priority = Literal["p0", "p1", "p2"]
Level = Literal["low", "medium", "high"]
Timeline = Literal["now", "<1w", "1-4w", ">1m", "unknown"]
BudgetRange = Literal["<500", "500-2000", "2000-10000", ">10000", "unknown"]
LeadType = Literal["quote_request", "availability", "pricing", "comparison", "other"]
ChangeRequest = Literal["reschedule", "upgrade", "add_on", "cancel", "other"]
IssueType = Literal["billing", "scheduling", "service_quality", "technical", "other"]
SpamReason = Literal["promo", "phishing", "irrelevant", "abusive", "other"]
MissingInfo = Literal["service_type", "budget", "timeline", "contact", "other"]
SignalKind = Literal["urgency", "budget", "churn_risk", "timeline", "sentiment", "complaint", "injection"]

SLA_MINUTES: dict[Priority, tuple[int, int]] = {"p0": (5, 60), "p1": (60, 480), "p2": (480, 4320)}
"""The least and most minutes to a first answer for each priority."""


class StepName(StrEnum):
    """The steps of a workflow, in order."""

    CLASSIFY = "classify"
    EXTRACT = "extract"
    ROUTE = "route"


def _say_something(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold more than white space")
    return text


class MessageSpec(Wire):
    """An inbound message as it is sent in."""

    name: str | None = Field(None, max_length=500)
    contact_channel: Annotated[Channel, any_case(Channel)]
    message: Annotated[str, StringConstraints(max_length=MAX_MESSAGE), AfterValidator(_say_something)]
    external_message_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class MessageSubmitted(MessageSpec):
    """What other systems publish. Untrusted."""

    TYPE: ClassVar[str] = "messages.submitted.v1"

    owner: OwnerName = LOCAL_OWNER


class MessageReceived(Contract):
    """The reply to a submission, sent to its `reply_to`: the id of its workflow, or why there is none."""

    TYPE: ClassVar[str] = "messages.received.v1"

    owner: str
    message_id: str
    workflow_id: str | None = None
    error: str | None = None


class MessageAccepted(Contract):
    """A validated message, kept as it came; its workflow is to begin."""

    TYPE: ClassVar[str] = "messages.accepted.v1"

    owner: str
    workflow_id: str
    input: MessageSpec
    received_at: datetime


ShortLine = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=600)]
Confidence = Annotated[float, Field(ge=0, le=1, strict=True)]


def _day(text: str) -> str:
    try:
        written = date.fromisoformat(text).isoformat()
    except ValueError:
        written = ""
    if written != text:
        raise ValueError("must be a date like 2026-12-03")
    return text


IsoDate = Annotated[str, AfterValidator(_day)]
"""A day, written YYYY-MM-DD; pydantic's own date would take "0" for the first of January 1970."""


class Classification(Wire):
    """Exactly one category; `rationale` is a sentence or two."""

    category: Category
    confidence: Confidence
    rationale: Sentence


class _Extraction(Wire):
    """The fields of every category; what the message does not say is None, or `unknown` where that is one."""

    customer_name: ShortLine | None = None
    contact_channel: Channel
    service_interest: ShortLine | None = None
    location: ShortLine | None = None
    urgency: Level
    timeline: Timeline
    budget_range: BudgetRange
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")] | None = None
    confidence: Confidence


class SalesNewExtraction(_Extraction):
    """A new customer's request."""

    category: Literal["sales_new"]
    lead_type: LeadType
    service_date: IsoDate | None = None


class SalesExistingExtraction(_Extraction):
    """A customer's wish for another service or another date."""

    category: Literal["sales_existing"]
    account_hint: ShortLine | None = None
    change_request: ChangeRequest


class SupportExtraction(_Extraction):
    """A complaint, or a question about a service that the customer has."""

    category: Literal["support"]
    issue_type: IssueType
    severity: Level


class SpamExtraction(_Extraction):
    """What nobody here needs to answer."""

    category: Literal["spam"]
    spam_reason: SpamReason


class UnknownExtraction(_Extraction):
    """A message whose category is unclear; `missing_info` is what to ask its sender for."""

    category: Literal["unknown"]
    missing_info: Annotated[list[MissingInfo], Field(min_length=1, max_length=5)]


Extraction = Annotated[
    SalesNewExtraction | SalesExistingExtraction | SupportExtraction | SpamExtraction | UnknownExtraction,
    Discriminator("category"),
]


class Signal(Wire):
    """One thing seen in a message: its kind, how strong it is (0..1), and the words it was seen in."""

    kind: SignalKind
    strength: Confidence
    evidence: Annotated[str, StringConstraints(max_length=120)]


class RouteDefault(Wire):
    """The rules' part of a route: the default queue, why, and the signals that were seen."""

    queue: RouteQueue
    reason: Sentence
    signals: list[Signal]


class Judgement(Wire):
    """A routing decision as it was proposed; `sla_minutes` is the time to a first answer."""

    queue: RouteQueue
    priority: Priority
    sla_minutes: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    recommended_next_action: Sentence
    required_followups: Annotated[list[ShortLine], Field(max_length=10)] = []
    explanation: Sentence


class Routing(Judgement):
    """The route of a message: the final decision, the rules' default, and the AI's proposal where it differs.

    `sla_minutes` is inside SLA_MINUTES of the priority. `guard_rails` says what was changed and why.
    """

    default: RouteDefault
    proposed: Judgement | None = None
    guard_rails: list[Sentence] = []

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        least, most = SLA_MINUTES[self.priority]
        if not least <= self.sla_minutes <= most:
            raise ValueError(f"sla_minutes: {self.priority} takes {least} to {most}")
        return self


StepOutput = Classification | Extraction | Routing
OUTPUTS: dict[StepName, TypeAdapter[StepOutput]] = {
    StepName.CLASSIFY: TypeAdapter(Classification),
    StepName.EXTRACT: TypeAdapter(Extraction),
    StepName.ROUTE: TypeAdapter(Routing),
}
"""What a step's output must fit."""


def checked_output(step: StepName, output: Mapping[str, object]) -> dict[str, object]:
    """Return a step's output as JSON has it, every field of its contract written out.

    Strict: raises ValidationError for a field that is unknown, missing, of another type or of another
    category.
    """
    # As JSON, where strict still reads dates: in Python it would take them for strings.
    adapter, text = OUTPUTS[step], json.dumps(output)
    checked = adapter.validate_json(text, strict=True, extra="forbid")
    return dict(adapter.dump_python(checked, mode="json"))


class StepRef(Contract):
    """Which step of which workflow; `epoch` is 1 at first, one more after each manual retry."""

    owner: str
    workflow_id: str
    step: StepName
    epoch: int
    deadline: datetime


class ClassifyStep(StepRef):
    """Requests the category of a message."""

    TYPE: ClassVar[str] = "steps.classify.v1"

    input: MessageSpec


class ExtractStep(StepRef):
    """Requests the fields of a message of a known category."""

    TYPE: ClassVar[str] = "steps.extract.v1"

    input: MessageSpec
    received_at: datetime
    classification: Classification


class RouteStep(StepRef):
    """Requests the queue of a message by the rules, and the signals for it."""

    TYPE: ClassVar[str] = "steps.route.v1"

    input: MessageSpec
    classification: Classification
    extraction: Extraction


class JudgeStep(RouteStep):
    """Requests how urgent a message is, given the rules' default; its answer ends the step `route`."""

    TYPE: ClassVar[str] = "steps.judge.v1"

    default: RouteDefault


class StepSource(Wire):
    """Who answered: assessor, model and prompt version; `fallback` is why the chosen assessor did not."""

    source: str
    assessor: str
    prompt: str
    fallback: str | None = None


class StepError(Wire):
    """Why a step failed for good; `code` is a constant, `message` one line without the message's own text."""

    code: Literal[
        "unavailable", "unusable", "refused", "misconfigured", "skipped_budget", "timed_out", "broken"
    ]
    message: str


class StepFinished(StepRef):
    """A step's answer: either `output`, of the step's type in OUTPUTS, or `error`."""

    TYPE: ClassVar[str] = "steps.finished.v1"

    output: dict[str, object] | None = None
    error: StepError | None = None
    source: StepSource | None = None

    @classmethod
    def of(
        cls,
        step: StepRef,
        *,
        output: dict[str, object] | None = None,
        error: StepError | None = None,
        source: StepSource | None = None,
    ) -> Self:
        """Return the answer to a step's request."""
        ref = {name: getattr(step, name) for name in StepRef.model_fields}
        return cls(**ref, output=output, error=error, source=source)


class WorkflowEnded(Contract):
    """A workflow was completed or failed; a public event."""

    TYPE: ClassVar[str] = "workflows.ended.v1"

    owner: str
    workflow_id: str
    status: Literal["completed", "failed"]
    category: Category | None = None
    queue: RouteQueue | None = None
    priority: Priority | None = None
    sla_minutes: int | None = None
