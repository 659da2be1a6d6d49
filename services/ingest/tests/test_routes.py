"""The REST entrypoint, as clients use it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import ASGITransport, AsyncClient, Response

from leadline_common.http.server import serving
from leadline_contracts.scoring import LeadsAccepted, RunPublished
from leadline_ingest.runs.service import RunProgress, Runs
from leadline_ingest.runs.store import RunRequest
from leadline_testing.tables import every_row

from .builders import (
    FORM,
    HEADER,
    JSON,
    OFFER,
    START,
    House,
    csv_of,
    drained,
    eventually,
    finished,
    form_of,
    house,
    send,
)

FAR_AHEAD = START + timedelta(days=10_000)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as running:
        yield running


@pytest.fixture
async def client(service: House) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        transport=ASGITransport(cast(Any, service.app)), base_url="http://localhost"
    ) as client:
        yield client


async def offered(client: AsyncClient, **fields: object) -> str:
    """Make an offer and return its id."""
    response = await client.post("/offer", json={**OFFER, **fields})
    assert response.status_code == 201
    return str(response.json()["id"])


async def upload(client: AsyncClient, *parts: tuple[str, bytes], to: str = "/leads/upload") -> Response:
    return await client.post(to, content=form_of(*parts), headers=FORM)


async def uploaded(client: AsyncClient, count: int, **fields: str) -> str:
    """Upload so many prospects and return the upload's id."""
    parts = [(name, value.encode()) for name, value in fields.items()]
    response = await upload(client, *parts, ("file", csv_of(count)))
    assert response.status_code == 201
    return str(response.json()["upload_id"])


def assert_problem(response: Response, status: int, *words: str) -> None:
    """An RFC 9457 problem that says these words to whoever reads it."""
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"]) == (status, status)
    assert problem["title"]
    for word in words:
        assert word in json.dumps(problem)


async def assert_nothing_kept(service: House) -> None:
    """No prospect can be scored, and none lies about."""
    assert not await service.store.has_prospects("local")
    assert await service.store.abandoned_uploads(FAR_AHEAD) == []


async def play_results(service: House) -> None:
    """End every run as the results service does, once its last message is out."""
    ended: set[str] = set()
    while True:
        for message in service.broker.heard_at(RunPublished.TYPE):
            run = RunPublished.decode(message.body)
            if run.run_id not in ended:
                ended.add(run.run_id)
                await service.broker.publish([finished(run.run_id, run.total)])
        await asyncio.sleep(0.01)


@pytest.fixture
async def results(service: House) -> AsyncIterator[None]:
    playing = asyncio.create_task(play_results(service))
    yield
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)


class TestOffer:
    """POST /offer."""

    async def test_an_offer_comes_back_with_its_id(self, client: AsyncClient) -> None:
        """The caller can name it from then on."""
        response = await client.post("/offer", json=OFFER)
        assert response.status_code == 201
        assert response.json().items() >= OFFER.items()
        assert response.json()["id"]

    async def test_lists_may_be_one_comma_separated_string(self, client: AsyncClient) -> None:
        """Some clients send what a person typed into one line, also inside `icp`."""
        body = {
            **OFFER,
            "value_props": "fast, cheap ,, good",
            "icp": {"industries": "SaaS, Fintech", "roles": []},
        }
        made = (await client.post("/offer", json=body)).json()
        assert made["value_props"] == ["fast", "cheap", "good"]
        assert made["icp"] == {"industries": ["SaaS", "Fintech"], "roles": [], "locations": []}

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/offer", "application/json"),
            ("/offer/", "application/json; charset=utf-8"),
            ("/api/offer", "application/json"),
            ("/api/offer/", "Application/JSON"),
        ],
    )
    async def test_json_is_read_at_every_path(self, client: AsyncClient, path: str, kind: str) -> None:
        """One family of clients calls /api/…/, and the header is written in more ways than one."""
        response = await client.post(path, content=json.dumps(OFFER), headers={"Content-Type": kind})
        assert response.status_code == 201

    @pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain"])
    async def test_what_is_not_called_json_is_no_offer(
        self, service: House, client: AsyncClient, kind: str | None
    ) -> None:
        """`curl -d` without -H names the wrong type, and the error names the header to send."""
        headers = {"Content-Type": kind} if kind else {}
        response = await client.post("/offer", content=json.dumps(OFFER), headers=headers)
        assert_problem(response, 415, "-H 'Content-Type: application/json'")
        assert await service.store.newest_offer("local") is None

    @every_row(
        ("body", "field"),
        [
            ({"value_props": []}, "name"),
            ({**OFFER, "name": "  "}, "name"),
            ({**OFFER, "name": "x" * 501}, "name"),
            ({**OFFER, "name": 5}, "name"),
            ({**OFFER, "value_props": ["ok", 5]}, "value_props.1"),
            ({**OFFER, "value_props": ["x"] * 51}, "value_props"),
            ({**OFFER, "ideal_use_cases": {"a": 1}}, "ideal_use_cases"),
            ({**OFFER, "icp": {"roles": 5}}, "icp.roles"),
            ({**OFFER, "icp": "SaaS"}, "icp"),
            ({"name": "x", "ideal_use_case": ["SaaS"]}, "ideal_use_case"),
            ({**OFFER, "icp": {"role": ["CTO"]}}, "icp.role"),
            ([OFFER], "body"),
            (None, "body"),
        ],
    )
    async def test_a_wrong_field_is_named(self, client: AsyncClient, body: object, field: str) -> None:
        """The caller learns which field to correct."""
        response = await client.post("/offer", json=body)
        assert_problem(response, 422)
        assert [error["field"] for error in response.json()["errors"]] == [field]

    @pytest.mark.parametrize(
        "body", [b"", b'{"name": ', b"name=x", b'{"name": "\\ud800"}', b'{"name": "\xff"}', b"[" * 9999]
    )
    async def test_what_is_no_json_is_refused(self, client: AsyncClient, body: bytes) -> None:
        """A broken body is the caller's to correct, never a fault of the service."""
        response = await client.post("/offer", content=body, headers=JSON)
        assert_problem(response, 422 if body == b"" else 400)

    async def test_a_body_is_bounded(self, client: AsyncClient) -> None:
        """Nobody fills the memory with an offer."""
        assert_problem(await client.post("/offer", json={**OFFER, "name": "x" * 1_000_001}), 413)


class TestUpload:
    """POST /leads/upload."""

    @pytest.mark.parametrize(
        "path", ["/leads/upload", "/leads/upload/", "/api/leads/upload", "/api/leads/upload/"]
    )
    async def test_a_file_is_taken_and_reported(self, client: AsyncClient, path: str) -> None:
        """The answer counts what went in and says what did not, by row, column and reason."""
        good = "Ada,CTO,A,SaaS,Rome,bio,\nBob,CEO,B,SaaS,Bern,bio,,more\n,,,,,,\nCy\n"
        rows = good + '"open,CEO,C,SaaS,Oslo,bio,\n'
        response = await upload(client, ("file", f"{HEADER.strip()},shoe size\n{rows}".encode()), to=path)
        report = response.json()
        assert response.status_code == 201
        counts = {
            name: report[name] for name in ("rows", "inserted", "duplicates", "rejected_count", "blank")
        }
        assert counts == {"rows": 5, "inserted": 2, "duplicates": 0, "rejected_count": 2, "blank": 1}
        assert report["columns"]["linkedin_bio"] == "linkedin_bio"
        assert [(row["row"], row["column"]) for row in report["rejected"]] == [(3, None), (6, "name")]
        assert all(row["reason"] for row in report["rejected"])

    async def test_at_most_a_thousand_rejected_rows_are_shown(self, client: AsyncClient) -> None:
        """All are counted."""
        bad = "".join("a,b,c,d,e,f,g\n" for _ in range(1_200))
        report = (await upload(client, ("file", (HEADER + bad + "Ada,CTO,A,SaaS,Rome,b\n").encode()))).json()
        assert (len(report["rejected"]), report["rejected_count"], report["inserted"]) == (1_000, 1_200, 1)

    @pytest.mark.parametrize("place", ["before", "after", "path", "alias"])
    async def test_an_upload_may_be_for_one_offer(
        self, service: House, client: AsyncClient, place: str
    ) -> None:
        """The offer may stand before or after the file, or in the path."""
        offer_id = await offered(client)
        field, file = ("offer_id", offer_id.encode()), ("file", csv_of(2))
        parts = {"before": [field, file], "after": [file, field]}.get(place, [file])
        path = {"path": f"/leads/upload/{offer_id}", "alias": f"/api/leads/upload/{offer_id}/"}.get(place)
        response = await upload(client, *parts, to=path or "/leads/upload")
        kept = await service.store.upload("local", response.json()["upload_id"])
        assert kept is not None
        assert kept.offer_id == offer_id

    @pytest.mark.parametrize("in_path", [True, False])
    async def test_an_unknown_offer_keeps_nothing(
        self, service: House, client: AsyncClient, *, in_path: bool
    ) -> None:
        """Prospects are not left to an offer that nobody made."""
        path = "/leads/upload/nope" if in_path else "/leads/upload"
        parts = [("file", csv_of(3_000))] + ([] if in_path else [("offer_id", b"nope")])
        assert_problem(await upload(client, *parts, to=path), 404, "nope", "POST /offer")
        await assert_nothing_kept(service)

    @pytest.mark.parametrize(
        ("file", "status", "word"),
        [
            (b"", 400, "empty"),
            (b"\n\n", 400, "empty"),
            (HEADER.encode(), 422, "no rows"),
            (b"name,location\nAda,Rome\n", 422, "role"),
            (b"PK\x03\x04\x14\x00[Content_Types].xml" + bytes(5_000), 400, "damaged"),
            (b'{"leads": []}', 415, "JSON"),
            (bytes(range(256)) * 400, 415, "binary"),
        ],
    )
    async def test_a_useless_file_is_refused_with_the_reason(
        self, service: House, client: AsyncClient, file: bytes, status: int, word: str
    ) -> None:
        """The person who sent it learns what to send."""
        assert_problem(await upload(client, ("file", file)), status, word)
        await assert_nothing_kept(service)

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (form_of(("other", csv_of(2))), FORM["Content-Type"], 422),
            (form_of(("file", csv_of(3_000)), ("file", csv_of(2))), FORM["Content-Type"], 422),
            (form_of(("file", csv_of(3_000)))[:-9], FORM["Content-Type"], 400),
            (b"nonsense", FORM["Content-Type"], 400),
            (b"", FORM["Content-Type"], 400),
            (csv_of(2), "text/csv", 415),
            (b"{}", "application/json", 415),
            (b"file=x", "application/x-www-form-urlencoded", 415),
        ],
    )
    async def test_a_request_that_is_no_upload_keeps_nothing(
        self, service: House, client: AsyncClient, body: bytes, content_type: str, status: int
    ) -> None:
        """Each is refused with how to send a file, also where half of one was there."""
        response = await client.post("/leads/upload", content=body, headers={"Content-Type": content_type})
        assert_problem(response, status)
        await assert_nothing_kept(service)


class TestScore:
    """POST /score."""

    async def test_it_says_what_to_call_first(self, client: AsyncClient) -> None:
        """Conflicts come only where no offer or no prospect exists, and name the missing call."""
        assert_problem(await client.post("/score"), 409, "POST /offer")
        await offered(client)
        assert_problem(await client.post("/score"), 409, "POST /leads/upload")

    @pytest.mark.usefixtures("results")
    @pytest.mark.parametrize("body", [None, b"", b"{}", b"null", b'{"offer_id": null}'])
    async def test_a_body_is_optional(self, client: AsyncClient, body: bytes | None) -> None:
        """Without one, every open prospect is scored against the newest offer, and the answer is complete."""
        await offered(client)
        await uploaded(client, 3)
        response = await client.post("/score", content=body, headers=JSON if body else {})
        assert response.status_code == 200
        answer = response.json()
        counts = {"status": "finished", "total": 3, "queued": 3, "processed": 3, "failed": 0}
        assert answer == {"run_id": answer["run_id"], **counts, "seconds_left": 0, "warnings": []}
        assert response.headers["location"] == f"/runs/{answer['run_id']}"

    @pytest.mark.usefixtures("results")
    async def test_nothing_left_to_score_is_a_success(self, client: AsyncClient) -> None:
        """Asking again is harmless: nothing is scored, or paid for, twice."""
        await offered(client)
        await uploaded(client, 3)
        assert (await client.post("/score")).json()["queued"] == 3
        again = await client.post("/score")
        assert (again.status_code, again.json()["queued"]) == (200, 0)

    @pytest.mark.usefixtures("results")
    async def test_calls_at_once_score_each_prospect_once(self, service: House, client: AsyncClient) -> None:
        """Impatient callers share the work."""
        await offered(client)
        await uploaded(client, 200)
        answers = await asyncio.gather(*(client.post("/score") for _ in range(5)))
        assert sum(answer.json()["queued"] for answer in answers) == 200
        messages = await drained(service.broker)
        chunks = [LeadsAccepted.decode(m.body) for m in messages if m.type == LeadsAccepted.TYPE]
        ids = [lead.id for chunk in chunks for lead in chunk.leads]
        assert len(ids) == len(set(ids)) == 200

    @pytest.mark.usefixtures("results")
    @pytest.mark.parametrize("path", ["/score/{}", "/score/{}/", "/api/score/{}", "/api/score/{}/", None])
    async def test_an_offer_may_be_named(self, service: House, client: AsyncClient, path: str | None) -> None:
        """In the path or in the body, whatever the newest one is."""
        first = await offered(client)
        await offered(client)
        await uploaded(client, 2)
        body = {"model": "Graded"} if path else {"model": "GRADED", "offer_id": first}
        response = await client.post((path or "/score").format(first), json=body)
        assert response.json()["queued"] == 2
        chunk = LeadsAccepted.decode((await drained(service.broker))[0].body)
        assert (chunk.offer_id, chunk.model) == (first, "graded")

    @pytest.mark.usefixtures("results")
    @pytest.mark.parametrize("path", ["/score", "/score/{}"])
    async def test_a_refresh_scores_again_what_was_scored(
        self, service: House, client: AsyncClient, path: str
    ) -> None:
        """Once for each time it is asked for, with new AI answers; without the flag nothing is left."""
        named = path.format(await offered(client))
        await uploaded(client, 3)
        queued = [
            (await client.post(named, json=body)).json()["queued"]
            for body in ({}, {"refresh": True}, {"refresh": False}, {"refresh": True})
        ]
        assert queued == [3, 3, 0, 3]
        messages = await drained(service.broker)
        assert [LeadsAccepted.decode(m.body).refresh for m in messages] == [False, True, True]

    async def test_a_second_refresh_leaves_the_first_its_prospects(
        self, service: House, client: AsyncClient
    ) -> None:
        """A double click pays once; what is under way is new enough."""
        await offered(client)
        await uploaded(client, 3)
        body, at_once = {"refresh": True}, {"Prefer": "wait=0.5"}
        answers = [await client.post("/score", json=body, headers=at_once) for _ in range(2)]
        assert [answer.json()["queued"] for answer in answers] == [3, 0]

    @pytest.mark.usefixtures("results")
    async def test_prospects_of_one_offer_stay_with_it(self, client: AsyncClient) -> None:
        """They are neither scored against a newer offer nor lost to their own."""
        first = await offered(client)
        bound = await uploaded(client, 3, offer_id=first)
        newer = await offered(client)
        assert (await client.post("/score")).json()["queued"] == 0
        assert_problem(await client.post(f"/score/{newer}", json={"upload_id": bound}), 422, first)
        assert (await client.post("/score", json={"upload_id": bound})).json()["queued"] == 3

    @every_row(
        ("path", "body", "status", "word"),
        [
            ("/score/nope", {}, 404, "nope"),
            ("/score", {"offer_id": "nope"}, 404, "nope"),
            ("/score", {"upload_id": "nope"}, 404, "nope"),
            ("/score", {"model": "best"}, 422, "model"),
            ("/score", {"offer_id": 5}, 422, "offer_id"),
            ("/score", {"refresh": "yes"}, 422, "refresh"),
            ("/score", {"refresh": 1}, 422, "refresh"),
            ("/score", {"refresh": None}, 422, "refresh"),
            ("/score/{}", {"refresh": []}, 422, "refresh"),
            ("/score", [], 422, "body"),
        ],
    )
    async def test_a_wrong_request_is_refused(
        self, client: AsyncClient, path: str, body: object, status: int, word: str
    ) -> None:
        """An id that does not exist and a field that is wrong are named."""
        offer_id = await offered(client)
        await uploaded(client, 1)
        assert_problem(await client.post(path.format(offer_id), json=body), status, word)

    @pytest.mark.parametrize(
        ("prefer", "seconds"),
        [
            ("respond-async", 0),
            ("wait=0", 0),
            ("wait=1", 1),
            ("respond-async, wait=0.3", 0.3),
            ("return=minimal; foo, WAIT = 0.5", 0.5),
            ('wait="0.5"', 0.5),
            ("wait=soon", 2),
            ("", 2),
        ],
    )
    async def test_the_caller_says_how_long_to_wait(
        self, client: AsyncClient, monkeypatch: pytest.MonkeyPatch, prefer: str, seconds: float
    ) -> None:
        """Where the run is not done by then the answer is 202, with the same body and where to ask."""
        asked: list[float] = []
        wait = Runs.wait

        async def noted(runs: Runs, run: RunRequest, seconds: float) -> tuple[RunProgress, bool]:
            asked.append(seconds)
            return await wait(runs, run, 0)

        monkeypatch.setattr(Runs, "wait", noted)
        await offered(client)
        await uploaded(client, 1)
        response = await client.post("/score", headers={"Prefer": prefer})
        assert asked == [seconds]
        assert response.status_code == 202
        assert (response.json()["status"], response.json()["processed"]) == ("running", 0)
        assert response.headers["location"] == f"/runs/{response.json()['run_id']}"

    async def test_a_run_can_be_cancelled_until_it_ends(self, service: House, client: AsyncClient) -> None:
        """Asking twice is no error; what has ended, either way, is a conflict that says how it ended."""
        await offered(client)
        await uploaded(client, 3)
        endings = {}
        for cancelled in (False, True):
            run_id = (await client.post("/score", headers={"Prefer": "wait=0"})).json()["run_id"]
            for _ in range(2 if cancelled else 0):
                answer = await client.post(f"/runs/{run_id}/cancel")
                assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
                assert answer.headers["location"] == f"/runs/{run_id}"
            await service.store.note_progress(run_id, 0, 0, finished=True, cancelled=cancelled)
            endings[cancelled] = await client.post(f"/runs/{run_id}/cancel")
        assert_problem(endings[False], 409, "is finished already")
        assert_problem(endings[True], 409, "is cancelled already")
        assert_problem(await client.post("/runs/unknown/cancel"), 404, "POST /score answers the id")

    async def test_a_longer_wait_ends_with_the_run(self, service: House, client: AsyncClient) -> None:
        """Nobody waits for the clock once the run is done."""
        await offered(client)
        await uploaded(client, 1)
        asked = asyncio.create_task(client.post("/score", headers={"Prefer": "wait=50"}))

        async def published() -> list[Any]:
            return service.broker.heard_at(RunPublished.TYPE)

        [message] = await eventually(published)
        await service.broker.publish([finished(RunPublished.decode(message.body).run_id, 0, 1)])
        async with asyncio.timeout(60):
            response = await asked
        assert (response.status_code, response.json()["failed"]) == (200, 1)


async def test_the_schema_documents_what_the_routes_do(client: AsyncClient) -> None:
    """A client generated from it sends the right bodies and expects the right answers."""
    schema = (await client.get("/schema/openapi.json")).json()
    paths = schema["paths"]
    score = paths["/score"]["post"]
    assert {"200", "202"} <= set(score["responses"])
    assert "201" not in score["responses"]
    assert score["requestBody"]["required"] is False
    refresh = schema["components"]["schemas"]["ScoreRequest"]["properties"]["refresh"]
    assert (refresh["type"], refresh["default"]) == ("boolean", False)
    assert "AI answers" in refresh["description"]
    form = paths["/leads/upload"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"file", "offer_id", "encoding", "map", "duplicates", "dry_run"}
    assert form["required"] == ["file"]
    assert "201" in paths["/offer"]["post"]["responses"]


async def test_a_connection_cut_in_the_middle_keeps_nothing(service: House) -> None:
    """Half a file is neither kept nor ever scored."""
    form = form_of(("file", csv_of(20_000)))
    head = f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(form)}\r\n\r\n".encode()
    async with serving(service.app, "127.0.0.1", 0, 2) as address:
        _, writer = await send(address, "POST /leads/upload", head, form[: len(form) // 2])

        await writer.drain()
        writer.transport.abort()
    await assert_nothing_kept(service)


async def test_a_large_file_of_no_use_is_refused_before_all_of_it_came(service: House) -> None:
    """The sender of a big document reads the reason, and does not first wait for its megabytes."""
    form = form_of(("file", b"%PDF-1.7" + bytes(100_000)))
    head = f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {10**9}\r\n\r\n".encode()
    async with serving(service.app, "127.0.0.1", 0, 2) as address:
        reader, writer = await send(address, "POST /leads/upload", head, form)
        async with asyncio.timeout(60):
            answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 415")
        assert b"PDF" in answer
        writer.close()


LARGE_UPLOAD = """
import asyncio, json, resource, sys, time
from pathlib import Path
from builders import FORM, HEADER, form_of, house, send
from leadline_common.http.server import serving

FACTOR = 1 if sys.platform == "darwin" else 1024
BIO = b"ten years " * 120
BLOCKS, ROWS = 1_000, 50


async def pieces():
    before, _, after = form_of(("file", b"HERE")).partition(b"HERE")
    yield before + HEADER.encode()
    for block in range(BLOCKS):
        yield b"".join(b"Ava %d of %d,CTO,Flow,SaaS,Berlin,%s\\n" % (row, block, BIO) for row in range(ROWS))
    yield after


async def upload(address):
    reader, writer = await send(address, "POST /leads/upload")
    writer.write(f"Content-Type: {FORM['Content-Type']}\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n".encode())
    async for piece in pieces():
        writer.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
        await writer.drain()
    writer.write(b"0\\r\\n\\r\\n")
    answer = await reader.readuntil(b'"dry_run":false}')
    writer.close()
    return json.loads(answer.partition(b"\\r\\n\\r\\n")[2])


async def probe(address, slowest):
    while True:
        began = time.thread_time()
        reader, writer = await send(address, "GET /health/live", b"\\r\\n")
        await reader.readuntil(b"}")
        writer.close()
        slowest.append(time.thread_time() - began)
        await asyncio.sleep(0.01)


async def main():
    async with house(Path(sys.argv[1])) as running, serving(running.app, "127.0.0.1", 0, 2) as address:
        slowest = []
        probing = asyncio.create_task(probe(address, slowest))
        await asyncio.sleep(0.3)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report = await upload(address)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        probing.cancel()
    grown = (after - before) * FACTOR
    print(json.dumps({"inserted": report["inserted"], "grown": grown, "slowest": max(slowest)}))


asyncio.run(main())
"""


def test_a_large_upload_neither_fills_the_memory_nor_holds_others_up(tmp_path: Path) -> None:
    """60 MB stream through in a fraction of that.

    A health check is answered all the while: before its answer the one thread works on others for a moment
    at most, in processor time.
    """
    tests = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {tests!r})\n{LARGE_UPLOAD}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["inserted"] == 50_000
    assert measured["grown"] < 60_000_000
    assert measured["slowest"] < 0.5


async def test_path_and_body_may_not_name_two_offers(client: AsyncClient) -> None:
    """Nothing is taken or scored for an offer that the caller may not have meant."""
    one, two = await offered(client), await offered(client)
    assert_problem(await client.post(f"/score/{one}", json={"offer_id": two}), 422, "different offers")
    refused = await upload(client, ("offer_id", two.encode()), ("file", csv_of(1)), to=f"/leads/upload/{one}")
    assert_problem(refused, 422, "different offers")
