"""Files of every kind, over real HTTP and on the command line."""

import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from leadline_testing.services import ServiceProcess, standalone

from .conftest import Leadline

ROWS = [
    ["name", "role", "company"],
    ["Алексей Смирнов", "Генеральный директор", "ООО «Ромашка»"],  # noqa: RUF001 - Russian
    ["Ольга Кузнецова", "C\u200bEO", "Сибирский лес"],
]
TEXT = "\n".join(";".join(row) for row in ROWS)
LEGACY = TEXT.replace("\u200b", "").encode("cp1251")


def workbook() -> bytes:
    """The rows as an Excel workbook."""
    related = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    cells = ["".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in row) for row in ROWS]
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": _relations(f"{related}/officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns:r="{related}"><sheet name="Leads" r:id="a"/></workbook>',
        "xl/_rels/workbook.xml.rels": _relations(f"{related}/worksheet", "sheet.xml"),
        "xl/sheet.xml": f"<worksheet>{''.join(f'<row>{row}</row>' for row in cells)}</worksheet>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, xml in parts.items():
            archive.writestr(name, xml)
    return buffer.getvalue()


def _relations(kind: str, target: str) -> str:
    return f'<Relationships><Relationship Id="a" Type="{kind}" Target="{target}"/></Relationships>'


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A running server for all tests here."""
    folder = tmp_path_factory.mktemp("files")
    with standalone(folder / "data", {"LEADLINE_AI": "offline"}, folder / "log") as process:
        yield process


def upload(serving: ServiceProcess, data: bytes, query: str = "", **fields: str) -> httpx.Response:
    """Upload a file, whoever is known; the fields come behind it, as curl sends them."""
    fields["duplicates"] = "keep"
    files = [("file", ("leads", data, "application/octet-stream"))]
    files += [(name, (None, value)) for name, value in fields.items()]  # type: ignore[misc]
    return httpx.post(f"{serving.address}/leads/upload{query}", files=files, timeout=30, trust_env=False)


@pytest.mark.parametrize(
    ("data", "query", "fields", "found"),
    [
        (TEXT.encode(), "", {}, ("utf-8", ";", None)),
        (LEGACY, "", {}, ("windows-1251", ";", None)),
        (
            TEXT.replace("\u200b", "").encode("koi8-r", "ignore"),
            "?encoding=KOI8-R",
            {},
            ("koi8-r", ";", None),
        ),
        (
            TEXT.replace("\u200b", "").encode("cp866", "ignore"),
            "",
            {"encoding": "cp866"},
            ("cp866", ";", None),
        ),
        (gzip.compress(TEXT.replace(";", "|").encode("utf-16")), "", {}, ("utf-16-le", "|", None)),
        (workbook(), "", {}, (None, None, "Leads")),
    ],
    ids=["utf-8", "guessed", "in the query", "behind the file", "gzip", "workbook"],
)
def test_each_kind_is_taken_and_scored(
    serving: ServiceProcess,
    data: bytes,
    query: str,
    fields: dict[str, str],
    found: tuple[str | None, str | None, str | None],
) -> None:
    """The answer says how a file was read, and its leads are scored by what it says to a person."""
    answer = upload(serving, data, query, **fields)
    assert answer.status_code == 201, answer.text
    report = answer.json()
    assert (report["encoding"], report["delimiter"], report["sheet"]) == found
    assert (report["inserted"], report["rejected_count"]) == (2, 0)
    with httpx.Client(base_url=serving.address, trust_env=False, timeout=60) as client:
        client.post("/offer", json={"name": "CRM", "ideal_use_cases": ["SaaS"]}).raise_for_status()
        body = {"upload_id": report["upload_id"]}
        client.post("/score", json=body, headers={"Prefer": "wait=30"}).raise_for_status()
        results = client.get("/results", params={"upload_id": report["upload_id"]}).json()
    by_name = {result["lead"]["name"] if "lead" in result else result["name"]: result for result in results}
    assert set(by_name) == {"Алексей Смирнов", "Ольга Кузнецова"}
    factors = by_name["Ольга Кузнецова"]["factors"]
    assert next(factor["points"] for factor in factors if factor["factor"] == "role") == 20


@pytest.mark.parametrize(
    ("data", "query", "status", "word"),
    [
        (LEGACY, "?encoding=latin-9000", 422, "windows-1251"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "", 415, "Save As > CSV UTF-8"),
        (workbook()[:-9], "", 400, "damaged"),
    ],
    ids=["unknown encoding", "old workbook", "damaged workbook"],
)
def test_what_cannot_be_read_is_told(
    serving: ServiceProcess, data: bytes, query: str, status: int, word: str
) -> None:
    """The problem says what the file is or lacks, and what to do."""
    answer = upload(serving, data, query)
    assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text


def test_the_command_takes_the_same_files(score: Leadline, tmp_path: Path) -> None:
    """`leadline score` reads a packed file in an encoding that is named, and says what it took."""
    (tmp_path / "leads.csv.gz").write_bytes(
        gzip.compress(TEXT.replace("\u200b", "").encode("cp866", "ignore"))
    )
    (tmp_path / "leads.xlsx").write_bytes(workbook())
    ran = score(tmp_path / "leads.csv.gz", "--encoding", "cp866", "--output", "out.json", COLUMNS="200")
    assert ran.code == 0, ran.err
    assert "cp866, ';'" in re.sub(r"\s+", " ", ran.err)
    assert "Генеральный директор" in json.dumps(read(tmp_path), ensure_ascii=False)
    ran = score(tmp_path / "leads.xlsx", "--output", "out.json", COLUMNS="200")
    assert (ran.code, "sheet Leads" in ran.err) == (0, True), ran.err
    ran = score(tmp_path / "leads.xlsx", "--encoding", "latin-9000")
    assert (ran.code, "windows-1251" in ran.err) == (2, True)


def read(folder: Path) -> object:
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))
