"""The queues of Leadline, the message types routed to them, and the limits of their retries."""

from dataclasses import dataclass

from leadline_contracts import inbound as w
from leadline_contracts import scoring as m

RETRY_DELAYS = (1, 5, 30, 120)
"""Seconds before attempt 2, 3, 4 and 5; there is no sixth."""
MAX_ATTEMPTS = len(RETRY_DELAYS) + 1
SUSPECT_AFTER = 3
"""Deaths of its process after which a message is a suspect; a process handles one suspect at a time."""
DELIVERY_LIMIT = 10
"""Deaths of its process after which a message is dead-lettered: it kills its consumer."""

SUSPECTS = ".suspects"


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable work queue and the message types routed to it."""

    name: str
    types: tuple[str, ...]

    @property
    def dead(self) -> str:
        """The queue that keeps what could not be handled."""
        return f"{self.name}.dead"

    @property
    def suspects(self) -> str:
        """The queue where RabbitMQ keeps the suspects, to be handed out one at a time."""
        return f"{self.name}{SUSPECTS}"

    def retry(self, delay: int) -> str:
        """The queue where a message waits `delay` seconds before it comes back."""
        return f"{self.name}.retry.{delay}"


SUBMISSIONS = Queue("leadline.ingest.submissions", (m.LeadsSubmitted.TYPE,))
RUN_EVENTS = Queue("leadline.ingest.runs", (m.RunProgressed.TYPE, m.RunFinished.TYPE, m.LeadsFailed.TYPE))
MESSAGES = Queue("leadline.ingest.messages", (w.MessageSubmitted.TYPE,))
RULES = Queue("leadline.rules.leads", (m.LeadsAccepted.TYPE,))
RULES_ROUTE = Queue("leadline.rules.route", (w.RouteStep.TYPE,))
AI = Queue("leadline.ai.leads", (m.LeadsAccepted.TYPE,))
AI_RUNS = Queue("leadline.ai.runs", (m.RunCancelled.TYPE,))
AI_CLASSIFY = Queue("leadline.ai.classify", (w.ClassifyStep.TYPE,))
AI_EXTRACT = Queue("leadline.ai.extract", (w.ExtractStep.TYPE,))
AI_JUDGE = Queue("leadline.ai.judge", (w.JudgeStep.TYPE,))
RESULT_RUNS = Queue("leadline.results.runs", (m.RunStarted.TYPE, m.RunPublished.TYPE, m.RunCancelled.TYPE))
RESULT_LEADS = Queue("leadline.results.leads", (m.LeadsAccepted.TYPE,))
RESULT_RULES = Queue("leadline.results.rules", (m.RulesScored.TYPE,))
RESULT_AI = Queue("leadline.results.ai", (m.AiChunkScored.TYPE,))
RESULT_MESSAGES = Queue("leadline.results.messages", (w.MessageAccepted.TYPE,))
RESULT_STEPS = Queue("leadline.results.steps", (w.StepFinished.TYPE,))


@dataclass(frozen=True, slots=True)
class Topology:
    """The work queues of a system and the topic exchange that messages reach them by."""

    exchange: str
    queues: tuple[Queue, ...]

    @property
    def routed_types(self) -> frozenset[str]:
        """Types that must reach one of the queues; the others are public events that may have no listener."""
        return frozenset(kind for queue in self.queues for kind in queue.types)

    def queues_for(self, kind: str) -> list[Queue]:
        """Return the queues a message type is routed to."""
        return [queue for queue in self.queues if kind in queue.types]


LEADLINE = Topology(
    "leadline",
    (
        *(SUBMISSIONS, RUN_EVENTS, MESSAGES),
        *(RULES, RULES_ROUTE),
        *(AI, AI_RUNS, AI_CLASSIFY, AI_EXTRACT, AI_JUDGE),
        *(RESULT_RUNS, RESULT_LEADS, RESULT_RULES, RESULT_AI, RESULT_MESSAGES, RESULT_STEPS),
    ),
)
"""What every process of Leadline declares before it publishes."""
