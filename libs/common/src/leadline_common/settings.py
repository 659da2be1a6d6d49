"""Settings from LEADLINE_* variables, with one clear line for whatever is missing or wrong."""

import ipaddress
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadline_common.errors import SettingsError

PREFIX = "LEADLINE_"


def check_loopback(host: str) -> str:
    """Return the host. Raises SettingsError unless it is this machine's own address."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(
            f"{host!r} is not an address of this machine alone, and Leadline has no accounts yet: "
            "use 127.0.0.1, ::1 or localhost"
        )
    return host


def _loopback(host: str) -> str:
    try:
        return check_loopback(host)
    except SettingsError as error:
        raise ValueError(str(error)) from None


LoopbackHost = Annotated[str, AfterValidator(_loopback)]
Port = Annotated[int, Field(ge=0, le=65535)]


class ServiceSettings(BaseSettings):
    """What every service of its own process is told."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    broker_url: str = Field(description="AMQP address of RabbitMQ, amqp://user:password@host:5672/")
    host: LoopbackHost = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(0, description="port to listen on")
    drain_seconds: float = Field(20.0, gt=0, le=600, description="time to finish work under way when stopped")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level to log")


Settings = TypeVar("Settings", bound=BaseSettings)


def load_settings(kind: type[Settings]) -> Settings:
    """Read the settings from the environment.

    Raises SettingsError with one line that names the first wrong variable and what it is for.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        field = kind.model_fields.get(name)
        purpose = f" ({field.description})" if field and field.description else ""
        said = "is not set" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{PREFIX}{name.upper()}{purpose}: {said}") from None
