"""Messages whose steps a language model answers, or fails to answer; and whose they are."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.support import (
    Client,
    Leadline,
    answer_step,
    asking,
    behind_gateway,
    embedded,
    signed_up,
    step_asked,
)

from leadline_testing.model_behaviour import OK, REFUSED, SERVER_ERROR, WRONG_ENUM, Behaviour
from leadline_testing.model_server import ModelServer

STEPS = ("classify", "extract", "route")


@pytest.fixture(scope="module")
def provider(portal: BlockingPortal) -> Iterator[ModelServer]:
    """A local model that can answer the steps of a workflow."""
    with portal.wrap_async_context_manager(ModelServer(answer=answer_step)) as server:
        yield server


@pytest.fixture(autouse=True)
def well(provider: ModelServer) -> None:
    """The model is well before each test."""
    provider.behave(choose=lambda _: OK)


@pytest.fixture(scope="module", params=["embedded", pytest.param("services", marks=pytest.mark.servers)])
def leadline(
    request: pytest.FixtureRequest, provider: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Leadline]:
    """Leadline that needs a token, asks the model once a step, and falls back on nobody."""
    settings = {**asking(provider, ON_FAILURE="fail", ATTEMPTS="1"), "LEADLINE_AUTH": "required"}
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with embedded(folder, settings) as running:
            yield running
        return
    fresh: FreshServers = request.getfixturevalue("fresh_servers")
    portal: BlockingPortal = request.getfixturevalue("portal")
    with fresh() as urls, behind_gateway(portal, *urls, folder / "log", settings) as (running, _):
        yield running


@pytest.fixture(scope="module")
def ann(leadline: Leadline) -> Iterator[Client]:
    """A user."""
    with signed_up(leadline, "ann@example.com") as client:
        yield client


@pytest.fixture(scope="module")
def bob(leadline: Leadline) -> Iterator[Client]:
    """Another one."""
    with signed_up(leadline, "bob@example.com") as client:
        yield client


def test_messages_are_their_owners_alone(leadline: Leadline, ann: Client, bob: Client) -> None:
    """Somebody else's workflow is as unknown as one that never was; and without a token nothing is known."""
    text = "Do you clean carpets on Sundays?"
    workflow_id = ann.submit(text, external_message_id="shared")
    assert ann.ended_workflow(workflow_id)["status"] == "completed"
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/retry")):
        theirs = bob.http.request(method, f"/leads/{workflow_id}{path}")
        nobodys = bob.http.request(method, f"/leads/nothing{path}")
        anonymous = leadline.client.http.request(method, f"/leads/{workflow_id}{path}")
        assert [answer.status_code for answer in (theirs, nobodys, anonymous)] == [404, 404, 401]
    assert leadline.client.post_message(text).status_code == 401
    assert leadline.client.http.get("/leads").status_code == 401
    assert bob.workflows() == []
    assert bob.submit(text, external_message_id="shared") != workflow_id
    assert [workflow["id"] for workflow in ann.workflows(category="sales_new")] == [workflow_id]


@pytest.mark.parametrize(
    ("failing", "behaviour", "code"),
    [
        ("classify", SERVER_ERROR, "unavailable"),
        ("extract", WRONG_ENUM, "unusable"),
        ("route", REFUSED, "refused"),
    ],
)
def test_a_step_fails_alone_and_is_tried_again_alone(
    ann: Client, provider: ModelServer, failing: str, behaviour: Behaviour, code: str
) -> None:
    """What was done before a failed step is kept, and a retry asks the model for that step and the later."""
    number = STEPS.index(failing)
    provider.behave(choose=lambda body: behaviour if step_asked(body) == failing else OK)
    workflow_id = ann.submit(f"Can you paint our fence? We saw your offer {number}.")
    failed = ann.ended_workflow(workflow_id)
    assert failed["status"] == "failed"
    states = [failed["steps"][name]["status"] for name in STEPS]
    assert states == [*["completed"] * number, "failed", *["skipped"] * (2 - number)]
    error = failed["steps"][failing]["error"]
    assert (error["code"], error["attempt"]) == (code, 1)
    assert error["message"]
    assert "fence" not in error["message"]

    provider.behave(choose=lambda _: OK)
    asked_before = len(provider.requests)
    again = ann.http.post(f"/leads/{workflow_id}/retry")
    assert (again.status_code, again.json()["status"], again.json()["epoch"]) == (202, "processing", 2)
    completed = ann.ended_workflow(workflow_id)
    assert (completed["status"], completed["queue"]) == ("completed", "sales")
    for name in STEPS[:number]:
        assert completed["steps"][name] == failed["steps"][name]
    assert completed["steps"][failing]["attempts"] == 2
    asked = Counter(step_asked(request.body) for request in list(provider.requests)[asked_before:])
    assert asked == Counter(STEPS[number:])


def test_an_answer_says_who_gave_it(ann: Client) -> None:
    """Each step names the model and the prompt's version, and that nobody stood in for the model."""
    workflow = ann.ended_workflow(ann.submit("Can you tune our piano in May?"))
    for name, step in workflow["steps"].items():
        assert step["source"] == {
            "source": "anthropic",
            "assessor": "claude-haiku-5-5",
            "prompt": f"{name}.v1",
            "fallback": None,
        }


def test_where_the_model_fails_the_offline_assessor_stands_in(provider: ModelServer, tmp_path: Path) -> None:
    """A fallback completes the step and is shown with its reason; the other steps are the model's."""
    provider.behave(choose=lambda body: SERVER_ERROR if step_asked(body) == "extract" else OK)
    with embedded(tmp_path, asking(provider, ATTEMPTS="1")) as leadline:
        workflow = leadline.client.ended_workflow(leadline.client.submit("Can you sweep two chimneys?"))
    assert workflow["status"] == "completed"
    sources = {name: step["source"] for name, step in workflow["steps"].items()}
    assert [sources[name]["source"] for name in STEPS] == ["anthropic", "offline", "anthropic"]
    assert sources["extract"]["fallback"]
    assert sources["classify"]["fallback"] is None
