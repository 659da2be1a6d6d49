"""`leadline serve` with accounts: whom it lets in, and the secret it keeps."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadline_contracts.errors import SettingsError
from leadline_standalone.secret import kept_secret
from leadline_testing.services import standalone

from .conftest import Leadline

pytestmark = pytest.mark.slow

REQUIRED = {"LEADLINE_AI": "offline", "LEADLINE_AUTH": "required"}
ANN = {"email": "ann@example.com", "password": "correct horse"}


def call(address: str, method: str, path: str, token: str = "", **content: Any) -> httpx.Response:
    """Send a request, with a token where one is given."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, address + path, headers=headers, timeout=30, trust_env=False, **content)


def test_a_token_is_good_after_a_restart(tmp_path: Path) -> None:
    """The secret is kept, for its user's eyes alone, so nobody has to log in again because of a restart."""
    with standalone(tmp_path / "data", REQUIRED, tmp_path / "log") as process:
        assert call(process.address, "GET", "/results").status_code == 401
        session = call(process.address, "POST", "/auth/signup", json=ANN).json()
        process.restart()
        process.await_ready()
        me = call(process.address, "GET", "/auth/me", session["access_token"])
        assert me.json() == session["user"]
    assert (tmp_path / "data" / "jwt-secret").stat().st_mode & 0o777 == 0o600


def test_by_default_it_is_open_and_a_user_is_still_a_user(tmp_path: Path) -> None:
    """On a laptop nobody has to log in: what comes without a token is `local`'s, and users have theirs."""
    settings = {"LEADLINE_AI": "offline", "LEADLINE_JWT_SECRET": "x" * 32}
    with standalone(tmp_path / "data", settings, tmp_path / "log") as process:
        token = call(process.address, "POST", "/auth/signup", json=ANN).json()["access_token"]
        offer = call(process.address, "POST", "/offer", json={"name": "Local"}).json()
        upload = {"file": b"name,role\nKim,CEO\n"}
        path = f"/leads/upload/{offer['id']}"
        assert call(process.address, "POST", path, files=upload).status_code == 201
        assert call(process.address, "POST", path, token, files=upload).status_code == 404
        assert call(process.address, "GET", "/results", "wrong").status_code == 401
    assert not (tmp_path / "data" / "jwt-secret").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "LEADLINE_AUTH=required"),
        ({"LEADLINE_AUTH": "open"}, "LEADLINE_AUTH=required"),
        ({"LEADLINE_AUTH": "perhaps"}, "LEADLINE_AUTH ("),
        ({"LEADLINE_AUTH": "required", "LEADLINE_JWT_SECRET": "short"}, "LEADLINE_JWT_SECRET ("),
    ],
)
def test_it_does_not_start_where_it_would_let_in_anybody(
    leadline: Leadline, tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    """On an address that others reach it is closed or does not start, and leaves no data behind."""
    everybody = "0.0.0.0"  # noqa: S104 - that is what is refused
    ran = leadline("serve", "--host", everybody, "--data-dir", "data", **settings)
    assert ran.code == 2
    assert said in ran.err
    assert not (tmp_path / "data").exists()


def test_a_data_directory_keeps_its_secret(tmp_path: Path) -> None:
    """Each directory has one secret, the same at every start, also after a crash that left half of one."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "jwt-secret.new").write_text("half")
    secrets = [kept_secret(tmp_path / name).get_secret_value() for name in ("one", "one", "other")]
    assert secrets[0] == secrets[1] != secrets[2]
    assert len(secrets[0].encode()) >= 32
    assert os.listdir(tmp_path / "one") == ["jwt-secret"]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40])
def test_a_spoilt_secret_is_named(tmp_path: Path, content: bytes) -> None:
    """A file that holds no good secret is not silently used nor replaced, which would end every token."""
    (tmp_path / "jwt-secret").write_bytes(content)
    with pytest.raises(SettingsError, match="jwt-secret"):
        kept_secret(tmp_path)
    assert (tmp_path / "jwt-secret").read_bytes() == content
