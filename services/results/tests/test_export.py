"""Exports: what a spreadsheet or a program reads back is what was scored, and no cell is a formula."""

import csv
import io
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_contracts.errors import Problem
from leadline_contracts.scoring import LEAD_FIELDS, Lead, SourceColumn
from leadline_results.runs import own_columns
from leadline_results.runs.export import COLUMNS, ExportColumns, ExportFormat, export, neutralised
from leadline_results.runs.record import PartMessage, Record, conclude, gather, merge
from leadline_results.runs.store import Query
from leadline_testing.tables import every_row

from .builders import START, ai_answer, by_ai, by_rules, chunk, done_record

HEADER = (
    "lead_id,name,company,role,industry,location,score,intent,rule_score,ai_points,reasoning,"
    "ai_status,ai_source"
)
HEADER_ORDER = ("Ada Lovelace", "CEO", "Acme", "SaaS", "London")
LEAD = Lead(id="lead", name="Ada Lovelace", company="Acme", role="CEO", industry="SaaS", location="London")
OURS = "row,lead_id,score,intent,rule_score,ai_points,reasoning,ai_status,ai_source"
FORMULAS = ["=1+1", "+A1", "-1+cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "\t=1", "\r=1"]
NUMBERS = ["+49 171 1234", "+49 (0)171/12-34", "-5", "-1.234,56", "+49\u00a0171", "-"]
ALL = Query(owner="local")
ColumnsOf = Mapping[str, list[SourceColumn]]


class Held:
    """What a store would yield: these records in this order, and the columns of these uploads."""

    def __init__(self, records: Sequence[Record], columns: ColumnsOf | None = None) -> None:
        self._records = records
        self._columns = columns or {}
        self.taken = 0
        self.asked: list[set[str]] = []

    async def stream(self, query: Query) -> AsyncIterator[Record]:
        assert query == ALL
        for record in self._records:
            self.taken += 1
            yield record

    async def columns(self, upload_ids: Collection[str]) -> dict[str, list[SourceColumn]]:
        self.asked.append(set(upload_ids))
        return {name: columns for name, columns in self._columns.items() if name in upload_ids}

    async def uploads_by_columns(self, query: Query) -> list[str | None]:
        assert query == ALL
        uploads = dict.fromkeys(record.upload_id for record in self._records)
        return [upload_id if upload_id in self._columns else None for upload_id in uploads]


async def written(
    records: list[Record],
    kind: ExportFormat = ExportFormat.CSV,
    columns: ColumnsOf | None = None,
    which: ExportColumns = ExportColumns.OWN,
) -> str:
    """The whole file."""
    return "".join([piece async for piece in export(Held(records, columns), ALL, kind, which)])


async def rows(
    records: list[Record], columns: ColumnsOf | None = None, which: ExportColumns = ExportColumns.OWN
) -> list[dict[str, str]]:
    """The CSV file's rows, read as a spreadsheet reads them."""
    text = await written(records, columns=columns, which=which)
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def columns(**fields: str | None) -> list[SourceColumn]:
    """Columns by title, each with the field that it holds."""
    return [SourceColumn(title=title, field=field) for title, field in fields.items()]


def came(upload_id: str | None, **lead: object) -> Record:
    """A result of a prospect that came in the upload."""
    return done_record(LEAD.model_copy(update=lead), upload_id=upload_id)


async def test_leadlines_columns_alone_are_what_they_always_were() -> None:
    """Scripts that take columns by position keep working, whatever else the file held."""
    assert ",".join(COLUMNS) == HEADER
    lead = LEAD.model_copy(update={"row": 2, "extra": {"Notes": "x"}})
    text = await written([done_record(lead)], which=ExportColumns.LEADLINE)
    row = "lead,Ada Lovelace,Acme,CEO,SaaS,London,70,High,20,50,lead decides.,answered,offline"
    assert text == f"{HEADER}\r\n{row}\r\n"


async def test_csv_has_the_files_own_columns_first_and_in_their_order() -> None:
    """Whoever exports finds their table again, and beside it what was scored."""
    told = {"up": columns(Owner=None, Job="role", Firm="company", Notes=None)}
    lead = came("up", row=2, extra={"Notes": "call, please", "Owner": "Zoë"})
    row = 'Zoë,CEO,Acme,"call, please",2,lead,70,High,20,50,lead decides.,answered,offline'
    assert await written([lead], columns=told) == f"Owner,Job,Firm,Notes,{OURS}\r\n{row}\r\n"


async def test_leads_without_known_columns_have_the_six_fields() -> None:
    """Results of earlier versions lose nothing, and an empty export still has its header."""
    for upload_id in ("old", None):
        [row] = await rows([came(upload_id, linkedin_bio="Numbers.")])
        assert list(row) == [*LEAD_FIELDS, *OURS.split(",")]
        assert [row[field] for field in LEAD_FIELDS] == [*HEADER_ORDER, "Numbers."]
    assert await written([]) == f"{','.join(LEAD_FIELDS)},{OURS}\r\n"


async def test_uploads_of_several_forms_stand_side_by_side() -> None:
    """A title has one column whatever it holds in each file; what a file did not have stays empty."""
    told = {
        "a": columns(Title="role", Notes=None),
        "b": columns(Position="role", Title=None, Phone=None),
    }
    found = [
        came("a", extra={"Notes": "n"}),
        came("b", extra={"Title": "Dr.", "Phone": "+49 1"}),
        came("b", extra=None),
        came("old"),
    ]
    table = await rows(found, told)
    assert [list(row.values())[:4] for row in table] == [
        ["CEO", "n", "", ""],
        ["Dr.", "", "CEO", "+49 1"],
        ["", "", "CEO", ""],
        ["", "", "", ""],
    ]
    assert list(table[0])[:10] == ["Title", "Notes", "Position", "Phone", *LEAD_FIELDS]
    assert [row["company"] for row in table] == ["", "", "", "Acme"]


async def test_a_title_of_ours_gives_way_to_the_files() -> None:
    """A file that was exported before, or has a score of its own, keeps its columns under their titles."""
    told = {"up": [SourceColumn(title=title) for title in ("Score", "row", "leadline_row", "intent")]}
    [row] = await rows([came("up", row=5, extra={"Score": "A", "row": "1", "leadline_row": "9"})], told)
    assert (row["Score"], row["row"], row["leadline_row"]) == ("A", "1", "9")
    assert (row["leadline_score"], row["leadline_leadline_row"]) == ("70", "5")
    assert row["leadline_intent"] == "High"
    assert "lead_id" in row


async def test_titles_that_a_file_has_twice_or_not_at_all_come_back_so() -> None:
    """Columns are told apart by titles of their own, and written under those of the file."""
    told = {
        "up": [
            SourceColumn(title="Notes"),
            SourceColumn(title="Notes (2)", header="Notes"),
            SourceColumn(title="Column 3", header=""),
            SourceColumn(title="score (2)", header="score"),
        ]
    }
    text = await written([came("up", extra={"Notes (2)": "b", "Column 3": "c"})], columns=told)
    assert text.splitlines()[0].startswith("Notes,Notes,,score,row,lead_id,leadline_score,intent")
    assert text.splitlines()[1].startswith(",b,c,,,lead,70,")


async def test_a_field_that_is_not_known_yet_is_left_empty() -> None:
    """A newer ingest may tell of fields that this results does not know."""
    [row] = await rows([came("up", extra={"Web": "x"})], {"up": columns(Web="website", Job="role")})
    assert (row["Web"], row["Job"]) == ("", "CEO")


@pytest.mark.parametrize("bound", ["_UPLOADS_HELD", "_CELLS_HELD"])
async def test_columns_of_many_uploads_are_held_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Memory does not grow with the number of uploads, and every row is right."""
    monkeypatch.setattr(own_columns, bound, 10)
    told = {f"up-{n}": columns(Job="role", **{f"Notes {n % 7}": None}) for n in range(500)}
    found = [came(f"up-{n}", id=str(n), extra={f"Notes {n % 7}": str(n)}) for n in range(500)]
    table = await rows([*found, *found[:10]], told)
    assert [row[f"Notes {n % 7}"] for n, row in enumerate(table[:500])] == [str(n) for n in range(500)]
    assert {row["Job"] for row in table} == {"CEO"}
    held = Held(found, told)
    assert [piece async for piece in export(held, ALL, ExportFormat.CSV)]
    assert max(map(len, held.asked)) <= 25


async def test_more_columns_than_a_sheet_takes_are_refused_with_what_to_do() -> None:
    """An export of hundreds of different files neither fills the memory nor makes a file that none opens."""
    told = {f"up-{n}": [SourceColumn(title=f"{n}-{m}") for m in range(1_000)] for n in range(20)}
    with pytest.raises(Problem, match="upload_id=") as refused:
        await written([came(upload_id) for upload_id in told], columns=told)
    assert refused.value.status == 422


async def test_csv_leaves_empty_what_a_result_does_not_have() -> None:
    """Without an AI answer there is no intent; without a score there is no number that looks like one."""
    leads = chunk(LEAD.id, run_id="run")
    late = by_ai(leads, error="model overloaded")
    told: list[list[PartMessage]] = [
        [leads, by_rules(leads), late],
        [leads, by_rules(leads, error="no such industry"), late],
        [leads],
    ]
    found = await rows(
        [conclude(merge(None, parts), START) for part in told for parts in gather(part).values()]
    )
    names = ("score", "intent", "rule_score", "reasoning", "ai_status", "ai_source")
    assert [[row[name] for name in names] for row in found] == [
        ["20", "", "20", "Scored by rules alone: model overloaded.", "failed", "offline"],
        ["", "", "0", "Not scored: no such industry.", "failed", "offline"],
        ["", "", "0", "", "", ""],
    ]


@every_row("field", [name for name in LEAD_FIELDS if name != "linkedin_bio"])
@every_row("text", FORMULAS)
async def test_no_cell_of_a_lead_is_a_formula(field: str, text: str) -> None:
    """What a prospect's row holds is data for whoever opens the export, never a command."""
    record = done_record(LEAD.model_copy(update={field: text}))
    for which in ExportColumns:
        [row] = await rows([record], which=which)
        assert row[field] == f"'{text}"


@pytest.mark.parametrize("text", FORMULAS)
async def test_neither_titles_nor_cells_of_other_columns_are_formulas(text: str) -> None:
    """Whoever made the file that was uploaded cannot run a command at whoever opens the export."""
    [row] = await rows([came("up", extra={text: text})], {"up": [SourceColumn(title=text)]})
    assert row[f"'{text}"] == f"'{text}"


@pytest.mark.parametrize("text", NUMBERS)
async def test_a_number_comes_back_as_it_was(text: str) -> None:
    """A phone number goes back into the CRM that it came from; digits and signs alone are no formula."""
    [row] = await rows([came("up", extra={"Phone": text})], {"up": columns(Phone=None)})
    assert row["Phone"] == text


async def test_nothing_the_ai_layer_says_is_a_formula() -> None:
    """A model may be talked into an answer that starts like a formula."""
    formula = '=HYPERLINK("http://evil.example","Ada")'
    talked = ai_answer("lead").model_copy(update={"reasoning": formula, "source": formula})
    [row] = await rows([done_record(LEAD, ai=talked)])
    assert row["reasoning"] == row["ai_source"] == f"'{formula}"


@given(st.text())
def test_neutralising_changes_only_cells_that_could_be_formulas(text: str) -> None:
    """Ordinary text stays as it is; a neutralised cell starts with an apostrophe and keeps its text."""
    cell = neutralised(text)
    assert cell in {text, f"'{text}"}
    assert not cell.startswith(("=", "@", "\t", "\r"))
    assert not (cell.startswith(("+", "-")) and any(letter.isalpha() for letter in cell))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=5, max_size=5))
async def test_csv_keeps_every_text(texts: list[str]) -> None:
    """Quotes, commas, line ends of any kind and NUL come back as they went in, in their own cells."""
    fields = [name for name in LEAD_FIELDS if name != "linkedin_bio"]
    lead = LEAD.model_copy(update=dict(zip(fields, texts, strict=True)))
    [row] = await rows([done_record(lead)])
    assert [row[name].removeprefix("'") for name in fields] == [text.removeprefix("'") for text in texts]
    assert row["score"] == "70"


@pytest.mark.parametrize("count", [0, 1, 2, 700])
async def test_every_format_is_whole_for_any_number_of_results(count: int) -> None:
    """An empty export is a valid file of its kind, and a long one has each result once, in order."""
    records = [done_record(LEAD.model_copy(update={"id": f"lead-{n}"})) for n in range(count)]
    expected = [record.lead_id for record in records]
    assert [row["lead_id"] for row in await rows(records)] == expected
    as_json = json.loads(await written(records, ExportFormat.JSON))
    assert [result["lead_id"] for result in as_json] == expected
    lines = (await written(records, ExportFormat.NDJSON)).splitlines()
    assert [json.loads(line) for line in lines] == as_json


async def test_json_and_ndjson_hold_texts_and_factors_as_they_are() -> None:
    """Programs get everything a result has, with nothing neutralised and one line a result."""
    more = {"row": 7, "external_id": "crm-7", "extra": {"=A": "=B", "": "x"}}
    lead = LEAD.model_copy(update={"name": '=A "quoted"\nname, 李', **more})
    record = done_record(lead)
    [line] = (await written([record], ExportFormat.NDJSON)).splitlines()
    result = json.loads(line)
    assert result["name"] == lead.name
    assert sum(factor["points"] for factor in result["factors"]) == result["score"] == 70
    assert (result["row"], result["external_id"], result["extra"]) == (7, "crm-7", {"=A": "=B", "": "x"})
    assert json.loads(await written([record], ExportFormat.JSON)) == [result]


@pytest.mark.parametrize("kind", list(ExportFormat))
async def test_an_export_goes_out_in_pieces_while_it_is_read(kind: ExportFormat) -> None:
    """Memory stays flat: a piece is sent long before the last result is read."""
    held = Held([done_record(LEAD)] * 5_000)
    pieces = export(held, ALL, kind)
    first = await anext(pieces)
    assert 0 < held.taken < 1_500
    sizes = [len(first)] + [len(piece) async for piece in pieces]
    assert held.taken == 5_000
    assert len(sizes) > 3
    assert max(sizes) < 80_000
