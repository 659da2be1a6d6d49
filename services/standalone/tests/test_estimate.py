"""`leadline score --estimate`: what it promises, that it keeps it, and that it starts nothing."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadline_testing.model_behaviour import MALFORMED
from leadline_testing.model_server import ModelServer

from .conftest import EXAMPLES, Leadline, Ran

LEADS = EXAMPLES / "leads.csv"


@pytest.fixture
async def provider() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def run(score: Leadline, provider: ModelServer, *arguments: str | Path, **settings: str) -> Ran:
    """Run `leadline score` with the local server as Anthropic."""
    key = {
        "LEADLINE_AI": "auto",
        "ANTHROPIC_API_KEY": "sk-ant-local",
        "ANTHROPIC_BASE_URL": provider.base_url,
    }
    return await asyncio.to_thread(score, *arguments, **{**key, **settings})


def dollars_after(word: str, text: str) -> float:
    """Return the amount that stands after a word."""
    found = re.search(rf"{word} \$([\d.,]+\d)", text)
    assert found, text
    return float(found[1].replace(",", ""))


async def test_nothing_is_started_and_nothing_left_behind(
    score: Leadline, provider: ModelServer, tmp_path: Path
) -> None:
    """The estimate names leads, requests, model and budgets without one call, and makes no file or folder."""
    ran = await run(score, provider, LEADS, "--estimate", "--data-dir", "new")
    assert (ran.code, provider.count, provider.checks) == (0, 0, 0)
    assert ran.out.startswith("20 leads: 2 requests to claude-haiku-5-5, about ")
    assert "Budgets: $10.00 a run, $50.00 a day." in ran.out
    assert os.listdir(tmp_path) == ["temporary"]
    assert os.listdir(tmp_path / "temporary") == []


async def test_a_run_costs_what_was_said(score: Leadline, provider: ModelServer) -> None:
    """The run makes the requests that were told and costs no more than the most that was told."""
    said = (await run(score, provider, LEADS, "--estimate")).out
    ran = await run(score, provider, LEADS)
    assert re.search(r"^claude-haiku-5-5: 2 requests, ", ran.out, re.M)
    assert provider.count == 2
    cost = dollars_after("output tokens,", ran.out)
    assert 0 < cost <= dollars_after("at most", said)


async def test_what_is_paid_for_is_free_and_what_today_has_spent_is_gone(
    score: Leadline, provider: ModelServer, tmp_path: Path
) -> None:
    """Answers kept in the data directory are not counted again, as they will not be paid for again, and the
    day's budget is shown with what earlier runs left of it.
    """
    assert (await run(score, provider, LEADS, "--data-dir", "kept")).code == 0
    settings = {"LEADLINE_AI_DAY_BUDGET_USD": "0.002"}
    again = await run(score, provider, LEADS, "--estimate", "--data-dir", "kept", **settings)
    assert again.out.startswith("20 leads: 20 leads are answered already and cost nothing. ")
    assert re.search(r"\$0\.0020 a day, of which \$0\.001\d is left", again.out)

    more = tmp_path / "more.csv"
    more.write_text(f"{LEADS.read_text(encoding='utf-8')}New One,CTO,Acme,SaaS,,\n", encoding="utf-8")
    ran = await run(score, provider, more, "--estimate", "--data-dir", "kept", **settings)
    assert ran.out.startswith("21 leads: 1 request to claude-haiku-5-5, ")
    assert "; 20 leads are answered already and cost nothing. " in ran.out

    scored = await run(score, provider, LEADS, "--data-dir", "kept")
    assert "nothing was spent; 20 leads answered from what was paid for before." in scored.out
    assert provider.count == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"LEADLINE_AI_RUN_BUDGET_USD": "0.0005"},
            r"^That passes the \$0\.0005 that a run may cost: .*_RUN_",
        ),
        ({"LEADLINE_AI_RUN_BUDGET_USD": "0.003"}, r"^With long answers that may pass the \$0\.0030 .*_RUN_"),
        ({"LEADLINE_AI_DAY_BUDGET_USD": "0"}, r"^That passes the \$0\.00 that is left for today .*_DAY_"),
    ],
    ids=["passed", "perhaps passed", "day"],
)
async def test_a_budget_that_will_not_do_is_told_before(
    score: Leadline, provider: ModelServer, settings: dict[str, str], said: str
) -> None:
    """Where the estimate passes a budget a line says which, what happens then, and what to set."""
    ran = await run(score, provider, LEADS, "--estimate", **settings)
    assert ran.code == 0
    assert re.search(said, ran.out, re.M)
    assert "scored by rules alone" in ran.out


async def test_rows_that_would_be_left_out_are_named(
    score: Leadline, provider: ModelServer, tmp_path: Path
) -> None:
    """A row that cannot be taken is reported with the exit code it would have when scoring."""
    leads = tmp_path / "leads.csv"
    leads.write_text("name,role,company\nAnn,CTO,One\nBob,CEO,Two,x,y\n", encoding="utf-8")
    ran = await run(score, provider, leads, "--estimate")
    assert ran.code == 3
    assert ran.out.startswith("1 lead: 1 request to ")
    assert re.search(r"^Not taken: row 3: .*more cells", ran.out, re.M)


@pytest.mark.parametrize("assessor", ["auto", "offline"])
def test_without_a_key_it_costs_nothing(score: Leadline, assessor: str) -> None:
    """Without a key one line says that the offline assessor is free and which variables choose a model."""
    ran = score(LEADS, "--estimate", LEADLINE_AI=assessor)
    assert ran.code == 0
    [line] = ran.out.splitlines()
    assert "costs nothing" in line
    assert "ANTHROPIC_API_KEY, GEMINI_API_KEY or OPENAI_API_KEY" in line


def test_a_model_without_a_price_is_refused(score: Leadline) -> None:
    """No estimate is invented for a model whose price nobody told."""
    settings = {"LEADLINE_AI": "anthropic", "ANTHROPIC_API_KEY": "sk-ant-x", "LEADLINE_AI_MODEL": "mystery"}
    ran = score(LEADS, "--estimate", **settings)
    assert ran.code == 2
    assert "LEADLINE_AI_PRICES" in ran.err


async def test_requests_in_vain_are_told(score: Leadline, provider: ModelServer) -> None:
    """The line about a run counts every request, and says how many of them brought nothing usable."""
    provider.behave(MALFORMED)
    ran = await run(score, provider, LEADS)
    assert ran.code == 0
    assert f"claude-haiku-5-5: {provider.count} requests (1 brought nothing usable)" in ran.out


async def test_leads_over_budget_are_told(score: Leadline, provider: ModelServer) -> None:
    """Leads that a budget kept out are counted in one line with the reason and what to set."""
    ran = await run(score, provider, LEADS, LEADLINE_AI_RUN_BUDGET_USD="0.00265")
    assert ran.code == 3
    assert provider.count == 1
    assert re.search(r"^10 leads scored by rules alone: .*LEADLINE_AI_RUN_BUDGET_USD", ran.out, re.M)
    assert "Not fully scored" not in ran.out
