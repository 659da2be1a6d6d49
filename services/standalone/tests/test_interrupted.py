"""A command that ends before its run does: the run waits until somebody asks for it, and costs nothing."""

import asyncio
import csv
import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_server import ModelServer
from leadline_testing.services import standalone

from .conftest import EXAMPLES, Leadline, Ran, Running

pytestmark = pytest.mark.slow

OFFER = ("--offer", EXAMPLES / "offer.json")
KEPT = ("--data-dir", "kept")
PER_REQUEST = 5
IN_HAND = 150
"""Leads in the chunks that are under way at a time."""
LEADS = 400
"""More than the chunks in hand when the command is stopped, which are finished in five seconds."""


@pytest.fixture
async def provider() -> AsyncIterator[ModelServer]:
    """A provider that takes its time."""
    async with ModelServer(default=Behaviour(latency=0.1)) as server:
        yield server


class Paid:
    """The command with that provider set, in the test's own folder."""

    def __init__(
        self, leadline: Leadline, environment: dict[str, str], provider: ModelServer, folder: Path
    ) -> None:
        self.folder = folder
        self.provider = provider
        self.settings = {
            "LEADLINE_AI": "anthropic",
            "LEADLINE_AI_CONCURRENCY": "1",
            "LEADLINE_AI_LEADS_PER_REQUEST": str(PER_REQUEST),
            "ANTHROPIC_API_KEY": "sk-ant-local",
            "ANTHROPIC_BASE_URL": provider.base_url,
        }
        self._leadline = leadline
        self.environment = {**environment, **self.settings}

    async def run(self, *arguments: str | Path) -> Ran:
        """Run a command to its end."""
        return await asyncio.to_thread(self._leadline, *arguments, **self.settings)

    async def stopped(self, *arguments: str | Path, number: signal.Signals, requests: int = 4) -> Ran:
        """Run a command and send its process group a signal once so many requests were made."""
        running = Running(arguments, self.environment, self.folder)
        deadline = time.monotonic() + 60
        before = self.provider.count
        while self.provider.count < before + requests:
            assert time.monotonic() < deadline, "the provider was not asked"
            await asyncio.sleep(0.02)
        os.killpg(running.process.pid, number)
        return await asyncio.to_thread(running.ended)

    def file(self, name: str, count: int, *, intent: str = "") -> Path:
        """Write a file of leads called by its name; labelled where an intent is given."""
        path = self.folder / f"{name}.csv"
        rows = "".join(f"{name} {number},CTO,{intent}\n" for number in range(count))
        path.write_text(f"name,role,{'intent' if intent else 'location'}\n{rows}", encoding="utf-8")
        return path

    def asked(self, name: str) -> Counter[str]:
        """Count how often each lead of a file was asked about."""
        texts = (text for request in self.provider.requests for _, text in request.leads)
        return Counter(text for text in texts if f"{name} " in text)


@pytest.fixture
def paid(leadline: Leadline, environment: dict[str, str], provider: ModelServer, tmp_path: Path) -> Paid:
    """The command with the provider set."""
    return Paid(leadline, environment, provider, tmp_path)


def serve_and_score(paid: Paid, name: str) -> str:
    """Serve the data directory, score a file over REST, and return what the process logged."""
    log = paid.folder / "log"
    with (
        standalone(paid.folder / "kept", paid.settings, log) as process,
        httpx.Client(base_url=process.address, timeout=90, trust_env=False) as client,
    ):
        offer = client.post("/offer", json={"name": "Any"}).raise_for_status().json()["id"]
        form, file = {"offer_id": offer}, {"file": paid.file(name, 5).read_bytes()}
        client.post("/leads/upload", data=form, files=file).raise_for_status()
        ended = client.post("/score", headers={"Prefer": "wait=60"})
        assert (ended.status_code, ended.json()["processed"]) == (200, 5)
    return log.read_text(encoding="utf-8")


def kill_and_restart(paid: Paid, name: str) -> str:
    """Serve, kill the process in the middle of a run, await its end after the restart; return the log."""
    log = paid.folder / "log"
    with (
        standalone(paid.folder / "kept", paid.settings, log) as process,
        httpx.Client(base_url=process.address, timeout=90, trust_env=False) as client,
    ):
        client.post("/offer", json={"name": "Any"}).raise_for_status()
        file = {"file": paid.file(name, 100).read_bytes()}
        client.post("/leads/upload", files=file).raise_for_status()
        accepted = client.post("/score", headers={"Prefer": "respond-async"})
        deadline = time.monotonic() + 60
        while paid.provider.count < 2:
            assert time.monotonic() < deadline, "the provider was not asked"
            time.sleep(0.02)
        process.restart()
        process.await_ready()
        run = client.get(accepted.headers["Location"], params={"wait": 60}).json()
        assert (run["status"], run["scored"]) == ("finished", 100)
    return log.read_text(encoding="utf-8")


def cancel_and_restart(paid: Paid, run_id: str) -> None:
    """Serve the data directory, cancel a run over REST, and await its end after a restart."""
    with (
        standalone(paid.folder / "kept", paid.settings, paid.folder / "log") as process,
        httpx.Client(base_url=process.address, timeout=90, trust_env=False) as client,
    ):
        assert client.get(f"/runs/{run_id}").json()["status"] == "running"
        assert client.post(f"/runs/{run_id}/cancel").status_code == 202
        deadline = time.monotonic() + 60
        while client.get(f"/runs/{run_id}").json()["status"] != "cancelled":
            assert time.monotonic() < deadline, "the run was not cancelled"
            time.sleep(0.05)
        process.restart()
        process.await_ready()
        run = client.get(f"/runs/{run_id}", params={"wait": 60}).json()
        assert (run["status"], run["finished_at"] is None) == ("cancelled", False)


def assert_paid_once(asked: Counter[str]) -> None:
    """Hold that every lead was asked about, and none twice but those in flight when the command ended."""
    assert len(asked) == LEADS
    assert sum(asked.values()) <= LEADS + PER_REQUEST


def line_with(text: str, words: str) -> str:
    """Return the one line that holds these words."""
    [line] = [line for line in text.splitlines() if words in line]
    return line


def run_id_in(text: str) -> str:
    """Return the id that the advice on how to finish a run names."""
    return text.split("leadline resume ")[1].split(maxsplit=1)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
async def test_no_later_command_pays_for_a_run_that_was_cut_short(paid: Paid, number: signal.Signals) -> None:
    """Whatever is run over its data leaves it alone and tells of it; asked to, one finishes it.

    Then only the leads are asked about that have no answer yet, and every lead has its result.
    """
    cut = await paid.stopped("score", paid.file("Old", LEADS), *OFFER, *KEPT, number=number)
    asked = paid.asked("Old")
    assert 0 < len(asked) < LEADS
    paid.provider.behave(default=OK)
    if number is not signal.SIGKILL:
        assert cut.code == 130
        assert "Traceback" not in cut.err
        assert "leadline: interrupted" in cut.err
        assert "no results were written" in cut.err
        stopped = re.search(r"stopped: \d+ of 400 scored, (\d+) answers bought for \$0\.\d+;", cut.err)
        assert stopped is not None
        assert int(stopped[1]) == len(asked)
        assert sum(asked.values()) <= 5 * PER_REQUEST, "asked on after it was told to stop"
        assert f"of {LEADS} scored" in line_with(cut.err, "leadline resume")

    scored = await paid.run("score", paid.file("New", 5), *OFFER, *KEPT)
    assert (scored.code, sum(paid.asked("New").values())) == (0, 5)
    told = line_with(scored.err, "leadline resume")
    assert "--data-dir kept" in told
    assert f"of {LEADS} scored" in told
    evaluated = await paid.run("evaluate", paid.file("Judged", 5, intent="High"), *OFFER, *KEPT)
    assert (evaluated.code, sum(paid.asked("Judged").values())) == (0, 10)
    assert "leadline resume" in evaluated.err
    assert "leadline resume" in await asyncio.to_thread(serve_and_score, paid, "Served")
    assert paid.asked("Old") == asked

    finished = await paid.run("resume", run_id_in(told), "--output", "out.csv", *KEPT)
    assert finished.code == 0, finished.err
    assert f"{LEADS} of {LEADS} rows scored" in finished.out
    with (paid.folder / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["name"] for row in csv.DictReader(file)} == {f"Old {row}" for row in range(LEADS)}
    assert_paid_once(paid.asked("Old"))
    assert "leadline resume" not in (await paid.run("score", paid.folder / "New.csv", *OFFER, *KEPT)).err


async def test_a_run_that_is_finished_may_be_cut_short_again(paid: Paid) -> None:
    """Stopped while it is finished, it waits again; a wrong id is answered with those there are."""
    first = await paid.stopped("score", paid.file("Old", LEADS), *OFFER, *KEPT, number=signal.SIGKILL)
    assert first.code == -signal.SIGKILL
    wrong = await paid.run("resume", "nothing", *KEPT)
    assert (wrong.code, "Traceback" in wrong.err) == (2, False)
    run_id = wrong.err.split("unfinished there: ")[1].split(maxsplit=1)[0]
    again = await paid.stopped("resume", run_id, *KEPT, number=signal.SIGINT)
    assert (again.code, run_id in line_with(again.err, "leadline resume")) == (130, True)
    asked = paid.asked("Old")
    paid.provider.behave(default=OK)
    assert (await paid.run("score", paid.file("New", 5), *OFFER, *KEPT)).code == 0
    assert paid.asked("Old") == asked
    assert (await paid.run("resume", run_id, *KEPT)).code == 0
    assert len(paid.asked("Old")) == LEADS


async def test_a_run_that_was_cut_short_can_be_thrown_away(paid: Paid) -> None:
    """Cancelled over REST it costs nothing more, ends at the next start, and no command tells of it."""
    cut = await paid.stopped("score", paid.file("Old", LEADS), *OFFER, *KEPT, number=signal.SIGINT)
    run_id, asked = run_id_in(cut.err), paid.asked("Old")
    paid.provider.behave(default=OK)
    await asyncio.to_thread(cancel_and_restart, paid, run_id)
    assert paid.asked("Old") == asked
    scored = await paid.run("score", paid.file("New", 5), *OFFER, *KEPT)
    assert (scored.code, "leadline resume" in scored.err) == (0, False)
    assert (await paid.run("resume", run_id, *KEPT)).code == 2


async def test_an_evaluation_that_was_cut_short_waits_too(paid: Paid) -> None:
    """The run of an evaluation is left as it is, as that of a score."""
    labelled = paid.file("Judged", LEADS, intent="High")
    cut = await paid.stopped("evaluate", labelled, *OFFER, *KEPT, number=signal.SIGINT)
    assert (cut.code, f"of {LEADS} scored" in cut.err) == (130, True)
    asked = paid.asked("Judged")
    paid.provider.behave(default=OK)
    assert (await paid.run("score", paid.file("New", 5), *OFFER, *KEPT)).code == 0
    assert paid.asked("Judged") == asked
    assert (await paid.run("resume", run_id_in(cut.err), *KEPT)).code == 0
    assert_paid_once(paid.asked("Judged"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_without_a_data_directory_nothing_is_kept(paid: Paid, number: signal.Signals) -> None:
    """The command says that nothing is kept, leaves no file behind, and asks for nothing more."""
    cut = await paid.stopped("score", paid.file("Old", LEADS), *OFFER, number=number)
    assert cut.code == 130
    assert "no results were written, and nothing is kept" in cut.err
    assert "leadline resume" not in cut.err
    assert "Traceback" not in cut.err
    assert list((paid.folder / "temporary").iterdir()) == []
    assert sum(paid.asked("Old").values()) < IN_HAND


async def test_what_was_stopped_before_there_was_a_run_says_so(paid: Paid) -> None:
    """Interrupted while the file is still read, the command says that nothing was asked or paid for."""
    fifo = paid.folder / "slow.csv"
    os.mkfifo(fifo)
    running = Running(["score", fifo, *OFFER, *KEPT], paid.environment, paid.folder)
    with await asyncio.to_thread(fifo.open, "w", encoding="utf-8") as pipe:
        pipe.write("name,role\nAnn,CTO\n")
        pipe.flush()
        os.killpg(running.process.pid, signal.SIGINT)
        await asyncio.sleep(0.2)  # the thread that reads ends with the pipe
    ran = await asyncio.to_thread(running.ended)
    assert ran.code == 130
    assert "No run had begun, so nothing was asked or paid for" in ran.err
    assert "leadline: interrupted" in ran.err
    later = await paid.run("score", paid.file("New", 5), *OFFER, *KEPT)
    assert (later.code, "leadline resume" in later.err) == (0, False)
    assert paid.asked("Ann") == Counter()


def test_a_data_directory_that_is_not_there_is_not_made(leadline: Leadline, tmp_path: Path) -> None:
    """A misspelt directory is refused by name, instead of one without the run being made."""
    ran = leadline("resume", "some-run", "--data-dir", "keptt")
    assert (ran.code, "keptt" in ran.err, (tmp_path / "keptt").exists()) == (2, True, False)


async def test_a_run_of_the_server_is_finished_by_whatever_comes_next(paid: Paid) -> None:
    """What was answered with 2xx survives a kill: no command has to be asked to go on with it."""
    assert "leadline resume" not in await asyncio.to_thread(kill_and_restart, paid, "Served")
