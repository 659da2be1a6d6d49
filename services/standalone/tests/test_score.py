"""`leadline score`: what it shows, what it writes, and what its exit codes tell."""

import asyncio
import csv
import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from leadline_testing.model_behaviour import OK, SERVER_ERROR, SLOW, WRONG_KEY
from leadline_testing.model_server import ModelServer

from .conftest import EXAMPLES, Leadline, Running

LEADS = EXAMPLES / "leads.csv"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_the_example_is_shown_ranked(score: Leadline, tmp_path: Path) -> None:
    """The example gives a table of its prospects, best first, as plain text where nobody watches a terminal.

    The temporary data is gone when the command has ended.
    """
    ran = score()
    assert ran.code == 0
    scores = [int(found) for found in re.findall(r"^\W*(\d+)\W+(?:High|Medium|Low)\b", ran.out, re.M)]
    assert len(scores) == 20
    assert scores == sorted(scores, reverse=True)
    assert "Ava Patel" in ran.out
    assert "20 of 20 rows scored" in ran.out
    assert not CONTROL.search(ran.out + ran.err)
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


def test_a_narrow_terminal_loses_no_name(score: Leadline, tmp_path: Path) -> None:
    """In 40 columns the table still fits, and holds every score."""
    leads = tmp_path / "one.csv"
    leads.write_text("name,role,company\nAnn Bo,CTO,Acme\n", encoding="utf-8")
    ran = score(leads, COLUMNS="40")
    assert ran.code == 0
    assert max(len(line) for line in ran.out.splitlines()) <= 40
    assert "Ann" in ran.out
    assert re.search(r"\b50\b", ran.out)


def test_terminal_codes_in_a_lead_are_not_obeyed(score: Leadline, tmp_path: Path) -> None:
    """A cell cannot clear the screen or forge a line of the report."""
    leads = tmp_path / "hostile.csv"
    leads.write_text('name,role,company\n"\x1b[2JEve\n[red]",CTO,Acme\n', encoding="utf-8")
    ran = score(leads)
    assert ran.code == 0
    assert not CONTROL.search(ran.out)
    assert "[red]" in ran.out


def test_each_output_holds_every_result(score: Leadline, tmp_path: Path) -> None:
    """CSV, JSON and NDJSON carry the same ranked results, also where the data is kept and used again."""
    scored: list[list[int]] = []
    for ending in ("csv", "json", "ndjson"):
        ran = score(LEADS, "--output", f"out.{ending}", "--data-dir", "kept")
        assert ran.code == 0
        assert f"out.{ending}" in ran.err
        scored.append([int(row["score"]) for row in read_rows(tmp_path / f"out.{ending}")])
    assert len(scored[0]) == 20
    assert scored[0] == sorted(scored[0], reverse=True)
    assert scored[0] == scored[1] == scored[2]


def test_a_csv_has_the_files_own_columns_or_leadlines_alone(score: Leadline, tmp_path: Path) -> None:
    """What a row held besides comes back beside its score; `--columns leadline` leaves it out."""
    (tmp_path / "own.csv").write_text("Mobil;Job Title;Firma\n+49 171;CEO;Öl AG\n", encoding="utf-8")
    assert score("own.csv", "--output", "out.csv").code == 0
    [row] = read_rows(tmp_path / "out.csv")
    assert list(row)[:5] == ["Mobil", "Job Title", "Firma", "row", "lead_id"]
    assert [row["Mobil"], row["Job Title"], row["Firma"], row["row"]] == ["+49 171", "CEO", "Öl AG", "2"]
    assert score("own.csv", "--output", "out.csv", "--columns", "leadline").code == 0
    [row] = read_rows(tmp_path / "out.csv")
    assert list(row)[:4] == ["lead_id", "name", "company", "role"]
    assert "Mobil" not in row


def test_the_named_model_scores(score: Leadline, tmp_path: Path) -> None:
    """Every result says that the model that was asked for made it."""
    assert score(LEADS, "--model", "graded", "--output", "out.json").code == 0
    assert {row["model"] for row in read_rows(tmp_path / "out.json")} == {"graded"}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read an output file in its format."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    rows: list[dict[str, Any]] = json.loads(
        text if path.suffix == ".json" else f"[{','.join(text.splitlines())}]"
    )
    return rows


REFUSED: dict[str, tuple[list[str | Path], str]] = {
    "missing file": (["nowhere.csv"], "nowhere.csv: No such file"),
    "header only": (["header.csv"], "header.csv: The file has a header but no rows"),
    "damaged workbook": (["book.xlsx"], "damaged or cut off"),
    "folder": (["."], "Is a directory"),
    "unknown ending": ([LEADS, "--output", "out.pdf"], "must end in one of .csv"),
    "no such folder": ([LEADS, "--output", "nowhere/out.csv"], "there is no folder nowhere"),
    "unknown model": ([LEADS, "--model", "best"], "'standard'"),
    "missing offer": ([LEADS, "--offer", "nowhere.json"], "nowhere.json: No such file"),
    "offer not JSON": ([LEADS, "--offer", "broken.json"], "broken.json: is not JSON (line 1"),
    "offer without name": ([LEADS, "--offer", "nameless.json"], "nameless.json: name: Field required"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_named(score: Leadline, tmp_path: Path, case: str) -> None:
    """A wrong file or option ends with code 2 and says which and why, before anything is scored."""
    (tmp_path / "header.csv").write_text("name,role,company\n", encoding="utf-8")
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "broken.json").write_text("{nope", encoding="utf-8")
    (tmp_path / "nameless.json").write_text('{"value_props": []}', encoding="utf-8")
    arguments, said = REFUSED[case]
    ran = score(*arguments)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert "Scoring" not in ran.err
    assert ran.out == ""
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_wrong_setting_is_named(score: Leadline) -> None:
    """A variable with a value that does not exist is one line that says what it may be, and code 2."""
    ran = score(LEADS, LEADLINE_AI="magic")
    assert ran.code == 2
    assert "LEADLINE_AI" in ran.err
    assert "offline" in ran.err


def test_rows_that_are_left_out_are_named(score: Leadline, tmp_path: Path) -> None:
    """Code 3 tells that rows are missing from the results, and the report which and why."""
    leads = tmp_path / "leads.csv"
    leads.write_text("name,role,company\nAnn,CTO,One\nBob,CEO,Two,x,y\nCy,VP,Six\n", encoding="utf-8")
    ran = score(leads)
    assert ran.code == 3
    assert "2 of 3 rows scored" in ran.out
    assert re.search(r"^Not taken: row 3: .*more cells", ran.out, re.M)


async def test_what_the_provider_did_not_answer_is_named(score: Leadline) -> None:
    """Told to fail rather than to fall back, the command ends with code 3 and names who has half a score."""
    async with ModelServer() as provider:
        provider.behave(OK, default=SERVER_ERROR)
        ran = await asyncio.to_thread(
            score,
            LEADS,
            LEADLINE_AI="anthropic",
            LEADLINE_AI_ATTEMPTS="1",
            LEADLINE_AI_ON_FAILURE="fail",
            ANTHROPIC_API_KEY="sk-ant-local",
            ANTHROPIC_BASE_URL=provider.base_url,
        )
    assert ran.code == 3
    assert "10 of 20 rows scored" in ran.out
    assert len(re.findall(r"^Not fully scored: .*500", ran.out, re.M)) == 10


@pytest.mark.parametrize(
    ("on_failure", "code", "said"),
    [("fallback", 0, "the offline assessor answers"), ("fail", 3, "scored by rules alone")],
)
async def test_a_wrong_key_is_told_before_anything_is_scored(
    score: Leadline, on_failure: str, code: int, said: str
) -> None:
    """One line says what is wrong, what to set and what happens now, and the provider is not asked."""
    async with ModelServer(default=WRONG_KEY) as provider:
        ran = await asyncio.to_thread(
            score,
            LEADS,
            LEADLINE_AI="auto",
            LEADLINE_AI_ON_FAILURE=on_failure,
            ANTHROPIC_API_KEY="sk-ant-local",
            ANTHROPIC_BASE_URL=provider.base_url,
        )
    assert (ran.code, provider.count) == (code, 0)
    [line] = [line for line in ran.err.splitlines() if line.startswith("leadline: ")]
    assert "set ANTHROPIC_API_KEY" in line
    assert said in line
    assert ran.err.index(line) < ran.err.index("Scoring")


def test_a_missing_key_is_told(score: Leadline) -> None:
    """Whoever chose no assessor learns who answers, and which variables would change that."""
    ran = score(LEADS, LEADLINE_AI="auto")
    assert ran.code == 0
    [line] = [line for line in ran.err.splitlines() if line.startswith("leadline: ")]
    assert "offline assessor answers, since none of ANTHROPIC_API_KEY, GEMINI_API_KEY, OPENAI_API_KEY" in line


async def test_ctrl_c_ends_it_quietly(environment: dict[str, str], tmp_path: Path) -> None:
    """Interrupted in the middle of a run, the command stops soon, without a traceback or files left over."""
    async with ModelServer(default=SLOW) as provider:
        settings = {
            "LEADLINE_AI": "anthropic",
            "ANTHROPIC_API_KEY": "sk-ant-local",
            "ANTHROPIC_BASE_URL": provider.base_url,
        }
        running = Running(
            ["score", LEADS, "--offer", EXAMPLES / "offer.json"], {**environment, **settings}, tmp_path
        )
        deadline = time.monotonic() + 60
        while provider.count == 0:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        running.process.send_signal(signal.SIGINT)
        ran = await asyncio.to_thread(running.ended)
    assert ran.code == 130
    assert "Traceback" not in ran.out + ran.err
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_input_is_never_overwritten(score: Leadline, tmp_path: Path) -> None:
    """Naming the file of leads as the output is refused, and the file stays as it was."""
    leads = tmp_path / "leads.csv"
    leads.write_text("name,role,company\nAnn Bo,CTO,Acme\n", encoding="utf-8")
    ran = score(leads, "--output", leads)
    assert ran.code == 2
    assert "is an input" in ran.err
    assert leads.read_text(encoding="utf-8").startswith("name,role")


def test_a_file_of_bad_rows_alone_names_them(score: Leadline, tmp_path: Path) -> None:
    """Where no row can be taken the reasons are shown, with the code of rows that were not scored."""
    leads = tmp_path / "bad.csv"
    leads.write_text("name,role,company\na,b,c,d,e\n", encoding="utf-8")
    ran = score(leads)
    assert ran.code == 3
    assert "row 2" in ran.out


def test_each_part_of_the_work_counts_rows(score: Leadline, tmp_path: Path) -> None:
    """Reading, scoring and writing have a bar each, which counts rows of the file and tells the rate."""
    leads = tmp_path / "leads.csv"
    rows = "".join(f"Ann {number},CTO,One\n" for number in range(40))
    leads.write_text("name,role,company\n" + rows + "Bob,CEO,Two,x,y\n", encoding="utf-8")
    ran = score(leads, "--output", "out.csv")
    bars = re.findall(r"^(\w+)[^━\n]*━+ +(\d+)/(\d+) .*rows/s", ran.err, re.M)
    assert [bar[0] for bar in bars] == ["Reading", "Scoring", "Writing"]
    assert all(done == total != "0" for _, done, total in bars)
    assert bars[0][1] == "41"
