"""Requests with an Idempotency-Key, before and after `leadline serve` is killed."""

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

import httpx

from leadline_testing.services import standalone

ROWS = 40_000
"""Enough to be killed while they are stored, which begins when all of the file came."""
HEADER = b"name,role,company,industry,location,linkedin_bio\n"


def form(file: bytes, boundary: str) -> tuple[dict[str, str], bytes]:
    """An upload form around the file, and the headers that tell of it."""
    body = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'.encode()
    kind = f"multipart/form-data; boundary={boundary}"
    return {"Content-Type": kind, "Idempotency-Key": "file"}, body + file + f"\r\n--{boundary}--\r\n".encode()


def await_rows(file: Path) -> None:
    """Return once the first rows of an upload are stored."""
    deadline = time.monotonic() + 60
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        while not database.execute("SELECT 1 FROM prospects LIMIT 1").fetchone():
            assert time.monotonic() < deadline, "no row was stored"
            time.sleep(0.02)


def test_a_killed_upload_is_sent_again_and_counts_once(tmp_path: Path) -> None:
    """After kill -9 while it is stored the same key takes the whole file at once; what was answered stays."""
    file = HEADER + b"".join(b"Ava %d,CTO,Acme,SaaS,Berlin,bio\n" % row for row in range(ROWS))
    with (
        standalone(tmp_path / "data", {"LEADLINE_AI": "offline"}, tmp_path / "log") as process,
        httpx.Client(base_url=process.address, timeout=60, trust_env=False) as http,
    ):
        once = {"Idempotency-Key": "offer"}
        offer = http.post("/offer", json={"name": "Any"}, headers=once)

        def cut_short() -> None:
            headers, body = form(file, "first")
            with contextlib.suppress(httpx.TransportError):
                httpx.post(
                    f"{process.address}/leads/upload",
                    content=body,
                    headers=headers,
                    timeout=60,
                    trust_env=False,
                )

        sending = threading.Thread(target=cut_short)
        sending.start()
        await_rows(tmp_path / "data" / "ingest.db")
        headers, body = form(file, "second")
        assert http.post("/leads/upload", content=body, headers=headers).status_code == 409
        process.restart()
        sending.join()
        process.await_ready()

        again = http.post("/leads/upload", content=body, headers=headers)
        assert (again.status_code, again.json()["inserted"]) == (201, ROWS)
        repeated = http.post("/leads/upload", content=form(file, "third")[1], headers=form(file, "third")[0])
        assert (repeated.json(), repeated.headers["Idempotent-Replayed"]) == (again.json(), "true")
        replayed = http.post("/offer", json={"name": "Any"}, headers=once)
        assert (replayed.json(), replayed.headers["Idempotent-Replayed"]) == (offer.json(), "true")
        run = http.post("/score", headers={"Prefer": "wait=60"}).raise_for_status().json()
        assert run["queued"] == ROWS
