"""What the ai service is told by LEADLINE_* variables, and ANTHROPIC_* ones for its provider."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadline_common.settings import Port, ServiceSettings


class AssessorSettings(BaseSettings):
    """Which assessor judges, and what happens when it fails."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", extra="ignore", populate_by_name=True)

    ai: Literal["auto", "anthropic", "offline"] = Field(
        "auto", description="auto, anthropic or offline; auto takes anthropic where ANTHROPIC_API_KEY is set"
    )
    ai_model: str = Field("claude-haiku-5-5", min_length=1, description="the provider's model")
    ai_on_failure: Literal["fallback", "fail"] = Field(
        "fallback", description="fallback (the offline assessor answers) or fail (the result is partial)"
    )
    ai_attempts: int = Field(3, ge=1, le=10, description="calls a lead is worth, 1 to 10")
    ai_concurrency: int = Field(32, ge=1, le=256, description="requests to the provider at a time, 1 to 256")
    ai_timeout_seconds: float = Field(15.0, gt=0, le=120, description="time a request may take, up to 120")
    anthropic_api_key: SecretStr | None = Field(None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(None, validation_alias="ANTHROPIC_BASE_URL")


class AiSettings(AssessorSettings, ServiceSettings):
    """The assessor's settings with those of every service."""

    port: Port = Field(8013, description="port for health and metrics")
