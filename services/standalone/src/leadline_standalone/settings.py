"""The settings of `leadline serve` from LEADLINE_* variables, without its assessor's."""

from pydantic import Field

from leadline_common.process.settings import AuthMode, CorsOrigins, JwtSecrets, TracingSettings
from leadline_ingest.settings import TokenHours, TrustedProxies


class ServeSettings(TracingSettings):
    """Who may use the API, and where spans go. Without secrets of its own the data directory gets one."""

    auth: AuthMode = Field("open", description="required, or open: no token needed, on loopback only")
    jwt_secret: JwtSecrets = Field(
        (), description="secrets that sign tokens, instead of the data directory's"
    )
    cors_origins: CorsOrigins = Field(
        (), description="origins of pages of other sites that may call, comma separated"
    )
    token_hours: TokenHours = 12.0
    trusted_proxies: TrustedProxies = 0
