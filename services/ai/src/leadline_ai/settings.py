"""The settings of the ai service: LEADLINE_* variables, and those that its providers' own SDKs read."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadline_common.process.settings import Port, ServiceSettings


class AssessorSettings(BaseSettings):
    """Which assessor judges, what it may take, and what happens when it fails."""

    model_config = SettingsConfigDict(
        env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    ai: Literal["auto", "anthropic", "gemini", "openai", "offline"] = Field(
        "auto",
        description="auto, anthropic, gemini, openai or offline; auto takes the first whose key is set",
    )
    ai_model: str | None = Field(
        None, min_length=1, description="the provider's model; by default a small one"
    )
    ai_on_failure: Literal["fallback", "fail"] = Field(
        "fallback", description="fallback (the offline assessor answers) or fail (the result is partial)"
    )
    ai_attempts: int = Field(3, ge=1, le=10, description="requests a lead is worth, 1 to 10")
    ai_leads_per_request: int = Field(10, ge=1, le=50, description="leads that share a request, 1 to 50")
    ai_concurrency: int = Field(32, ge=1, le=256, description="requests to the provider at a time, 1 to 256")
    ai_timeout_seconds: float = Field(30.0, gt=0, le=120, description="time a request may take, up to 120")
    ai_run_budget_usd: float = Field(10.0, ge=0, description="US dollars a run may cost")
    ai_day_budget_usd: float = Field(50.0, ge=0, description="US dollars all runs of a day (UTC) may cost")
    ai_prices: Path | None = Field(None, description="TOML file with the prices of further models")
    anthropic_api_key: SecretStr | None = Field(None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(None, validation_alias="ANTHROPIC_BASE_URL")
    gemini_api_key: SecretStr | None = Field(None, validation_alias="GEMINI_API_KEY")
    gemini_base_url: str | None = Field(None, validation_alias="GOOGLE_GEMINI_BASE_URL")
    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(None, validation_alias="OPENAI_BASE_URL")


class AiSettings(AssessorSettings, ServiceSettings):
    """The assessor's settings with the store and those of every service."""

    store_url: str = Field(description="address of MongoDB, mongodb://host:27017/leadline?replicaSet=rs0")
    port: Port = Field(8013, description="port for health and metrics")
