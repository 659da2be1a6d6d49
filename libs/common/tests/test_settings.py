"""Settings: one line that names the variable for whatever is missing or wrong."""

import os
import subprocess
import sys

import pytest
from pydantic import Field

from leadline_common.process.settings import ApiSettings, Port, ServiceSettings, check_loopback, load_settings
from leadline_contracts.errors import SettingsError

AMQP = "amqp://guest:guest@localhost/"
EVERYBODY = "0.0.0.0"  # noqa: S104 - whether it is taken is what is tested
SECRET = "3WkZ6mNQJ1yP0cT9rB8vXhLdF5gKaUe2"
OLD_SECRET = "o7YtR4eW2qA9sD6fG1hJ8kL3zX5cV0bN"


class ThingSettings(ServiceSettings):
    """Settings of a service of the tests' own."""

    port: Port = Field(8099, description="port for things")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets is set."""
    for name in [name for name in os.environ if name.startswith(("LEADLINE_", "OTEL_"))]:
        monkeypatch.delenv(name)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables overrule defaults; names of other programs do not."""
    monkeypatch.setenv("LEADLINE_BROKER_URL", AMQP)
    monkeypatch.setenv("LEADLINE_DRAIN_SECONDS", "3.5")
    monkeypatch.setenv("LEADLINE_UNKNOWN", "x")
    monkeypatch.setenv("PORT", "1")
    settings = load_settings(ThingSettings)
    assert (settings.broker_url, settings.drain_seconds) == (AMQP, 3.5)
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8099, "INFO")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BROKER_URL", None, "amqp://user:password@host:5672/): is not set"),
        ("PORT", "eighty", "(port for things): Input should be a valid integer"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("DRAIN_SECONDS", "0", "greater than 0"),
        ("LOG_LEVEL", "loud", "DEBUG|INFO|WARNING|ERROR"),
        ("HOST", "two\nlines", "(address to listen on): String should match pattern"),
        ("HOST", " ", "(address to listen on): String should match pattern"),
        ("BROKER_URL", "", "is not set"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, said: str
) -> None:
    """The line names the variable, says what it is for and what would be right."""
    monkeypatch.setenv("LEADLINE_BROKER_URL", AMQP)
    if value is None:
        monkeypatch.delenv(f"LEADLINE_{name}")
    else:
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    with pytest.raises(SettingsError) as raised:
        load_settings(ThingSettings)
    line = str(raised.value)
    assert line.startswith(f"LEADLINE_{name} (")
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://collector:4317", "http://", "nonsense"])
def test_an_address_that_takes_no_spans_is_named_as_opentelemetry_does(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    """A variable that is not ours is named as it is, with an address that would be right."""
    monkeypatch.setenv("LEADLINE_BROKER_URL", AMQP)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    with pytest.raises(SettingsError) as raised:
        load_settings(ThingSettings)
    line = str(raised.value)
    assert line.startswith("OTEL_EXPORTER_OTLP_ENDPOINT (address of a collector")
    assert "http://collector:4318): String should match pattern" in line


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machines_own_addresses_are_taken(host: str) -> None:
    """Every spelling of loopback will do."""
    assert check_loopback(host) == host


@pytest.mark.parametrize("host", [EVERYBODY, "192.168.1.5", "leadline.example", "::", "localhost.example"])
def test_who_asks_nobody_who_they_are_listens_to_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Open to all on an address that others reach is refused with both ways out; asking for tokens is not."""
    monkeypatch.setenv("LEADLINE_BROKER_URL", AMQP)
    monkeypatch.setenv("LEADLINE_JWT_SECRET", SECRET)
    monkeypatch.setenv("LEADLINE_HOST", host)
    settings = load_settings(ApiSettings)
    assert (settings.host, settings.auth) == (host, "required")

    monkeypatch.setenv("LEADLINE_AUTH", "open")
    with pytest.raises(SettingsError) as raised:
        load_settings(ApiSettings)
    line = str(raised.value)
    assert line.startswith("LEADLINE_AUTH (")
    assert repr(host) in line
    assert "127.0.0.1, ::1 or localhost" in line
    assert "LEADLINE_AUTH=required" in line

    monkeypatch.setenv("LEADLINE_HOST", "::1")
    assert load_settings(ApiSettings).auth == "open"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("x" * 31, "secret 1 of 1 has 31 bytes and needs 32"),
        (f"{SECRET},short", "secret 2 of 2 has 5 bytes and needs 32"),
        (f"{SECRET},", "secret 2 of 2 has 0 bytes and needs 32"),
    ],
)
def test_there_is_no_service_without_a_secret_of_its_own(
    monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    """A missing or short secret is refused with how to make one, and is not quoted."""
    monkeypatch.setenv("LEADLINE_BROKER_URL", AMQP)
    if value is not None:
        monkeypatch.setenv("LEADLINE_JWT_SECRET", value)
    with pytest.raises(SettingsError) as raised:
        load_settings(ApiSettings)
    line = str(raised.value)
    assert line.startswith("LEADLINE_JWT_SECRET (")
    assert said in line
    assert "secrets.token_urlsafe(48)" in line
    assert SECRET not in line


def test_secrets_are_a_list_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old secret stays in the list while the new one signs, and neither shows in print."""
    monkeypatch.setenv("LEADLINE_BROKER_URL", AMQP)
    monkeypatch.setenv("LEADLINE_JWT_SECRET", f"{SECRET}, {OLD_SECRET}")
    settings = load_settings(ApiSettings)
    assert [secret.get_secret_value() for secret in settings.jwt_secret] == [SECRET, OLD_SECRET]
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in shown
        assert OLD_SECRET not in shown


RUN = """
from leadline_contracts.errors import SettingsError, Unavailable
from leadline_common.process.main import run_main
from leadline_common.process.settings import ServiceSettings, load_settings

async def main():
    {body}

run_main(main)
print("went on")
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN.format(body=body)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://a.example/x",
        "ftp://a.example",
        "https://",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    """A page would never be let in by it, or every page; the line says how one is written."""
    for name, value in {"BROKER_URL": "amqp://mq/", "JWT_SECRET": "s" * 40}.items():
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    monkeypatch.setenv("LEADLINE_CORS_ORIGINS", " https://App.example.com:8443 ,http://[::1]:3000,")
    assert load_settings(ApiSettings).cors_origins == ("https://app.example.com:8443", "http://[::1]:3000")
    monkeypatch.setenv("LEADLINE_CORS_ORIGINS", f"https://a.example,{origin}")
    with pytest.raises(SettingsError, match=r"LEADLINE_CORS_ORIGINS.*like https://app\.example\.com"):
        load_settings(ApiSettings)


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("load_settings(ServiceSettings)", 2, "leadline: LEADLINE_BROKER_URL (AMQP address"),
        ("raise Unavailable('no connection to RabbitMQ at mq:5672')", 1, "leadline: no connection to Rabbit"),
    ],
)
def test_a_process_that_cannot_start_says_why_in_one_line(body: str, code: int, line: str) -> None:
    """Exit code 2 for a wrong setting, 1 for what cannot be reached, and no traceback."""
    done = run(body)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_process_that_ends_well_exits_with_0() -> None:
    """run_main returns when its work is over."""
    done = run("pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_bug_keeps_its_traceback() -> None:
    """What is no error of ours is not made to look like one."""
    done = run("{}['bug']")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'bug'" in done.stderr
