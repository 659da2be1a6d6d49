"""The settings of the ingest service, from LEADLINE_* variables."""

from typing import Annotated

from pydantic import Field

from leadline_common.process.settings import ApiSettings, Port

TokenHours = Annotated[float, Field(gt=0, le=8760, description="hours for which an access token is good")]
TrustedProxies = Annotated[
    int,
    Field(
        ge=0,
        le=10,
        description="proxies in front that each add to X-Forwarded-For whom they were called by, 0 to 10",
    ),
]


class IngestSettings(ApiSettings):
    """The common settings, the store's, and those of accounts."""

    store_url: str = Field(description="address of MongoDB, mongodb://host:27017/leadline?replicaSet=rs0")
    port: Port = Field(8011, description="port for offers, uploads, scoring, health and metrics")
    token_hours: TokenHours = 12.0
    trusted_proxies: TrustedProxies = 0
