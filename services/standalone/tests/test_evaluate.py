"""`leadline evaluate`: a labelled file through the whole pipeline, and what it says of the answers."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from leadline_testing.model_answers import answer_from_schema
from leadline_testing.model_behaviour import SERVER_ERROR, WRONG_KEY
from leadline_testing.model_request import Body
from leadline_testing.model_server import ModelServer

from .conftest import EXAMPLES, Leadline, Ran

LABELLED = EXAMPLES / "labelled.csv"
Evaluate = Callable[..., Ran]


@pytest.fixture
def evaluate(leadline: Leadline) -> Evaluate:
    """`leadline evaluate` of a file against the example offer."""

    def run(*arguments: str | Path, **settings: str) -> Ran:
        labelled, *more = arguments
        return leadline("evaluate", labelled, "--offer", EXAMPLES / "offer.json", *more, **settings)

    return run


@pytest.fixture
async def provider() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def with_model(evaluate: Evaluate, provider: ModelServer, *arguments: str | Path, **more: str) -> Ran:
    """Run it with the local server as Anthropic."""
    key = {
        "LEADLINE_AI": "auto",
        "ANTHROPIC_API_KEY": "sk-ant-local",
        "ANTHROPIC_BASE_URL": provider.base_url,
    }
    return await asyncio.to_thread(evaluate, *arguments, **{**key, **more})


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three rows, of which the offline assessor gets two right; the first two are the same lead."""
    path = tmp_path / "three.csv"
    path.write_text(
        "Job Title,Sector,INTENT\nCEO,SaaS,high\nCEO,SaaS,Low\nFarm hand,Dairy,LOW\n", encoding="utf-8"
    )
    return path


def test_the_example_is_evaluated_without_a_key(evaluate: Evaluate, tmp_path: Path) -> None:
    """Offline the whole report comes at no cost and without a flip, and leaves no file behind."""
    ran = evaluate(LABELLED)
    assert ran.code == 0
    assert re.search(r"^Accuracy [\d.]+% \(95 % interval [\d.]+% to [\d.]+%\): \d+ of 40 rows", ran.out, re.M)
    assert "Flips between 2 runs: 0 of 40 rows (0.0%)" in ran.out
    assert "Run 2: 40 rows judged by the offline assessor." in ran.out
    assert "nothing was spent" in ran.out
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


def test_the_figures_are_those_of_the_rows(evaluate: Evaluate, three: Path) -> None:
    """Each row is held against its own label, also where two rows are the same lead."""
    ran = evaluate(three, "--runs", "1")
    assert "2 of 3 rows got the intent they are labelled with." in ran.out
    assert re.search(r"^ High +1 +0 +0 +0 +100\.0% *$", ran.out, re.M)
    assert re.search(r"^ Low +1 +0 +1 +0 +50\.0% *$", ran.out, re.M)
    assert re.search(r"^ Precision +50\.0% +- +100\.0% *$", ran.out, re.M)
    assert re.search(r"^ 80-100 +2 +1 +50\.0% +1\.50 *$", ran.out, re.M)
    assert "Flips" not in ran.out


@pytest.mark.parametrize(("least", "code"), [("0.66", 0), ("0.67", 4)])
def test_the_gate_holds(evaluate: Evaluate, three: Path, least: str, code: int) -> None:
    """Code 4 and one line tell an accuracy below the least, and only that."""
    ran = evaluate(three, "--min-accuracy", least)
    assert ran.code == code
    assert ("leadline: the accuracy, 66.7%, is below --min-accuracy 0.67" in ran.err) == (code == 4)


def test_the_named_model_scores(evaluate: Evaluate) -> None:
    """The graded model spreads the same rows over other bands of scores."""
    standard, graded = (
        evaluate(LABELLED, "--runs", "1"),
        evaluate(LABELLED, "--runs", "1", "--model", "graded"),
    )
    assert (standard.code, graded.code) == (0, 0)
    bands = [re.findall(r"^ \d+-\d+ .*", ran.out, re.M) for ran in (standard, graded)]
    assert len(bands[0]) == len(bands[1]) == 5
    assert bands[0] != bands[1]


def test_a_row_with_a_wrong_label_is_named(evaluate: Evaluate, tmp_path: Path) -> None:
    """Rows without a usable label are reported with their column and make code 3; others are evaluated."""
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("role,industry,Intent\nCEO,SaaS,High\nCTO,SaaS,Hot\nVP,SaaS,\n", encoding="utf-8")
    ran = evaluate(labelled)
    assert ran.code == 3
    assert "1 of 1 row got" in ran.out
    assert re.search(r"^Not taken: row 3, column Intent: is none of High", ran.out, re.M)
    assert re.search(r"^Not taken: row 4, column Intent: is empty", ran.out, re.M)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([EXAMPLES / "leads.csv"], "no column intent"),
        (["nowhere.csv"], "No such file"),
        ([LABELLED, "--min-accuracy", "80"], "--min-accuracy"),
    ],
    ids=["no labels", "no file", "per cent"],
)
def test_what_cannot_be_used_is_named(evaluate: Evaluate, arguments: list[str | Path], said: str) -> None:
    """A file without labels, a missing one and an accuracy above 1 end with code 2 before anything runs."""
    ran = evaluate(*arguments)
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


async def test_each_run_buys_its_own_answers(evaluate: Evaluate) -> None:
    """Two runs of 40 rows cost eight requests; an answer that changes is reported as a flip, by its row."""
    async with ModelServer(answer=changing_its_mind(after=4)) as provider:
        ran = await with_model(evaluate, provider, LABELLED)
    assert (ran.code, provider.count) == (0, 8)
    assert "Run 1: 40 rows judged by claude-haiku-5-5." in ran.out
    spent = r"^All runs: claude-haiku-5-5: 8 requests, [\d,]+ input and [\d,]+ output tokens, \$0\.00\d\d\.$"
    assert re.search(spent, ran.out, re.M)
    assert "Flips between 2 runs: 40 of 40 rows (100.0%)" in ran.out
    assert "  Row 2: High, then Low" in ran.out
    assert "  … and 30 more" in ran.out


def changing_its_mind(after: int) -> Callable[[Body], Any]:
    """Answer High to the first requests, Low to all later ones."""
    asked = 0

    def answer(body: Body) -> Any:
        nonlocal asked
        asked += 1
        given = answer_from_schema(body)
        intent = "High" if asked <= after else "Low"
        return {"answers": [{**entry, "intent": intent} for entry in given["answers"]]}

    return answer


async def test_what_is_paid_for_does_not_hide_a_flip(evaluate: Evaluate, provider: ModelServer) -> None:
    """Over kept data the first run is free and the second still asks anew."""
    await with_model(evaluate, provider, LABELLED, "--runs", "1", "--data-dir", "kept")
    assert provider.count == 4
    ran = await with_model(evaluate, provider, LABELLED, "--data-dir", "kept")
    assert provider.count == 8
    assert "4 requests" in ran.out
    assert "40 leads answered from what was paid for before" in ran.out


async def test_unscored_rows_count_as_wrong(evaluate: Evaluate, provider: ModelServer) -> None:
    """Told to fail, a dead provider gives no row an intent: accuracy 0, said so, and the gate closes."""
    provider.behave(default=SERVER_ERROR)
    settings = {"LEADLINE_AI_ON_FAILURE": "fail", "LEADLINE_AI_ATTEMPTS": "1"}
    ran = await with_model(evaluate, provider, LABELLED, "--runs", "1", "--min-accuracy", "0.1", **settings)
    assert ran.code == 4
    assert "0 of 40 rows got" in ran.out
    assert "40 rows without an intent counted as wrong" in ran.out
    assert re.search(r"^Run 1: 40 rows not scored in full: ", ran.out, re.M)


async def test_another_assessors_answers_are_told_as_such(evaluate: Evaluate, provider: ModelServer) -> None:
    """With a wrong key one line says so before the runs, and the report says who answered in its place."""
    provider.behave(default=WRONG_KEY)
    ran = await with_model(evaluate, provider, LABELLED, "--runs", "1")
    assert ran.code == 0
    [line] = [line for line in ran.err.splitlines() if line.startswith("leadline: ")]
    assert "ANTHROPIC_API_KEY" in line
    assert "offline assessor answers" in line
    assert "Run 1: 40 rows judged by the offline assessor instead, because" in ran.out
    assert provider.count == 0
