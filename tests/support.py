"""What the cross-service tests share: Leadline running one way or the other, and its REST calls by name."""

import contextlib
import csv
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal

from leadline_testing.model_answers import answer_from_schema
from leadline_testing.model_request import Body, schema_of
from leadline_testing.model_server import ModelServer
from leadline_testing.run_services import gateway_before
from leadline_testing.services import ServiceProcess, four_services, standalone

EXAMPLES = Path(__file__).parents[1] / "examples"
OFFER = {
    "name": "AI Outreach Automation",
    "value_props": ["24/7 outreach", "6x more meetings"],
    "ideal_use_cases": ["B2B SaaS mid-market"],
}
OFFLINE = {"LEADLINE_AI": "offline"}
COLUMNS = ("name", "role", "company", "industry", "location", "linkedin_bio")
_ROLES = ("Head of Growth", "CTO", "Marketing Manager", "Junior Developer", "Owner")
_INDUSTRIES = ("SaaS", "IT Services", "Dairy")

_MODELS_VIEW = {
    "category": "sales_new",
    "confidence": 0.9,
    "language": "en",
    "service_date": None,
    "queue": "sales",
    "priority": "p1",
    "sla_minutes": 120,
}

Result = dict[str, Any]
WorkflowJson = dict[str, Any]


class Client:
    """The REST calls of one Leadline; every method but the `post_…` raises where the answer is an error."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def create_offer(self, **changes: object) -> str:
        """Create an offer and return its id."""
        return str(self._post("/offer", json={**OFFER, **changes})["id"])

    def upload(self, content: bytes | str, offer_id: str | None = None, **fields: str) -> dict[str, Any]:
        """Upload a CSV and return the report."""
        form = fields if offer_id is None else {"offer_id": offer_id, **fields}
        return self._post("/leads/upload", files={"file": ("leads.csv", content)}, data=form)

    def upload_new(self, content: bytes | str) -> str:
        """Upload a CSV for a new offer of its own, apart from all other tests, and return the upload's id."""
        return str(self.upload(content, self.create_offer())["upload_id"])

    def post_score(self, prefer: str = "wait=60", path: str = "/score", **body: str | bool) -> httpx.Response:
        """Ask for a run; without a body where none is given."""
        return self.http.post(path, json=body or None, headers={"Prefer": prefer})

    def score(self, **body: str | bool) -> dict[str, Any]:
        """Score, wait for the end, and return how far the run came."""
        answer = self.post_score("wait=60", "/score", **body).raise_for_status()
        assert answer.status_code == 200, f"the run did not end in time: {answer.text}"
        return _object(answer)

    def finished_run(self, run_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for a run to finish and return it."""
        run = self.ended_run(run_id, seconds)
        assert run["status"] == "finished", run
        return run

    def ended_run(self, run_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for a run to end, finished or cancelled, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.http.get(f"/runs/{run_id}", params={"wait": 10})
            if answer.is_success and (run := _object(answer))["finished_at"] is not None:
                return run
            assert answer.is_success or "Retry-After" in answer.headers, answer.text
            assert time.monotonic() < deadline, f"not ended within {seconds:g} seconds: {answer.text}"

    def results(self, **filters: str | int) -> list[Result]:
        """Return all results that the filters leave, page by page."""
        results: list[Result] = []
        answer = self.http.get("/results", params={"limit": 1000, **filters}).raise_for_status()
        results += answer.json()
        while following := answer.links.get("next"):
            answer = self.http.get(following["url"]).raise_for_status()
            results += answer.json()
        assert len(results) == int(answer.headers["X-Total-Count"])
        return results

    def exported_rows(self, **filters: str) -> list[dict[str, str]]:
        """Return the rows of a CSV export."""
        answer = self.http.get("/results/export", params={"format": "csv", **filters}).raise_for_status()
        return list(csv.DictReader(io.StringIO(answer.text, newline="")))

    def post_message(self, message: str, **fields: str) -> httpx.Response:
        """Send a message in, by email where no other channel is named."""
        return self.http.post("/leads", json={"contact_channel": "email", "message": message, **fields})

    def submit(self, message: str, **fields: str) -> str:
        """Send a message in and return the id of its workflow."""
        answer = self.post_message(message, **fields).raise_for_status()
        assert answer.status_code == 202
        return str(answer.json()["id"])

    def workflow(self, workflow_id: str) -> WorkflowJson:
        """Return a workflow as it stands."""
        return _object(self.http.get(f"/leads/{workflow_id}").raise_for_status())

    def ended_workflow(self, workflow_id: str, seconds: float = 120) -> WorkflowJson:
        """Wait for a workflow to be completed or failed and return it."""
        deadline = time.monotonic() + seconds
        while (workflow := self.workflow(workflow_id))["status"] not in {"completed", "failed"}:
            assert time.monotonic() < deadline, f"not ended within {seconds:g} seconds: {workflow['history']}"
            time.sleep(0.05)
        return workflow

    def workflows(self, **filters: str | int) -> list[WorkflowJson]:
        """Return all workflows that the filters leave, in short, page by page."""
        workflows: list[WorkflowJson] = []
        answer = self.http.get("/leads", params={"limit": 500, **filters}).raise_for_status()
        workflows += answer.json()
        while following := answer.links.get("next"):
            answer = self.http.get(following["url"]).raise_for_status()
            workflows += answer.json()
        assert len(workflows) == int(answer.headers["X-Total-Count"])
        return workflows

    def watched(self, workflow_id: str) -> list[WorkflowJson]:
        """Return the data of a workflow's events, once they have ended."""
        with self.http.stream("GET", f"/leads/{workflow_id}/events") as answer:
            answer.raise_for_status()
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            data = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        return [json.loads(told) for told in data]

    def _post(self, path: str, **content: Any) -> dict[str, Any]:
        return _object(self.http.post(path, **content).raise_for_status())


@dataclass(frozen=True, slots=True)
class Leadline:
    """A running Leadline: its client, the address of each of its processes, and what they logged.

    `broker_url` is None where it runs in one process.
    """

    client: Client
    addresses: Mapping[str, str]
    log: Path
    broker_url: str | None = None


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """Yield a client of the Leadline at this address."""
    with httpx.Client(base_url=address, timeout=90, trust_env=False) as http:
        yield Client(http)


@contextlib.contextmanager
def embedded(
    folder: Path, settings: Mapping[str, str] = OFFLINE, *, fresh: bool = False
) -> Iterator[Leadline]:
    """Run `leadline serve` with its data in the folder; a `fresh` one loads all its libraries itself."""
    log = folder / "log"
    with (
        standalone(folder / "data", settings, log, fresh=fresh) as process,
        connected(process.address) as client,
    ):
        yield Leadline(client, {"leadline": process.address}, log)


@contextlib.contextmanager
def behind_gateway(
    portal: BlockingPortal,
    broker_url: str,
    store_url: str,
    log: Path,
    settings: Mapping[str, str] = OFFLINE,
    *,
    launchers: Mapping[str, Sequence[str]] | None = None,
    fresh: bool = False,
) -> Iterator[tuple[Leadline, dict[str, ServiceProcess]]]:
    """Run the four services behind the gateway; yield them together and apart."""
    with four_services(broker_url, store_url, settings, log, launchers, fresh=fresh) as processes:
        addresses = {name: process.address for name, process in processes.items()}
        gateway = portal.wrap_async_context_manager(gateway_before(addresses, 0))
        with gateway as address, connected(address) as client:
            yield Leadline(client, addresses, log, broker_url), processes


@contextlib.contextmanager
def signed_up(leadline: Leadline, email: str) -> Iterator[Client]:
    """Make an account, log in, and yield a client that sends the token."""
    given = {"email": email, "password": "correct horse"}
    leadline.client.http.post("/auth/signup", json=given).raise_for_status()
    session = leadline.client.http.post(
        "/auth/login", json={**given, "email": email.upper()}
    ).raise_for_status()
    with connected(str(leadline.client.http.base_url)) as client:
        client.http.headers["Authorization"] = f"Bearer {session.json()['access_token']}"
        yield client


def asking(provider: ModelServer, **more: str) -> dict[str, str]:
    """Return the settings that have this provider asked; `more` are those of the AI layer by short name."""
    return {
        "LEADLINE_AI": "anthropic",
        "ANTHROPIC_API_KEY": "sk-ant-local",
        "ANTHROPIC_BASE_URL": provider.base_url,
        **{f"LEADLINE_AI_{name}": value for name, value in more.items()},
    }


def answer_step(body: Body) -> Any:
    """Answer a step as a model does to which every message is a new customer's, and urgent."""
    answer = answer_from_schema(body)
    return {**answer, **{name: value for name, value in _MODELS_VIEW.items() if name in answer}}


def step_asked(body: Body) -> str:
    """Tell which step of a workflow a model is asked, by what it is to answer."""
    fields = schema_of(body)["properties"]
    return "classify" if "rationale" in fields else "route" if "sla_minutes" in fields else "extract"


def events_of(workflow: WorkflowJson) -> list[tuple[str, str | None]]:
    """Return (event, step) of a history."""
    return [(entry["event"], entry["step"]) for entry in workflow["history"]]


def make_csv(names: Sequence[str]) -> str:
    """Return a CSV with one prospect a name."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for number, name in enumerate(names):
        role, industry = _ROLES[number % len(_ROLES)], _INDUSTRIES[number % len(_INDUSTRIES)]
        writer.writerow([name, role, f"Company {number}", industry, "Berlin, DE", "Opens new markets."])
    return text.getvalue()


def numbered(prefix: str, count: int) -> list[str]:
    """Return that many names."""
    return [f"{prefix} {number}" for number in range(count)]


def _object(answer: httpx.Response) -> dict[str, Any]:
    value = answer.json()
    assert isinstance(value, dict)
    return value
