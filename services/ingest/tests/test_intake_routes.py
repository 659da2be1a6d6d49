"""Uploads and offers as an ops person and a program use them: mapping, duplicates, balance, reading back."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response

from leadline_common.broker.port import Message
from leadline_contracts.scoring import LeadsAccepted
from leadline_ingest.prospects.store import Prospect
from leadline_ingest.runs.store import RunRequest

from .builders import FORM, House, eventually, form_of, offer
from .claims import claimed
from .test_routes import assert_nothing_kept, assert_problem, client, offered, service, upload

__all__ = ["client", "service"]


async def taken(client: AsyncClient, text: str, **fields: str) -> Any:
    """Upload a file with these fields and return the answer."""
    response = await sent(client, text, **fields)
    assert response.status_code == 201, response.text
    return response.json()


async def sent(client: AsyncClient, text: str, **fields: str) -> Response:
    parts = [(name, value.encode()) for name, value in fields.items()]
    return await upload(client, ("file", text.encode()), *parts)


def balances(report: Any) -> bool:
    parts = ("inserted", "duplicates", "rejected_count", "blank")
    return bool(report["rows"] == sum(report[part] for part in parts))


async def prospects(service: House, report: Any) -> list[Prospect]:
    kept = await service.store.upload("local", report["upload_id"])
    assert kept is not None
    run = RunRequest(id=f"look-{kept.id}", owner="local", offer=offer(), model="standard")
    return await claimed(service.store, run, kept, 1, kept.last_row)


@pytest.mark.parametrize("place", ["before", "after", "query"])
async def test_a_mapping_may_stand_anywhere(service: House, client: AsyncClient, place: str) -> None:
    """Where the client puts it changes nothing; what was taken for what is in the answer."""
    text = b"What we call it,Sector,Firm\nCEO,SaaS,Acme\n"
    mapping = ("map", json.dumps({"role": "what we call it", "company": None}).encode())
    if place == "query":
        to = f"/leads/upload?map={mapping[1].decode()}"
        response = await client.post(to, content=form_of(("file", text)), headers=FORM)
    else:
        parts = [mapping, ("file", text)] if place == "before" else [("file", text), mapping]
        response = await upload(client, *parts)
    report = response.json()
    assert report["columns"] == {"role": "What we call it", "industry": "Sector"}
    [found] = await prospects(service, report)
    assert (found.lead.role, found.lead.company, found.lead.extra) == ("CEO", "", {"Firm": "Acme"})


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"map": '{"role": "Jobb"}'}, "no column 'Jobb'"),
        ({"map": '{"rol": "Job"}'}, "map.rol"),
        ({"map": "role=Job"}, "must be JSON"),
        ({"map": '{"role": 3}'}, "map.role"),
        ({"duplicates": "maybe"}, "skip"),
        ({"dry_run": "perhaps"}, "true or false"),
        ({"encoding": "latin-9000"}, "windows-1251"),
    ],
)
async def test_a_wrong_field_is_named(
    service: House, client: AsyncClient, fields: dict[str, str], word: str
) -> None:
    """What is wrong is said in words, and nothing of the file is kept."""
    assert_problem(await sent(client, "Job,Company\nCEO,Acme\n", **fields), 422, word)
    await assert_nothing_kept(service)


async def test_every_row_is_accounted_for(client: AsyncClient) -> None:
    """Prospects, duplicates, rejected rows and rows without a prospect add up to the rows of the file."""
    text = (
        "Leads\n\nName,Role,Company,Industry,Email\n"
        "Ana,CEO,Acme,SaaS,ana@acme.example\n"
        "ANA,ceo , acme,saas,\n"
        "Ana P.,Chief,Acme,SaaS,Ana@Acme.example\n"
        "Bob,CTO,Beta,SaaS,info@beta.example\n"
        "Cy,CFO,Beta,SaaS,info@beta.example\n"
        "Dee,CFO,Beta,SaaS,d@beta.example,more\n"
        ",,,,\nName,Role,Company,Industry,Email\n---,---,---,---,---\n\nTotal,,,,\n"
    )
    report = await taken(client, text)
    counts = [report[name] for name in ("rows", "inserted", "duplicates", "rejected_count", "blank")]
    assert counts == [11, 3, 2, 1, 5]
    assert balances(report)
    assert [(one["row"], one["of_row"], one["by"]) for one in report["duplicate_rows"]] == [
        (5, 4, "fields"),
        (6, 4, "mark"),
    ]
    shown = (await client.get(f"/uploads/{report['upload_id']}")).json()
    assert {name: shown[name] for name in report} == report
    assert shown["uploaded_at"]


async def test_duplicates_of_earlier_uploads(service: House, client: AsyncClient) -> None:
    """The same file again adds nobody, but for another offer or where duplicates are to be kept."""
    text = "Name,Role,LinkedIn URL\nAna,CEO,https://de.linkedin.com/in/Ana-P/?x=1\nBob,CTO,\n"
    first = await taken(client, text)
    again = await taken(client, text.replace("Ana,CEO,https://de.", "A. Prado,CFO,http://www."))
    assert (again["inserted"], again["duplicates"]) == (0, 2)
    assert {one["of_upload_id"] for one in again["duplicate_rows"]} == {first["upload_id"]}
    assert balances(again)

    for_offer = await taken(client, text, offer_id=await offered(client))
    assert (for_offer["inserted"], for_offer["duplicates"]) == (2, 0)
    kept = await taken(client, text, duplicates="keep")
    assert (kept["inserted"], kept["duplicates"]) == (2, 0)
    assert len(await prospects(service, kept)) == 2


async def test_a_dry_run_stores_nothing(service: House, client: AsyncClient) -> None:
    """It reports what an upload would, with duplicates within the file, and leaves no trace."""
    report = await taken(client, "Name,Role\nAna,CEO\nAna,CEO\nBob\n", dry_run="true")
    counts = [report[name] for name in ("rows", "inserted", "duplicates", "rejected_count", "blank")]
    assert counts == [3, 2, 1, 0, 0]
    assert (report["upload_id"], report["dry_run"]) == (None, True)
    await assert_nothing_kept(service)
    assert (await client.get("/uploads")).json() == []


async def test_rejected_rows_come_back_as_a_file(client: AsyncClient) -> None:
    """They can be corrected and sent again: their own columns first, then row, column and reason."""
    report = await taken(client, 'Name,Role\nAna,CEO\n"Bo, Li",CTO,x\n"open,CFO\n')
    answer = await client.get(f"/uploads/{report['upload_id']}/errors.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["Name", "Role", "row", "column", "reason"]
    assert [row[:4] for row in rows] == [["Bo, Li", "CTO", "3", ""], ["", "", "4", "Name"]]
    assert all(row[4] for row in rows)


async def test_a_run_sends_the_other_columns_and_rows(service: House, client: AsyncClient) -> None:
    """Results can give every column back: those of the file, in its order, go with the leads."""
    await offered(client)
    await taken(client, "Phone,Name,Role,Record ID\n+49 1,Ana,CEO,hs-0001\n")
    await client.post("/score", headers={"Prefer": "respond-async"})

    async def published() -> list[Message]:
        return service.broker.heard_at(LeadsAccepted.TYPE)

    [chunk] = await eventually(published)
    body = json.loads(chunk.body)
    assert body["columns"] == [
        {"title": "Phone"},
        {"title": "Name", "field": "name"},
        {"title": "Role", "field": "role"},
        {"title": "Record ID"},
    ]
    [lead] = body["leads"]
    assert (lead["row"], lead["external_id"]) == (2, "hs-0001")
    assert lead["extra"] == {"Phone": "+49 1", "Record ID": "hs-0001"}


async def test_an_offer_is_read_back(client: AsyncClient) -> None:
    """Whoever writes an offer sees whom it is taken to be for, and is warned where that is nobody."""
    wanted = {"name": "Herd", "ideal_use_cases": ["dental clinics", "busy owners"]}
    made = (await client.post("/offer", json=wanted)).json()
    assert any("dental" in target for target in made["reading"]["targets"])
    assert made["reading"]["not_understood"] == ["busy owners"]
    assert made["warnings"] == []
    nobody = (await client.post("/offer", json={"name": "X", "ideal_use_cases": ["busy owners"]})).json()
    assert "busy owners" in nobody["warnings"][0]
    listed = await client.get("/offers?limit=1")
    assert [one["id"] for one in listed.json()] == [nobody["id"]]
    more = listed.headers["link"].partition(">")[0].removeprefix("<")
    assert [one["id"] for one in (await client.get(more)).json()] == [made["id"]]
    assert (await client.get(f"/offers/{made['id']}")).json() == made
    assert_problem(await client.get("/offers/nope"), 404, "POST /offer")


async def test_a_full_disk_or_too_many_files_are_said(client: AsyncClient, tmp_path: Path) -> None:
    """A file that there is no room for is answered 503, and nothing of it stays."""
    from leadline_ingest.prospects import spool

    room = spool.SpoolRoom(limit=10)
    room.take(10)
    with pytest.raises(Exception, match="No room"):
        room.take(1)
    room.give_back(10)
    room.take(10)


async def test_a_run_against_an_offer_for_nobody_says_so(client: AsyncClient) -> None:
    """Whoever starts a run that gives nobody points for industry is told, before they read the ranking."""
    await client.post("/offer", json={"name": "X", "ideal_use_cases": ["busy owners"]})
    await taken(client, "Name,Role\nAna,CEO\n")
    started = (await client.post("/score", headers={"Prefer": "respond-async"})).json()
    assert "busy owners" in started["warnings"][0]
    await offered(client)
    assert (await client.post("/score", headers={"Prefer": "respond-async"})).json()["warnings"] == []
