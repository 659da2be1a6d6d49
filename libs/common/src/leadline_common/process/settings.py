"""Settings from LEADLINE_* variables, with one clear line for whatever is missing or wrong."""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from leadline_common.http.auth import MIN_SECRET_BYTES
from leadline_common.process.listening import is_loopback
from leadline_contracts.errors import SettingsError

PREFIX = "LEADLINE_"
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'


def check_loopback(host: str) -> str:
    """Return the host. Raises SettingsError unless it is this machine's own address."""
    if not is_loopback(host):
        raise SettingsError(
            f"{host!r} is not an address of this machine alone, and LEADLINE_AUTH=open asks nobody who they "
            "are: use 127.0.0.1, ::1 or localhost, or set LEADLINE_AUTH=required"
        )
    return host


def _split_secrets(value: object) -> object:
    if not isinstance(value, str):
        return value
    secrets = [secret.strip() for secret in value.split(",")]
    for number, secret in enumerate(secrets, 1):
        if (size := len(secret.encode())) < MIN_SECRET_BYTES:
            raise ValueError(
                f"secret {number} of {len(secrets)} has {size} bytes and needs {MIN_SECRET_BYTES}; "
                f"make one with {_MAKE_ONE}"
            )
    return secrets


def _read_origins(value: object) -> object:
    """Return the origins of a comma-separated text. Raises ValueError for one that no browser would send."""
    if not isinstance(value, str):
        return value
    origins = [origin.strip().lower() for origin in value.split(",") if origin.strip()]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin[:100]!r} is no origin; write scheme, host and port as a browser sends them, "
                "like https://app.example.com, without a path, a slash at the end or *"
            )
    return origins


AuthMode = Literal["required", "open"]
"""Whether a request needs a token, or without one is the owner `local`."""
JwtSecrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_secrets)]
"""Comma separated; the first signs tokens, all of them verify."""
CorsOrigins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_origins)]
"""Comma separated origins of pages that may call, each as a browser sends it."""
Port = Annotated[int, Field(ge=0, le=65535)]


class TracingSettings(BaseSettings):
    """Where spans go, in OpenTelemetry's own variables; its SDK reads further ones by itself."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/]+",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="address of a collector that takes OTLP over HTTP, http://collector:4318",
    )
    otel_service_name: str | None = Field(None, validation_alias="OTEL_SERVICE_NAME")


class ServiceSettings(TracingSettings):
    """What every service of its own process is told."""

    broker_url: str = Field(description="AMQP address of RabbitMQ, amqp://user:password@host:5672/")
    host: str = Field("127.0.0.1", pattern=r"^[\w.:%-]+$", description="address to listen on")
    port: Port = Field(0, description="port to listen on")
    drain_seconds: float = Field(20.0, gt=0, le=600, description="time to finish work under way when stopped")
    revision: str = Field("unknown", max_length=100, description="source revision of what runs, for metrics")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level to log")


class ApiSettings(ServiceSettings):
    """What a service is told that answers people: also whom to let in."""

    auth: AuthMode = Field("required", description="required, or open: no token needed, on loopback only")
    jwt_secret: JwtSecrets = Field(
        description=f"secret that signs tokens, the same for all services; make one with {_MAKE_ONE}"
    )

    cors_origins: CorsOrigins = Field(
        (), description="origins of pages of other sites that may call, comma separated"
    )

    @field_validator("auth")
    @classmethod
    def _open_on_loopback(cls, auth: AuthMode, info: ValidationInfo) -> AuthMode:
        if auth == "open" and "host" in info.data:
            try:
                check_loopback(info.data["host"])
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return auth


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
        fields = {field.validation_alias or key: field for key, field in kind.model_fields.items()}
        field = fields.get(name)
        purpose = f" ({field.description})" if field and field.description else ""
        said = "is not set" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        variable = name if field and field.validation_alias else f"{PREFIX}{name.upper()}"
        raise SettingsError(f"{variable}{purpose}: {said}") from None
