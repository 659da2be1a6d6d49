"""The messages of scoring: prospects in, their scores out, and what becomes of a run."""

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints

from leadline_contracts.envelope import LOCAL_OWNER, Contract, OwnerName, Wire, any_case

CHUNK_SIZE = 50
"""Leads of a chunk at most."""
CHUNK_BYTES = 524_288
"""Text of a chunk's leads at most, in UTF-8; a larger lead, stored by an older version, is alone."""
LEAD_BYTES = 65_536
"""Text of all fields of a lead at most, in UTF-8, for it to be taken in: many times what a profile holds.

Every bound on memory builds on it. Readers allow more, since older versions took two million characters.
"""
EXTRA_BYTES = 65_536
"""Text of a lead's other columns at most, titles and cells, in UTF-8."""
EXTRA_COLUMNS = 1_000
"""Other columns of a lead at most."""
_COLUMN_BYTES = 200
"""What an other column takes in memory besides its text, about."""
MAX_SUBMITTED_LEADS = 500

Intent = Literal["High", "Medium", "Low"]
ModelName = Literal["standard", "graded"]
WantedModel = Annotated[ModelName, any_case(ModelName)]
"""A model as people ask for it, in any case."""
LEAD_FIELDS = ("name", "role", "company", "industry", "location", "linkedin_bio")


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


ShortText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Phrases = Annotated[list[ShortText], BeforeValidator(_split_commas), Field(max_length=50)]
"""A list of phrases; one comma-separated string is read as a list, as some clients send it."""


class IcpSpec(Wire):
    """The ideal customer profile as a person states it; its lists replace what the use cases imply."""

    industries: Phrases = []
    roles: Phrases = []
    locations: Phrases = []


class OfferSpec(Wire):
    """An offer as it is sent in: what is sold, why it is worth it, and for whom."""

    name: ShortText
    value_props: Phrases = []
    ideal_use_cases: Phrases = []
    icp: IcpSpec = IcpSpec()


class Offer(OfferSpec):
    """An offer as Leadline keeps it."""

    id: str


class LeadSpec(Wire):
    """A prospect as it is sent in; a missing field is the empty string.

    `extra` is whatever else its sender knows of it, by title, and comes back with its result; nothing in it
    is read for the score or sent to a provider. `external_id` is what the sender's own system calls it.
    """

    name: str = Field(default="", max_length=1_000_000)
    role: str = Field(default="", max_length=1_000_000)
    company: str = Field(default="", max_length=1_000_000)
    industry: str = Field(default="", max_length=1_000_000)
    location: str = Field(default="", max_length=1_000_000)
    linkedin_bio: str = Field(default="", max_length=1_000_000)
    external_id: str | None = Field(default=None, max_length=500)
    extra: dict[str, str] | None = None


field_texts: Callable[["LeadSpec"], tuple[str, ...]] = attrgetter(*LEAD_FIELDS)
"""Return the texts of the six fields of a lead, in their order."""


def text_bytes(lead: LeadSpec) -> int:
    """Count the bytes in UTF-8 of the six fields together, which are what is scored."""
    return _utf8_bytes("".join(field_texts(lead)))


def extra_bytes(extra: Mapping[str, str] | None) -> int:
    """Count the bytes in UTF-8 of a lead's other columns, titles and cells together."""
    return _utf8_bytes("".join(extra)) + _utf8_bytes("".join(extra.values())) if extra else 0


def lead_bytes(lead: LeadSpec) -> int:
    """Count about what a lead takes in a message or in memory: its text in UTF-8, and its columns."""
    return text_bytes(lead) + extra_bytes(lead.extra) + _COLUMN_BYTES * len(lead.extra or ())


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


class Lead(LeadSpec):
    """A prospect as Leadline keeps it; `id` stays the same through every run that scores it.

    `row` is the number of its row in the file that it came in, None where it came by the queue.
    """

    id: str
    row: int | None = None


class SourceColumn(Wire):
    """A column of what leads came in: its title, and the field that it holds as a whole, if it holds one.

    Titles are unique and never empty. `header` is what stands in the file instead, where that is another
    text: several columns have the same title there, or this one has none.
    """

    title: str
    field: str | None = None
    header: str | None = None


class Factor(Wire):
    """One line of a score's ledger: who gave how many of at most how many points, and the evidence for it."""

    layer: Literal["rules", "ai"]
    factor: str
    points: int
    max: int
    evidence: str


class LeadsSubmitted(Wire):
    """What other systems publish: up to 500 leads against an offer given inline or by id. Untrusted.

    `leads` are read one by one, so that a wrong one is rejected alone.
    """

    TYPE: ClassVar[str] = "leads.submitted.v1"

    owner: OwnerName = LOCAL_OWNER
    offer: OfferSpec | None = None
    offer_id: str | None = None
    model: WantedModel = "standard"
    leads: list[object] = Field(min_length=1, max_length=MAX_SUBMITTED_LEADS)


class RejectedLead(Wire):
    """A lead that was not taken: its position in what was submitted, and why."""

    index: int
    field: str
    reason: str


class LeadsRejected(Contract):
    """The leads of a submission that were not taken; `run_id` is absent where none was.

    `error` is why the whole message was refused; of such a one nothing was read, `rejected` is empty.
    """

    TYPE: ClassVar[str] = "leads.rejected.v1"

    owner: str
    message_id: str
    run_id: str | None = None
    accepted: int
    rejected: list[RejectedLead] = []
    error: str | None = None


class ChunkRef(Contract):
    """The chunk and run that a message is about; every pipeline message carries it."""

    owner: str
    run_id: str
    chunk: str
    offer_id: str
    model: ModelName

    @classmethod
    def about(cls, chunk: "ChunkRef", **content: object) -> Self:
        """Return a message of this type about the same chunk. Raises ValidationError for an unknown field."""
        ref = {name: getattr(chunk, name) for name in ChunkRef.model_fields}
        return cls.model_validate({**ref, **content}, extra="forbid")


class LeadsAccepted(ChunkRef):
    """A chunk of validated leads of one run, with all a consumer needs to score it.

    `refresh` asks for new AI answers where stored ones would do. `columns` are those of the file or
    submission that the leads came in, in its order: the fields of a lead and its `extra` fill them.
    """

    TYPE: ClassVar[str] = "leads.accepted.v1"

    upload_id: str
    offer: Offer
    leads: list[Lead]
    refresh: bool = False
    columns: list[SourceColumn] | None = None


class RuleScored(Wire):
    """The rule layer's answer for one lead, or the reason there is none."""

    lead_id: str
    points: int = 0
    factors: list[Factor] = []
    error: str | None = None


class RulesScored(ChunkRef):
    """The rule layer's answers for a chunk."""

    TYPE: ClassVar[str] = "scores.rules.v1"

    model_version: str
    scores: list[RuleScored]


CANCELLED = "cancelled"
"""The error of a lead that nobody was asked about, since its run was cancelled first."""

AiStatus = Literal["answered", "fallback", "failed", "skipped_budget"]
"""How an AI answer came about: the chosen assessor gave it; another did in its place; there is none; there is
none because a budget was spent."""


class AiScored(Wire):
    """The AI layer's answer for one lead, or the error that stands in its place.

    `confidence` is 0..1; `source` is the assessor (`anthropic`, `offline`), `assessor` its model, `prompt`
    the prompt's version. `fallback` is why another assessor than the chosen one answered, `error` why there
    is no answer.
    """

    lead_id: str
    status: AiStatus
    intent: Intent | None = None
    confidence: float = 0.0
    reasoning: str = ""
    source: str
    assessor: str
    prompt: str
    fallback: str | None = None
    error: str | None = None


class AiSpend(Wire):
    """What a run's AI answers have cost so far with one model; figures only grow, so the highest is current.

    `calls` are requests sent, `failed_calls` those of them without a usable answer; `cached` are leads
    answered from the answer cache. Tokens are the provider's count, `input_tokens` without those read
    from or written to its prompt cache; a request whose count never came counts its estimated input.
    `nano_usd` is in 10^-9 US dollars.
    """

    source: str
    assessor: str
    calls: int = 0
    failed_calls: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    nano_usd: int = 0


class AiChunkScored(ChunkRef):
    """The AI layer's answers for a chunk; `spend` is the whole run's with the model that was asked."""

    TYPE: ClassVar[str] = "scores.ai.v1"

    scores: list[AiScored]
    spend: AiSpend | None = None


class RunStarted(Contract):
    """A run was requested; published before its chunks, and routed to a queue of its own.

    `expected` is how many leads it has at most, None where that is not known before all are claimed.
    """

    TYPE: ClassVar[str] = "runs.started.v1"

    owner: str
    run_id: str
    offer: Offer
    model: ModelName
    refresh: bool = False
    expected: int | None = None


class RunPublished(Contract):
    """All chunks of a run are in the broker: it holds `total` leads. A run of nothing has total 0."""

    TYPE: ClassVar[str] = "runs.published.v1"

    owner: str
    run_id: str
    offer_id: str
    model: ModelName
    total: int


class RunCancelled(Contract):
    """A run was cancelled: of it only `total` leads are in the broker, and no more will be.

    Those of them that a provider was not asked about by then are not asked about, nor scored.
    """

    TYPE: ClassVar[str] = "runs.cancelled.v1"

    owner: str
    run_id: str
    offer_id: str
    model: ModelName
    total: int


class RunProgressed(Contract):
    """How far a run is; sent when that changed, a few times a second at most."""

    TYPE: ClassVar[str] = "runs.progressed.v1"

    owner: str
    run_id: str
    scored: int
    failed: int


class RunFinished(Contract):
    """Every lead of the run is scored or failed; in a `cancelled` one, the others will not be."""

    TYPE: ClassVar[str] = "runs.finished.v1"

    owner: str
    run_id: str
    total: int
    scored: int
    failed: int
    started_at: datetime
    finished_at: datetime
    cancelled: bool = False


class FailedLead(Wire):
    """A lead that got no full score, and why."""

    lead_id: str
    error: str


class LeadsFailed(Contract):
    """Leads of a run without a full score: their claims are released, so a later run scores them again."""

    TYPE: ClassVar[str] = "leads.failed.v1"

    owner: str
    run_id: str
    offer_id: str
    model: ModelName
    leads: list[FailedLead]


class ResultScored(Wire):
    """One done result, as published to anyone who listens; a failed lead has no score.

    `external_id` is what the lead's sender calls it; of all that came with a lead it alone is in an event.
    """

    lead_id: str
    external_id: str | None = None
    intent: Intent | None = None
    score: int | None = None
    rule_score: int
    ai_points: int
    status: str


class ResultsScored(Contract):
    """Final results of a run; `partial` ones carry the rule score alone."""

    TYPE: ClassVar[str] = "results.scored.v1"

    owner: str
    run_id: str
    offer_id: str
    results: list[ResultScored]
