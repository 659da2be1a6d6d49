"""Reading results and runs over HTTP, through the whole application over a real store."""

import asyncio
import csv
import io
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient

from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.ids import new_id
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import AiScored, Intent, Lead, SourceColumn
from leadline_results.runs.columns import UploadColumns
from leadline_results.runs.record import Record, Status, conclude, gather, merge
from leadline_results.runs.routes import results_routes
from leadline_results.runs.spend import RunSpend
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Counts, Query, Run
from leadline_testing.tables import every_row

from .builders import START, Clock, ai_answer, by_ai, by_rules, chunk, done_record

RUN, OTHER_RUN = sorted([new_id(), new_id()])
RANDOM_ID = "b9f8f3de-31a4-4b5e-8d6e-0d6d3b6f7a11"
YEAR_2020 = "016f5e66-e800-7000-8000-000000000000"
FORMATS: dict[str, tuple[str, Callable[[str], Iterable[dict[str, str]]]]] = {
    "csv": ("text/csv; charset=utf-8", lambda text: csv.DictReader(io.StringIO(text))),
    "json": ("application/json", json.loads),
    "ndjson": ("application/x-ndjson", lambda text: map(json.loads, text.splitlines())),
}
YEAR_2100 = "03bb2cc3-d800-7000-8000-000000000000"
OPEN = Authentication(Tokens([]), open_to_all=True)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteResultStore]:
    """An empty store."""
    opened = SqliteResultStore(tmp_path / "results.db")
    yield opened
    await opened.close()


@pytest.fixture
async def client(store: SqliteResultStore) -> AsyncIterator[AsyncClient]:
    """A client of the service over the store."""
    async with client_of(store) as opened:
        yield opened


def client_of(store: SqliteResultStore) -> AsyncClient:
    """A client of the whole application, in one event loop with it, so that tests can act while it waits."""
    app = build_app("Results", results_routes(store, Clock()), Health([]), Metrics(new_registry()), OPEN)
    transport = ASGITransport(app)  # type: ignore[arg-type]
    return AsyncClient(transport=transport, base_url="http://localhost", timeout=30)


def result(lead_id: str, points: int = 20, intent: Intent | None = "High", **changes: Any) -> Record:
    """A result of the run."""
    lead = Lead(id=lead_id, name=f"Name of {lead_id}", role="CEO", company="Acme", industry="SaaS")
    made = done_record(lead, run_id=RUN, points=points, intent=intent or "High")
    return made.model_copy(update={"intent": intent, **changes})


def result_with(answer: AiScored) -> Record:
    """A result of the run, as this answer of the AI makes it."""
    leads = chunk(answer.lead_id, run_id=RUN)
    answers = by_ai(leads).model_copy(update={"scores": [answer]})
    [parts] = gather([leads, by_rules(leads), answers]).values()
    return conclude(merge(None, parts), START)


async def ids(client: AsyncClient, path: str) -> list[str]:
    """The leads a list of results has, in its order."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [found["lead_id"] for found in answer.json()]


async def problem(client: AsyncClient, path: str, status: int) -> dict[str, Any]:
    """The problem that is the answer."""
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    return body


async def test_results_are_ranked_and_carry_their_reasons(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """The best lead comes first, with every field that callers are promised."""
    await store.insert([result("low", intent="Low"), result("high"), result("mid", intent="Medium")])
    answer = await client.get("/results")
    assert [found["lead_id"] for found in answer.json()] == ["high", "mid", "low"]
    assert answer.headers["X-Total-Count"] == "3"
    assert "Link" not in answer.headers
    first = answer.json()[0]
    assert {name: first[name] for name in ("name", "role", "company", "industry", "location")} == {
        "name": "Name of high",
        "role": "CEO",
        "company": "Acme",
        "industry": "SaaS",
        "location": "",
    }
    assert (first["intent"], first["score"], first["rule_score"], first["ai_points"]) == ("High", 70, 20, 50)
    assert sum(factor["points"] for factor in first["factors"]) == 70
    assert (first["reasoning"], first["status"], first["offer_id"]) == ("high decides.", "scored", "offer")
    assert (first["run_id"], first["scored_at"]) == (RUN, "2026-03-01T12:00:00Z")
    assert (first["model"], first["model_version"]) == ("standard", "rules-1")
    assert first["ai"] == {
        "status": "answered",
        "source": "offline",
        "model": "offline-1",
        "prompt": "p1",
        "intent": "High",
        "confidence": 0.8,
        "reason": None,
    }
    assert (first["row"], first["external_id"], first["extra"]) == (None, None, {})


SKIPPED = ai_answer("lead", error="the AI budget of $0.50 for the run is spent", status="skipped_budget")
STOOD_IN = ai_answer("lead", status="fallback").model_copy(update={"fallback": "Anthropic answered 529"})


async def test_a_result_says_that_another_assessor_answered_and_why(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """A stand-in's answer counts as one, and never looks like the chosen assessor's."""
    await store.insert([result_with(STOOD_IN)])
    [shown] = (await client.get("/results")).json()
    assert (shown["status"], shown["score"], shown["error"]) == ("scored", 70, None)
    assert (shown["ai"]["status"], shown["ai"]["source"]) == ("fallback", "offline")
    assert (shown["ai"]["intent"], shown["ai"]["reason"]) == ("High", "Anthropic answered 529")


async def test_a_result_that_a_budget_left_to_the_rules_says_so(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """Over budget a lead has its rule points, no intent and no confidence, and a sentence that tells why."""
    await store.insert([result_with(SKIPPED)])
    [shown] = (await client.get("/results")).json()
    assert (shown["status"], shown["score"], shown["intent"]) == ("partial", 20, None)
    assert shown["ai"]["status"] == "skipped_budget"
    assert (shown["ai"]["intent"], shown["ai"]["confidence"]) == (None, None)
    assert shown["ai"]["reason"] == shown["error"] == SKIPPED.error
    assert shown["reasoning"] == f"Scored by rules alone: {SKIPPED.error}."


async def test_a_result_without_an_answer_yet_has_no_ai(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """What is pending claims nothing about an answer that has not come."""
    await store.insert([result("a", status=Status.PENDING, score=None, intent=None, ai=None, latest=False)])
    [shown] = (await client.get("/results?status=pending")).json()
    assert shown["ai"] is None


async def test_each_filter_leaves_what_it_names(client: AsyncClient, store: SqliteResultStore) -> None:
    """Filters work alone and together, and the total counts what they leave."""
    await store.insert(
        [
            result("a"),
            result("b", points=10, intent="Low", offer_id="other"),
            result("c", points=30, intent="Medium", upload_id="second"),
            result("d", status=Status.PARTIAL, score=20, intent=None, ai_points=0),
            result("e", run_id=OTHER_RUN),
            result("f", status=Status.FAILED, score=None, intent=None),
            result("g", owner="somebody else"),
            result("h", status=Status.PENDING, score=None, intent=None, latest=False),
        ]
    )
    assert await ids(client, "/results") == ["a", "e", "c", "b", "d", "f"]
    assert await ids(client, "/results?offer_id=other") == ["b"]
    assert await ids(client, f"/results?run_id={OTHER_RUN}") == ["e"]
    assert await ids(client, "/results?upload_id=second") == ["c"]
    assert await ids(client, "/results?intent=High") == ["a", "e"]
    assert await ids(client, "/results?min_score=60") == ["a", "e", "c"]
    assert await ids(client, "/results?min_score=0") == ["a", "e", "c", "b", "d"]
    assert await ids(client, "/results?status=partial") == ["d"]
    assert await ids(client, "/results?status=failed") == ["f"]
    assert await ids(client, "/results?status=pending") == ["h"]
    assert await ids(client, f"/results?intent=High&run_id={RUN}&min_score=70") == ["a"]
    assert await ids(client, "/results?offer_id=unknown") == []
    assert (await client.get("/results?intent=High&limit=1")).headers["X-Total-Count"] == "2"


async def test_links_lead_through_every_result_once(client: AsyncClient, store: SqliteResultStore) -> None:
    """Pages that break in the middle of equal scores, and of results without one, lose and repeat nothing."""
    scored = [result(f"lead-{n:02}", points=10 * (n // 10)) for n in range(40)]
    await store.insert([*scored, *(result(f"z{n}", status=Status.FAILED, score=None) for n in range(7))])
    found: list[str] = []
    path: str | None = "/results?limit=3&offer_id=offer"
    pages = 0
    while path is not None:
        answer = await client.get(path)
        found += [row["lead_id"] for row in answer.json()]
        assert answer.headers["X-Total-Count"] == "47"
        link = re.fullmatch(r'<(/results\?.*)>; rel="next"', answer.headers.get("Link", ""))
        path, pages = link and link[1], pages + 1
    assert pages == 16
    assert sorted(found) == sorted([*(record.lead_id for record in scored), *(f"z{n}" for n in range(7))])
    assert found[:11] == [*(f"lead-{n}" for n in range(30, 40)), "lead-20"]


async def test_a_full_last_page_has_no_link(client: AsyncClient, store: SqliteResultStore) -> None:
    """Nobody is sent on to an empty page."""
    await store.insert([result("a"), result("b")])
    assert "Link" not in (await client.get("/results?limit=2")).headers
    assert "Link" in (await client.get("/results?limit=1")).headers


async def test_links_keep_the_filters(client: AsyncClient, store: SqliteResultStore) -> None:
    """The next page is of the same list, also where a filter's value has to be escaped."""
    await store.insert([result(name, offer_id="a b&c") for name in ("a", "b")] + [result("c")])
    link = (await client.get("/results", params={"offer_id": "a b&c", "limit": 1})).headers["Link"]
    assert await ids(client, link[1 : link.index(">")]) == ["b"]


@every_row(
    ("query", "field", "said"),
    [
        ("intent=", "intent", "one of High, Medium, Low"),
        ("intent=warm", "intent", "one of High, Medium, Low"),
        ("status=done", "status", "one of pending, scored, partial, failed, cancelled"),
        ("status=", "status", "one of pending, scored, partial, failed, cancelled"),
        ("limit=0", "limit", "a whole number from 1 to 1000"),
        ("limit=1001", "limit", "a whole number from 1 to 1000"),
        ("limit=many", "limit", "a whole number from 1 to 1000"),
        ("limit=1e2", "limit", "a whole number from 1 to 1000"),
        ("limit=", "limit", "a whole number from 1 to 1000"),
        ("min_score=101", "min_score", "a whole number from 0 to 100"),
        ("min_score=-1", "min_score", "a whole number from 0 to 100"),
        ("min_score=", "min_score", "a whole number from 0 to 100"),
        ("offer_id=", "offer_id", "leave it out"),
        ("run_id=", "run_id", "leave it out"),
        ("upload_id=", "upload_id", "leave it out"),
        ("offset=100", "offset", "is not known. Known are: cursor, intent, limit, min_score, offer_id"),
        ("minscore=70", "minscore", "did you mean `min_score`?"),
        ("Limit=5", "Limit", "did you mean `limit`?"),
        ("limit=5&limit=6", "limit", "is there 2 times"),
    ],
)
async def test_a_wrong_filter_is_refused_by_name(
    client: AsyncClient, query: str, field: str, said: str
) -> None:
    """A filter that cannot be meant is never ignored; the answer names it and what it takes."""
    [error] = (await problem(client, f"/results?{query}", 422))["errors"]
    assert error["field"] == field
    assert said in error["message"]


@pytest.mark.parametrize("cursor", ["", "abc", "%00", "WzFlOTk5LCJhIiwiYiJd"])
async def test_a_spoilt_cursor_is_refused(client: AsyncClient, cursor: str) -> None:
    """A link that was cut off or tampered with is a problem of its own, not the first page again."""
    assert (await problem(client, f"/results?cursor={cursor}", 400))["title"] == "Bad cursor"


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", None, "csv"),
        ("", "*/*", "csv"),
        ("", BROWSER, "csv"),
        ("", "application/json", "json"),
        ("", "application/x-ndjson", "ndjson"),
        ("", "application/json;q=0.5, text/csv", "csv"),
        ("?format=csv", "application/json", "csv"),
        ("?format=json", BROWSER, "json"),
        ("?format=ndjson", "text/html", "ndjson"),
    ],
)
async def test_the_format_is_named_or_accepted(
    client: AsyncClient, store: SqliteResultStore, query: str, accept: str | None, kind: str
) -> None:
    """The query decides, then the Accept header; whoever takes anything, as browsers and curl, gets CSV."""
    await store.insert([result("a"), result("b")])
    if accept is None:
        del client.headers["Accept"]
    answer = await client.get(f"/results/export{query}", headers={"Accept": accept} if accept else None)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="results.{kind}"'
    media_type, read = FORMATS[kind]
    assert answer.headers["content-type"] == media_type
    assert [row["lead_id"] for row in read(answer.text)] == ["a", "b"]


async def test_a_format_that_is_not_offered_is_refused(client: AsyncClient) -> None:
    """A wrong name and an impossible Accept are different faults; both answers list what there is."""
    for name in ("xls", ""):
        [error] = (await problem(client, f"/results/export?format={name}", 422))["errors"]
        assert error == {"field": "format", "message": "must be one of csv, ndjson, json"}
    answer = await client.get("/results/export", headers={"Accept": "text/html"})
    assert answer.status_code == 406
    assert "application/x-ndjson" in answer.json()["detail"]


async def test_columns_and_byte_order_mark_of_a_csv_are_chosen(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """Own columns come first unless Leadline's alone are asked for; a mark stands before CSV alone."""
    await store.insert([result("a", upload_id="up")])
    columns = [SourceColumn(title="Job", field="role")]
    await store.see_columns([UploadColumns(upload_id="up", owner=LOCAL_OWNER, columns=columns)])
    begins = {
        "": "Job,row,lead_id,",
        "columns=own": "Job,row,lead_id,",
        "columns=leadline": "lead_id,name,company,",
        "columns=leadline&bom=true": "\ufefflead_id,name,",
        "bom=true": "\ufeffJob,row,",
        "bom=false": "Job,row,",
        "format=json&bom=true&columns=leadline": "[{",
        "format=ndjson&bom=true": "{",
    }
    for query, beginning in begins.items():
        assert (await client.get(f"/results/export?{query}")).content.decode().startswith(beginning)
    [error] = (await problem(client, "/results/export?columns=all", 422))["errors"]
    assert error == {"field": "columns", "message": "must be one of own, leadline"}
    [error] = (await problem(client, "/results/export?bom=maybe", 422))["errors"]
    assert error["field"] == "bom"


async def test_an_export_takes_the_filters(client: AsyncClient, store: SqliteResultStore) -> None:
    """What is filtered on the screen can be had as a file, however much it is."""
    await store.insert([result(f"lead-{n:04}", intent="Low" if n % 2 else "High") for n in range(2_400)])
    answer = await client.get("/results/export?format=json&intent=Low")
    assert len({row["lead_id"] for row in answer.json()}) == len(answer.json()) == 1_200
    assert {row["intent"] for row in answer.json()} == {"Low"}
    assert (await client.get("/results/export?format=JSON&intent=lOW")).text == answer.text


async def test_an_outage_is_told_before_an_export_begins(tmp_path: Path) -> None:
    """A store that does not answer is a problem with a status, not a file that breaks off at its start."""

    class Away(SqliteResultStore):
        async def stream(self, query: Query) -> AsyncIterator[Record]:
            raise Unavailable(f"not for {query.owner}")
            yield

    away = Away(tmp_path / "away.db")
    async with client_of(away) as client:
        await problem(client, "/results/export", 503)
    await away.close()


async def test_the_aliases_answer_as_the_paths_do(client: AsyncClient, store: SqliteResultStore) -> None:
    """One family of clients calls /api/… with or without a trailing slash."""
    await store.insert([result("a")])
    for path in ("/api/results/", "/api/results", "/results/"):
        assert await ids(client, path) == ["a"]
    plain = (await client.get("/results/export")).text
    for path in ("/api/export/", "/api/export", "/api/results/export/"):
        assert (await client.get(path)).text == plain


async def see(store: SqliteResultStore, run_id: str, **changes: object) -> None:
    """Make a run known."""
    run = Run(
        run_id=run_id,
        owner=LOCAL_OWNER,
        offer_id="offer",
        model="standard",
        started_at=START,
        progress_at=START,
    )
    await store.see_run(run.model_copy(update=changes))


async def test_a_run_tells_how_far_it_is(client: AsyncClient, store: SqliteResultStore) -> None:
    """Counts, times and the seconds left by the pace so far, and the end when there is one."""
    await see(store, RUN, total=4, started_at=START.replace(minute=0, hour=11))
    await store.save_progress(RUN, Counts(1, 1), START)
    assert (await client.get(f"/runs/{RUN}")).json() == {
        "run_id": RUN,
        "offer_id": "offer",
        "model": "standard",
        "status": "running",
        "total": 4,
        "scored": 1,
        "failed": 1,
        "started_at": "2026-03-01T11:00:00Z",
        "finished_at": None,
        "seconds_left": 3600.0,
        "trace_id": None,
        "ai": [],
    }
    await store.finish_run(RUN, Counts(3, 1), START)
    end = (await client.get(f"/runs/{RUN}")).json()
    assert (end["status"], end["finished_at"]) == ("finished", "2026-03-01T12:00:00Z")
    assert (end["scored"], end["failed"], end["seconds_left"]) == (3, 1, 0.0)


async def test_a_run_tells_what_its_ai_answers_took(client: AsyncClient, store: SqliteResultStore) -> None:
    """Calls, tokens and dollars of each model that was asked, and of no other run."""
    await see(store, RUN)
    figures: dict[str, Any] = {
        "calls": 12,
        "failed_calls": 2,
        "cached": 30,
        "input_tokens": 9_000,
        "output_tokens": 700,
        "cache_read_tokens": 4_096,
        "cache_write_tokens": 512,
    }
    mine = RunSpend(
        owner=LOCAL_OWNER, run_id=RUN, source="gemini", assessor="flash", nano_usd=1_250_000, **figures
    )
    also = RunSpend(owner=LOCAL_OWNER, run_id=RUN, source="anthropic", assessor="claude", cached=1)
    await store.see_spend([mine, also, mine.model_copy(update={"run_id": OTHER_RUN, "assessor": "pro"})])
    shown = (await client.get(f"/runs/{RUN}")).json()["ai"]
    assert [(spend["source"], spend["model"]) for spend in shown] == [
        ("anthropic", "claude"),
        ("gemini", "flash"),
    ]
    assert shown[1] == {"source": "gemini", "model": "flash", **figures, "cost_usd": 0.00125}
    assert (shown[0]["calls"], shown[0]["cached"], shown[0]["cost_usd"]) == (0, 1, 0.0)


async def test_runs_are_listed_by_page_with_what_they_took(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """The newest first, each as its own address shows it; links lead through all, with the filters."""
    runs = sorted(new_id() for _ in range(7))
    for number, run_id in enumerate(runs):
        await see(store, run_id, offer_id="offer b&c" if number % 2 else "other", total=1)
    await see(store, YEAR_2020, owner="somebody else")
    await store.finish_run(runs[0], Counts(1, 0), START)
    spent = RunSpend(owner=LOCAL_OWNER, run_id=runs[6], source="gemini", assessor="flash", calls=3)
    await store.see_spend([spent, spent.model_copy(update={"run_id": runs[5], "calls": 4})])

    found: list[dict[str, Any]] = []
    path: str | None = "/runs?limit=3"
    while path is not None:
        answer = await client.get(path)
        assert answer.headers["X-Total-Count"] == "7"
        found += answer.json()
        link = re.fullmatch(r'<(/runs\?.*)>; rel="next"', answer.headers.get("Link", ""))
        path = link and link[1]
    assert [run["run_id"] for run in found] == runs[::-1]
    assert [run["ai"][0]["calls"] for run in found[:2]] == [3, 4]
    assert [(await client.get(f"/runs/{run_id}")).json() for run_id in runs[::-1]] == found

    async def listed(**filters: str) -> list[str]:
        return [run["run_id"] for run in (await client.get("/runs", params=filters)).json()]

    assert await listed(status="finished") == [runs[0]]
    assert await listed(offer_id="offer b&c") == [runs[5], runs[3], runs[1]]
    assert await listed(offer_id="other", status="running") == [runs[6], runs[4], runs[2]]


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("status=done", "status", "one of running, finished, cancelled"),
        ("limit=0", "limit", "from 1 to 500"),
        ("limit=501", "limit", "from 1 to 500"),
        ("offer_id=", "offer_id", "leave it out"),
    ],
)
async def test_a_wrong_filter_of_runs_is_refused_by_name(
    client: AsyncClient, query: str, field: str, said: str
) -> None:
    """A filter that cannot be meant is never ignored; a spoilt cursor is a problem of its own."""
    [error] = (await problem(client, f"/runs?{query}", 422))["errors"]
    assert error["field"] == field
    assert said in error["message"]
    assert (await problem(client, "/runs?cursor=abc", 400))["title"] == "Bad cursor"


async def test_a_prospect_has_its_result_and_its_history(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """The result is what the list shows; the history says what another run found otherwise, and why."""
    records = [result("a", intent="Low", ai_points=10, score=30), result("a", run_id=OTHER_RUN, points=30)]
    await store.insert([*records, result("b")])
    await store.settle_latest(records)
    shown = (await client.get("/results/a")).json()
    history = shown.pop("history")
    assert shown == next(one for one in (await client.get("/results")).json() if one["lead_id"] == "a")
    assert [(one["run_id"], one["score"], one["compared_with"]) for one in history] == [
        (OTHER_RUN, 80, RUN),
        (RUN, 30, None),
    ]
    assert history[0]["changes"] == [
        {"factor": "role", "before": 20, "after": 30, "evidence": "'CEO' decides"},
        {"factor": "intent", "before": 10, "after": 50, "evidence": "High: a decides."},
    ]
    assert history[1] == {
        "run_id": RUN,
        "offer_id": "offer",
        "scored_at": "2026-03-01T12:00:00Z",
        "score": 30,
        "intent": "Low",
        "model": "standard",
        "model_version": "rules-1",
        "status": "scored",
        "compared_with": None,
        "changes": [],
    }


async def test_an_unknown_prospect_is_not_found_and_says_where_ids_come_from(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """Whoever has the wrong id learns which call has the right ones; another owner's is as unknown."""
    await store.insert([result("a", owner="somebody else")])
    for lead_id in ("a", "b" * 999, "%00"):
        detail = (await problem(client, f"/results/{lead_id}", 404))["detail"]
        assert "GET /results lists" in detail
        assert len(detail) < 200


@pytest.mark.parametrize("run_id", ["abc", YEAR_2020, YEAR_2100, RANDOM_ID, "%00", "a" * 999])
async def test_an_unknown_run_that_is_not_young_is_not_waited_for(
    client: AsyncClient, store: SqliteResultStore, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    """Nothing can be on its way for an id that no new run has; long ids are not echoed at length."""
    looks = 0
    find = store.run

    async def counted(run_id: str) -> Run | None:
        nonlocal looks
        looks += 1
        return await find(run_id)

    monkeypatch.setattr(store, "run", counted)
    body = await problem(client, f"/runs/{run_id}?wait=5", 404)
    assert looks <= 1
    assert "POST /score" in body["detail"]
    assert len(body["detail"]) < 200


@pytest.mark.parametrize("ahead", [0, 3_000])
async def test_a_young_run_is_waited_for(client: AsyncClient, store: SqliteResultStore, ahead: int) -> None:
    """The answer to POST /score may be faster than the run's first message, and clocks differ a little."""
    run_id = str(UUID(int=UUID(new_id()).int + (ahead << 80)))
    asking = asyncio.create_task(client.get(f"/runs/{run_id}"))
    await asyncio.sleep(0.2)
    assert not asking.done()
    await see(store, run_id)
    assert (await asking).json()["status"] == "running"


async def test_a_young_run_that_stays_unknown_may_be_asked_for_again(client: AsyncClient) -> None:
    """After two seconds the answer is that the run is not known yet, and when to come back."""
    run_id, started = new_id(), time.monotonic()
    answer = await client.get(f"/runs/{run_id}?wait=30")
    assert 1.9 < time.monotonic() - started < 20
    assert (answer.status_code, answer.headers["Retry-After"]) == (404, "1")


async def test_a_long_poll_answers_at_the_end_of_the_run(
    client: AsyncClient, store: SqliteResultStore
) -> None:
    """A waiting request is answered as soon as the run is finished, and otherwise when the time is up."""
    await see(store, RUN, total=1)
    started = time.monotonic()
    assert (await client.get(f"/runs/{RUN}?wait=0.3")).json()["status"] == "running"
    assert time.monotonic() - started >= 0.3
    asking = asyncio.create_task(client.get(f"/runs/{RUN}?wait=60"))
    await asyncio.sleep(0.2)
    assert not asking.done()
    await store.finish_run(RUN, Counts(1, 0), START)
    async with asyncio.timeout(40):
        assert (await asking).json()["status"] == "finished"


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "", "long"])
async def test_a_wait_that_cannot_be_kept_is_refused(client: AsyncClient, wait: str) -> None:
    """Waiting is bounded, so that a caller cannot hold a connection for ever."""
    [error] = (await problem(client, f"/runs/{RUN}?wait={wait}", 422))["errors"]
    assert error["field"] == "wait"


async def test_another_owners_run_is_unknown(client: AsyncClient, store: SqliteResultStore) -> None:
    """A run id tells nothing to those whose run it is not."""
    await see(store, YEAR_2020, owner="somebody else")
    await problem(client, f"/runs/{YEAR_2020}", 404)


async def test_the_schema_lists_the_choices(client: AsyncClient) -> None:
    """A client generated from the schema knows which intents, statuses and formats there are."""
    paths = (await client.get("/schema/openapi.json")).json()["paths"]
    listed = {
        parameter["name"]: parameter["schema"].get("enum")
        for parameter in paths["/results/export"]["get"]["parameters"]
    }
    assert listed["intent"] == ["High", "Medium", "Low"]
    assert listed["status"] == ["pending", "scored", "partial", "failed", "cancelled"]
    assert listed["format"] == ["csv", "ndjson", "json"]
