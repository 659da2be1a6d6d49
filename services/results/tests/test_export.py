"""Exports: what a spreadsheet or a program reads back is what was scored, and no cell is a formula."""

import csv
import io
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_contracts.scoring import LEAD_FIELDS, Lead
from leadline_results.runs.export import COLUMNS, ExportFormat, export, neutralised
from leadline_results.runs.record import PartMessage, Record, conclude, gather, merge
from leadline_testing.tables import every_row

from .builders import START, ai_answer, by_ai, by_rules, chunk, done_record

HEADER = (
    "lead_id,name,company,role,industry,location,score,intent,rule_score,ai_points,reasoning,"
    "ai_status,ai_source"
)
LEAD = Lead(id="lead", name="Ada Lovelace", company="Acme", role="CEO", industry="SaaS", location="London")
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


async def written(records: list[Record], kind: ExportFormat) -> str:
    """The whole file."""
    return "".join([piece async for piece in export(stream(records), kind)])


async def stream(records: list[Record]) -> AsyncIterator[Record]:
    """The records one by one, as a store yields them."""
    for record in records:
        yield record


async def rows(records: list[Record]) -> list[dict[str, str]]:
    """The CSV file's rows, read as a spreadsheet reads them."""
    text = await written(records, ExportFormat.CSV)
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


async def test_csv_has_the_documented_columns_in_order() -> None:
    """Scripts that take columns by position keep working."""
    assert ",".join(COLUMNS) == HEADER
    text = await written([done_record(LEAD)], ExportFormat.CSV)
    row = "lead,Ada Lovelace,Acme,CEO,SaaS,London,70,High,20,50,lead decides.,answered,offline"
    assert text == f"{HEADER}\r\n{row}\r\n"


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
    [row] = await rows([done_record(LEAD.model_copy(update={field: text}))])
    assert row[field] == f"'{text}"


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
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


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
    lead = LEAD.model_copy(update={"name": '=A "quoted"\nname, 李'})
    record = done_record(lead)
    [line] = (await written([record], ExportFormat.NDJSON)).splitlines()
    result = json.loads(line)
    assert result["name"] == lead.name
    assert sum(factor["points"] for factor in result["factors"]) == result["score"] == 70
    assert json.loads(await written([record], ExportFormat.JSON)) == [result]


@pytest.mark.parametrize("kind", list(ExportFormat))
async def test_an_export_goes_out_in_pieces_while_it_is_read(kind: ExportFormat) -> None:
    """Memory stays flat: a piece is sent long before the last result is read."""
    taken = 0

    async def counted() -> AsyncIterator[Record]:
        nonlocal taken
        for _ in range(5_000):
            taken += 1
            yield done_record(LEAD)

    pieces = export(counted(), kind)
    first = await anext(pieces)
    assert 0 < taken < 1_500
    sizes = [len(first)] + [len(piece) async for piece in pieces]
    assert taken == 5_000
    assert len(sizes) > 3
    assert max(sizes) < 80_000
