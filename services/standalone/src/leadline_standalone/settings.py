"""The settings of `leadline serve` from LEADLINE_* variables, without its assessor's."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadline_common.process.settings import PREFIX, AuthMode, JwtSecrets
from leadline_ingest.settings import TokenHours, TrustedProxies


class ServeSettings(BaseSettings):
    """Who may use the API. Where no secrets are set, one is kept in the data directory."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    auth: AuthMode = Field("open", description="required, or open: no token needed, on loopback only")
    jwt_secret: JwtSecrets = Field(
        (), description="secrets that sign tokens, instead of the data directory's"
    )
    token_hours: TokenHours = 12.0
    trusted_proxies: TrustedProxies = 0
