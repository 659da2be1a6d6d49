"""What `leadline serve` is told by LEADLINE_* variables, apart from its assessor."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadline_common.process.settings import PREFIX, AuthMode, JwtSecrets
from leadline_ingest.settings import TokenHours, TrustedProxies


class ServeSettings(BaseSettings):
    """Whom to let in. Without secrets of its own the data directory has one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    auth: AuthMode = Field("open", description="required, or open: no token needed, on loopback only")
    jwt_secret: JwtSecrets = Field(
        (), description="secrets that sign tokens, instead of the data directory's"
    )
    token_hours: TokenHours = 12.0
    trusted_proxies: TrustedProxies = 0
