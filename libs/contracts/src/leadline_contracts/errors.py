"""Every error Leadline raises on purpose, in one tree."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


class LeadlineError(Exception):
    """The root of Leadline's own errors; its text is one line fit for a log or a person."""


class SettingsError(LeadlineError):
    """A setting is missing or wrong; the text names the variable and what to set."""


class Unavailable(LeadlineError):
    """A broker or store does not answer now. The work is held and tried again; no attempt is counted."""


class TaskDied(LeadlineError):
    """A background task ended that is to run as long as the process; the text names it and says why."""


class Transient(LeadlineError):
    """This message may succeed later: it goes through the retry queues with backoff."""


class Permanent(LeadlineError):
    """This message can never succeed: it is dead-lettered, or its lead is failed, at once."""


class NotFound(LeadlineError):
    """No such thing for this owner."""


class Refused(LeadlineError):
    """A request is refused. `title` names the kind of refusal, `detail` says why and what to do.

    `retry_after` is how many seconds later it may be asked for again, None where that would change nothing.
    """

    def __init__(self, title: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{title}: {detail}")
        self.title = title
        self.detail = detail
        self.retry_after = retry_after


class Conflict(Refused):
    """The request does not fit the present state."""


class Invalid(Refused):
    """The request contradicts itself, or names things that do not belong together."""


class NotAuthenticated(Refused):
    """The request carries no valid proof of who sends it."""


class TooMany(Refused):
    """Too many such requests were made, or are under way."""


class Overloaded(Refused):
    """The process has no room for the request beside what is under way."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field of a request.

    `field` is a dotted path (`leads.3.role`), `message` says what is wrong and what would be right.
    """

    field: str
    message: str


def code_of(title: str) -> str:
    """Return the code of the kind of problem with this title, as programs know it: "No offer" is `no_offer`.

    Codes are public: a title may not be reworded.
    """
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def type_of(code: str) -> str:
    """Return the URI of a kind of problem, which is a name and leads nowhere (RFC 9457, section 3.1.1)."""
    return f"urn:leadline:problem:{code}"


class Problem(LeadlineError):
    """A refusal to answer over HTTP as RFC 9457 problem details.

    `title` names the kind of problem, `detail` says what was wrong here and what to do.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
