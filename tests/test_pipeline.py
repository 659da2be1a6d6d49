"""The whole of Leadline from end to end, as one process over SQLite and as four over real servers."""

import concurrent.futures
import csv
import io
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.support import EXAMPLES, Client, Leadline, embedded, make_csv, numbered

from leadline_common.http.service_map import ROUTES, Route
from leadline_contracts import topology

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=["embedded", pytest.param("services", marks=pytest.mark.servers)])
def leadline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leadline]:
    """Leadline, started once for all tests of a mode; each test works on an offer of its own."""
    if request.param == "services":
        yield request.getfixturevalue("services")
        return
    with embedded(tmp_path_factory.mktemp("embedded")) as running:
        yield running


def test_answers_are_as_http_clients_expect(leadline: Leadline) -> None:
    """HEAD, tags, compression and the way from the root work in one process and through a gateway alike."""
    http, upload_id = leadline.client.http, leadline.client.upload_new(make_csv(numbered("Tagged", 300)))
    run_id = leadline.client.score(upload_id=upload_id)["run_id"]
    answer = http.get(f"/runs/{run_id}")
    tag = answer.headers["ETag"]
    assert http.get(f"/runs/{run_id}", headers={"If-None-Match": tag}).status_code == 304
    export = {"run_id": run_id, "format": "csv"}
    packed = http.get("/results/export", params=export)
    plain = http.get("/results/export", params=export, headers={"Accept-Encoding": "identity"})
    assert (packed.headers["Content-Encoding"], packed.content) == ("gzip", plain.content)
    assert "Content-Encoding" not in plain.headers
    head = http.head("/results/export", params=export)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Disposition"] == packed.headers["Content-Disposition"]
    assert (http.get("/").status_code, http.get("/").headers["Location"]) == (307, "/schema")
    for path in ("/results", f"/runs/{run_id}", "/nothing"):
        headers = http.get(path).headers
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_a_request_with_a_key_is_done_once(leadline: Leadline) -> None:
    """Offers, files and runs that a client sends again come back as they were, in both modes."""
    http, key = leadline.client.http, f"key of {uuid.uuid4()}"

    def twice(path: str, **request: Any) -> dict[str, Any]:
        headers = {"Idempotency-Key": f"{key} {path}", "Prefer": "wait=30"}
        first, again = [http.post(path, headers=headers, **request) for _ in range(2)]
        assert first.is_success, first.text
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert again.headers.get("Location") == first.headers.get("Location")
        assert again.headers["Idempotent-Replayed"] == "true"
        body: dict[str, Any] = first.json()
        return body

    offer = twice("/offer", json={"name": "Once"})
    file = {
        "files": {"file": ("leads.csv", make_csv(numbered("Once", 7)))},
        "data": {"offer_id": offer["id"]},
    }
    upload = twice("/leads/upload", **file)
    run = twice("/score", json={"upload_id": upload["upload_id"]})
    assert run["queued"] == 7
    assert http.get("/results", params={"upload_id": upload["upload_id"]}).headers["X-Total-Count"] == "7"
    twice("/leads", json={"contact_channel": "email", "message": f"Hello, {key}"})
    other = http.post("/offer", json={"name": "Twice"}, headers={"Idempotency-Key": f"{key} /offer"})
    assert (other.status_code, other.json()["code"]) == (422, "key_of_another_request")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_route_passes_over_a_parameter(leadline: Leadline, route: Route) -> None:
    """A parameter that is misspelt is refused on every path, in both modes, before anything is done."""
    path = route.path.replace("*", "any")
    answer = leadline.client.http.request(route.method, path, params={"nonsense": "1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_fields")
    assert [error["field"] for error in answer.json()["errors"]] == ["nonsense"]


def test_the_documented_calls_lead_to_ranked_results(leadline: Leadline) -> None:
    """Offer, upload, score, results and export work one after the other with nothing waited for by hand."""
    http = leadline.client.http
    offer = http.post("/offer", content=(EXAMPLES / "offer.json").read_bytes(), headers=JSON)
    with (EXAMPLES / "leads.csv").open("rb") as file:
        upload = http.post("/leads/upload", files={"file": file})
    score = http.post("/score", headers={"Prefer": "wait=60"})
    results = http.get("/results", params={"offer_id": offer.json()["id"]})
    export = http.get("/results/export", params={"run_id": score.json()["run_id"]})

    assert [answer.status_code for answer in (offer, upload, score, results, export)] == [
        *(201, 201, 200, 200, 200)
    ]
    assert upload.json()["inserted"] == 20
    counts = {"total": 20, "queued": 20, "processed": 20, "failed": 0}
    assert score.json() == {**score.json(), "status": "finished", **counts}
    scores = [result["score"] for result in results.json()]
    assert len(scores) == 20
    assert scores == sorted(scores, reverse=True)
    assert len(export.text.splitlines()) == 21


def test_factors_add_up_to_each_score(leadline: Leadline) -> None:
    """Every result can be checked line by line: its factors are its score, and each names its evidence."""
    upload_id = leadline.client.upload_new((EXAMPLES / "leads.csv").read_bytes())
    leadline.client.score(upload_id=upload_id)
    for result in leadline.client.results(upload_id=upload_id):
        assert sum(factor["points"] for factor in result["factors"]) == result["score"]
        assert result["rule_score"] + result["ai_points"] == result["score"]
        assert all(factor["evidence"] for factor in result["factors"])
        assert result["reasoning"]


def test_old_clients_reach_the_same_under_api(leadline: Leadline) -> None:
    """The paths under /api, with a slash at the end, answer as those without."""
    http = leadline.client.http
    offer = http.post("/api/offer/", json={"name": "Old", "value_props": "a, b", "ideal_use_cases": "SaaS"})
    offer_id = offer.json()["id"]
    files = {"file": make_csv(["Old Client"])}
    answers = [
        offer,
        http.post(f"/api/leads/upload/{offer_id}", files=files),
        http.post(f"/api/score/{offer_id}/"),
        http.get("/api/results/", params={"offer_id": offer_id}),
        http.get("/api/export/", params={"offer_id": offer_id}),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 200, 200, 200]
    assert offer.json()["value_props"] == ["a", "b"]
    assert "Old Client" in [result["name"] for result in answers[3].json()]
    assert "Old Client" in answers[4].text


def test_every_route_of_the_table_is_answered(leadline: Leadline) -> None:
    """Every request of the table of routes reaches a service that has its route."""
    for route in ROUTES:
        path = route.path.replace("*", "unknown")
        answer = leadline.client.http.request(route.method, path)
        assert not answer.is_server_error, answer.text
        assert answer.status_code != 405, route
        assert "There is nothing at" not in answer.text, route
        assert "No service answers" not in answer.text, route


def test_overlapping_runs_never_share_a_prospect(leadline: Leadline) -> None:
    """Ten calls to score at once claim each prospect once between them, so nobody pays twice."""
    client = leadline.client
    upload_id = client.upload_new(make_csv(numbered("Overlap", 400)))
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        runs = list(pool.map(lambda _: client.score(upload_id=upload_id), range(10)))
    assert sum(run["queued"] for run in runs) == 400
    leads = Counter(result["lead_id"] for run in runs for result in client.results(run_id=run["run_id"]))
    assert len(leads) == 400
    assert set(leads.values()) == {1}


def test_prospects_of_one_offer_are_left_alone_by_others(leadline: Leadline) -> None:
    """Prospects uploaded for one offer are scored against that one only, also when another is the newest."""
    client = leadline.client
    theirs = client.create_offer()
    upload_id = client.upload(make_csv(["Reserved One"]), theirs)["upload_id"]
    other = client.create_offer(name="Another offer")
    client.score()
    assert client.results(upload_id=upload_id) == []
    assert client.post_score(offer_id=other, upload_id=upload_id).status_code == 422
    client.score(offer_id=theirs)
    [result] = client.results(upload_id=upload_id)
    assert result["offer_id"] == theirs


def test_scoring_by_another_model_makes_the_newest_result(leadline: Leadline) -> None:
    """A second model scores the same prospects again; the list shows the newer result of each, once."""
    client = leadline.client
    upload_id = client.upload_new(make_csv(numbered("Rescored", 30)))
    first = client.score(upload_id=upload_id)
    second = client.score(upload_id=upload_id, model="graded")
    again = client.score(upload_id=upload_id, model="graded")
    assert (first["queued"], second["queued"], again["queued"]) == (30, 30, 0)
    results = client.results(upload_id=upload_id)
    assert len(results) == 30
    assert {(result["run_id"], result["model"]) for result in results} == {(second["run_id"], "graded")}
    old = client.results(run_id=first["run_id"])
    assert {result["model"] for result in old} == {"standard"}


def test_a_caller_who_does_not_wait_follows_the_run(leadline: Leadline) -> None:
    """`respond-async` answers at once with the run's address, where its end can be waited for."""
    client = leadline.client
    upload_id = client.upload_new(make_csv(numbered("Async", 300)))
    accepted = client.post_score(prefer="respond-async", upload_id=upload_id)
    assert accepted.status_code == 202
    assert (accepted.json()["status"], accepted.json()["total"]) == ("running", 300)
    run = client.http.get(accepted.headers["Location"], params={"wait": 30}).json()
    assert (run["status"], run["total"], run["scored"], run["failed"]) == ("finished", 300, 300, 0)
    assert run["seconds_left"] == 0


def test_pages_hold_each_result_once_in_order(leadline: Leadline) -> None:
    """Following the Link header from page to page gives the very list that one big page gives."""
    client = leadline.client
    upload_id = client.upload_new(make_csv(numbered("Paged", 53)))
    client.score(upload_id=upload_id)
    whole = client.results(upload_id=upload_id)
    assert len(whole) == 53
    assert client.results(upload_id=upload_id, limit=7) == whole


def test_filters_leave_what_they_say(leadline: Leadline) -> None:
    """Results are narrowed by intent and least score, and their total with them."""
    client = leadline.client
    upload_id = client.upload_new((EXAMPLES / "leads.csv").read_bytes())
    client.score(upload_id=upload_id)
    whole = client.results(upload_id=upload_id)
    high = client.results(upload_id=upload_id, intent="High")
    assert high == [result for result in whole if result["intent"] == "High"]
    assert 0 < len(high) < 20
    assert client.results(upload_id=upload_id, min_score=70) == [r for r in whole if r["score"] >= 70]


def test_an_export_holds_what_the_results_hold(leadline: Leadline) -> None:
    """The three export formats, read again, are the results, in the same order."""
    client = leadline.client
    upload_id = client.upload_new((EXAMPLES / "leads.csv").read_bytes())
    client.score(upload_id=upload_id)
    results = client.results(upload_id=upload_id)
    rows = client.exported_rows(upload_id=upload_id)
    flat = [
        {**result, "ai_status": result["ai"]["status"], "ai_source": result["ai"]["source"]}
        for result in results
    ]
    bios = [row.pop("linkedin_bio") for row in rows]
    assert any(bios)
    assert [{name: str(result[name]) for name in rows[-1]} for result in flat] == rows
    export = {"upload_id": upload_id, "format": "json"}
    assert client.http.get("/results/export", params=export).json() == results
    lines = client.http.get(
        "/results/export", params={"upload_id": upload_id}, headers={"Accept": "application/x-ndjson"}
    ).iter_lines()
    assert [httpx.Response(200, text=line).json() for line in lines] == results


OWN_TABLE = [
    [
        "Kunde",
        "Vorname",
        "Nachname",
        "Position",
        "Firma",
        "Branche",
        "",
        "Notiz",
        "Notiz",
        "Tel",
        "a.b$",
        "row",
    ],
    [
        "K-1",
        "Jörg",
        "Weiß",
        "Geschäftsführer",
        "Öl & Söhne",
        "SaaS",
        "x",
        "a, b",
        "",
        "+49 171 1234",
        "1",
        "z",
    ],
    ["K-2", "Ann", "O'Neil", "CTO", "Two", "Dairy", "", "line one\nline two", 'say "hi"', "-5", "", ""],
    ["K-3", "", "Cher", "Intern", "李", "", "", "", "only this", "", "0,5", "0"],
]


@pytest.mark.parametrize("bom", ["true", "false"])
def test_a_table_that_goes_in_comes_back(leadline: Leadline, bom: str) -> None:
    """Without Leadline's columns an export is the file that was uploaded: titles, cells and their order."""
    client = leadline.client
    text = io.StringIO()
    csv.writer(text).writerows(OWN_TABLE)
    upload_id = client.upload_new(text.getvalue())
    assert client.score(upload_id=upload_id)["processed"] == 3
    wanted = {"upload_id": upload_id, "format": "csv", "bom": bom}
    answer = client.http.get("/results/export", params=wanted).raise_for_status()
    content = answer.content.decode()
    assert content.startswith("\ufeff") is (bom == "true")
    titles, *rows = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""), strict=True)
    added = ["leadline_row", "lead_id", "score", "intent", "rule_score", "ai_points", "reasoning"]
    assert titles[12:] == [*added, "ai_status", "ai_source"]
    assert [int(row[14]) for row in rows] == sorted((int(row[14]) for row in rows), reverse=True)
    rows.sort(key=lambda row: int(row[12]))
    assert [titles[:12], *(row[:12] for row in rows)] == OWN_TABLE
    scored = {result["row"]: result for result in client.results(upload_id=upload_id)}
    assert {row: result["extra"].get("Tel") for row, result in scored.items()} == {
        int(row[12]): row[9] or None for row in rows
    }


def test_a_hostile_cell_stays_text(leadline: Leadline) -> None:
    """A cell that a spreadsheet would run is kept as it came, and defused where it is exported as CSV."""
    client = leadline.client
    hostile = '=HYPERLINK("http://example.com";"click")'
    quoted = hostile.replace('"', '""')
    upload_id = client.upload_new(f'name,role,company,@phone\n"{quoted}",@SUM(1+1),+A1,+49 171\n')
    client.score(upload_id=upload_id)
    [result] = client.results(upload_id=upload_id)
    assert (result["name"], result["role"], result["company"]) == (hostile, "@SUM(1+1)", "+A1")
    [row] = client.exported_rows(upload_id=upload_id)
    assert (row["name"], row["role"], row["company"]) == (f"'{hostile}", "'@SUM(1+1)", "'+A1")
    assert row["'@phone"] == "+49 171"
    assert not row["reasoning"].startswith(("=", "+", "-", "@"))


def test_bad_rows_are_named_and_the_rest_is_scored(leadline: Leadline) -> None:
    """A row with too many fields or a NUL is reported by its number; its neighbours go in."""
    client = leadline.client
    content = "Full Name;Job Title;Company;Shoe size\nAnn;CTO;One;38\nBob;CEO;Two;41;x;y\nC\0l;VP;Three;40\n"
    report = client.upload(content, client.create_offer())
    assert report["inserted"] == 1
    assert [row["row"] for row in report["rejected"]] == [3, 4]
    assert report["rejected_count"] == 2
    assert any("Shoe size" in warning for warning in report["warnings"])
    assert client.score(upload_id=report["upload_id"])["processed"] == 1


def test_refusals_are_problems_that_say_what_to_do(leadline: Leadline) -> None:
    """What cannot be used is refused with a problem, whichever service refuses it."""
    http = leadline.client.http
    refusals = [
        (http.post("/offer", json={"value_props": []}), 422),
        (http.post("/offer", content=b"{nope", headers=JSON), 400),
        (http.post("/offer", content=b'{"name": "x"}'), 415),
        (http.post("/score", content=b"{}", headers={"Content-Type": "text/plain"}), 415),
        (http.post("/leads/upload", files={"file": b"name,role\n"}), 422),
        (http.post("/score", json={"offer_id": "unknown"}), 404),
        (http.get("/results", params={"limit": 5000}), 422),
        (http.get("/runs/unknown"), 404),
        (http.get("/nowhere"), 404),
        (http.delete("/offer"), 405),
    ]
    for answer, status in refusals:
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["title"]
        assert problem["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/score"), ("GET", "/results"), ("GET", "/schema")])
def test_without_tokens_pages_of_others_are_kept_out(leadline: Leadline, method: str, path: str) -> None:
    """Each service, behind the gateway too, tells another site's page and name from its own and from curl."""
    http = leadline.client.http
    own = str(http.base_url).rstrip("/")
    assert http.request(method, path, headers={"Origin": "https://example.com"}).status_code == 403
    assert http.request(method, path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert http.request(method, path, headers={"Host": "example.com"}).status_code == 421
    same = http.request(method, path, headers={"Origin": own, "Sec-Fetch-Site": "same-origin"})
    assert same.status_code not in {400, 403, 421}
    assert http.request(method, path).status_code == same.status_code


def test_a_large_file_is_scored_whole(leadline: Leadline) -> None:
    """Five thousand rows come out as five thousand scored results."""
    client = leadline.client
    names = numbered("Large", 5_000)
    upload_id = client.upload_new(make_csv(names))
    run_id = client.post_score(prefer="respond-async", upload_id=upload_id).json()["run_id"]
    run = client.finished_run(run_id)
    assert (run["total"], run["scored"], run["failed"]) == (5_000, 5_000, 0)
    rows = client.exported_rows(upload_id=upload_id)
    assert sorted(row["name"] for row in rows) == sorted(names)


def test_every_process_tells_its_health_and_metrics(leadline: Leadline) -> None:
    """Each process answers its probes, and counts what it did without naming anybody."""
    upload_id = leadline.client.upload_new(make_csv(["Counted"]))
    leadline.client.score(upload_id=upload_id)
    leadline.client.ended_workflow(leadline.client.submit("Do you wash cars?"))
    cancel_a_run(leadline.client, upload_id)
    handled = ""
    for address in leadline.addresses.values():
        for probe in ("/health", "/health/live", "/health/ready"):
            answer = httpx.get(address + probe, trust_env=False)
            assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        metrics = httpx.get(f"{address}/metrics", trust_env=False)
        assert metrics.headers["Content-Type"].startswith("text/plain")
        handled += metrics.text
    for queue in set(topology.LEADLINE.queues) - {topology.SUBMISSIONS, topology.MESSAGES}:
        assert re.search(
            rf'leadline_messages_settled_total{{outcome="acked",queue="{queue.name}"}} [1-9]', handled
        )
    assert "Counted" not in handled
    assert upload_id not in handled


def cancel_a_run(client: Client, upload_id: str) -> None:
    """Start a run and cancel it, again where it was finished first."""
    for _ in range(20):
        run = client.post_score(prefer="respond-async", upload_id=upload_id, refresh=True).json()
        client.http.post(f"/runs/{run['run_id']}/cancel")
        if client.ended_run(run["run_id"])["status"] == "cancelled":
            return
    raise AssertionError("twenty runs were finished before they could be cancelled")


def test_the_schema_page_needs_no_internet(leadline: Leadline) -> None:
    """The API page and all it loads come from Leadline itself."""
    http = leadline.client.http
    page = http.get("/schema").raise_for_status().text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    assert all(place.startswith("/") for place in loaded)
    assert all(http.get(place).is_success for place in loaded)


def test_logs_hold_no_lead_text(leadline: Leadline) -> None:
    """What a person wrote about people never gets into the log, and nothing failed unseen."""
    client = leadline.client
    upload_id = client.upload_new(make_csv(["Xanthippe Quillfeather"]))
    client.score(upload_id=upload_id)
    log = leadline.log.read_text(encoding="utf-8")
    assert upload_id in log
    assert "Quillfeather" not in log
    assert "Opens new markets" not in log
    assert "Traceback" not in log
