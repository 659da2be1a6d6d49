"""What `leadline score` says of a file and an offer before it scores, and what it shows and writes."""

import csv
import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

from .conftest import EXAMPLES, Leadline

LEADS = EXAMPLES / "leads.csv"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_it_says_which_column_was_taken_for_what(score: Leadline, tmp_path: Path) -> None:
    """Columns, rows and the reading of the offer are said before the table, duplicates too."""
    leads = written(tmp_path / "a.csv", "Current Job,Firm,Sector\nCEO,Acme,SaaS\nCEO,Acme,SaaS\n,,\n")
    ran = score(leads)
    assert "role from 'Current Job', company from 'Firm', industry from 'Sector'" in ran.err
    assert "3 rows: 2 prospects, 1 without a prospect." in ran.err
    assert "targets: software and SaaS" in ran.err


def test_a_column_can_be_named(score: Leadline, tmp_path: Path) -> None:
    """`--map` says what a title does not; joined ones, and a wrong one with what is right."""
    leads = written(tmp_path / "a.csv", "Given,Family,Does,Sector\nAna,Prado,CEO,SaaS\n")
    ran = score(leads, "--map", "role=does", "--map", "name=Given", "--map", "name=Family")
    assert (ran.code, "Ana Prado" in ran.out, "100" in ran.out) == (0, True, False)
    assert "name from 'Given + Family', role from 'Does'" in ran.err
    wrong = score(leads, "--map", "role=Dos")
    assert (wrong.code, "Did you mean 'Does'?" in wrong.err) == (2, True)
    assert "--map role=" in score(leads, "--map", "Does").err


def test_what_was_not_understood_is_said_loudly(score: Leadline, tmp_path: Path) -> None:
    """A file without role or industry, and an offer for nobody, are warned of with what to do."""
    leads = written(tmp_path / "a.csv", "Name,Company,Does\nAna,Acme,CEO\n")
    offer = written(tmp_path / "o.json", '{"name": "X", "ideal_use_cases": ["busy owners"]}')
    ran = score(leads, "--offer", str(offer))
    assert ran.code == 0
    assert (
        "Warning: no column was taken for role and industry: say which one holds it, as in --map role="
        in ran.err
    )
    assert "not understood: 'busy owners'" in ran.err
    assert "Warning: the offer names no industry that is known" in ran.err


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    """Nothing is scored where a person says no; `--yes` is not asked."""
    leads = written(tmp_path / "a.csv", "Name,Company,Does\nAna,Acme,CEO\n")
    for more, answer, code, shown in (
        ([], b"n\n", 2, b"nothing was scored"),
        ([], b"y\n", 0, b"1 of 1"),
        (["--yes"], b"", 0, b"1 of 1"),
    ):
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "leadline_standalone", "score", str(leads), *more]
        process = subprocess.Popen(
            [*command, "--offer", str(EXAMPLES / "offer.json")],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "LEADLINE_AI": "offline"},
        )
        os.close(slave)
        screen = b""
        deadline = time.monotonic() + 120
        answered = not answer
        while time.monotonic() < deadline:
            try:
                screen += os.read(master, 4096)
            except OSError:
                break
            if not answered and b"[y/N]" in screen:
                os.write(master, answer)
                answered = True
        os.close(master)
        assert (process.wait(60), shown in screen) == (code, True), screen.decode()


def test_what_is_shown_and_written_can_be_chosen(score: Leadline) -> None:
    """`--top` shows so many, `--intent` and `--min-score` keep so much, and the summary counts all of it."""
    ran = score(LEADS, "--top", "2")
    assert "and 18 more" in ran.out
    assert "High 8, Medium 6, Low 6, failed 0; $0.00" in " ".join(ran.out.split())
    out = score(LEADS, "--intent", "high", "--output", "-", "--columns", "leadline")
    rows = list(csv.DictReader(io.StringIO(out.out)))
    assert len(rows) == 8
    assert {row["intent"] for row in rows} == {"High"}
    few = score(LEADS, "--min-score", "100", "--output", "few.csv", "--quiet")
    assert (few.code, few.out, few.err) == (0, "", "")
