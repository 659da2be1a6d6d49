"""What the ingest service is told by LEADLINE_* variables."""

from pydantic import Field

from leadline_common.settings import Port, ServiceSettings


class IngestSettings(ServiceSettings):
    """The common settings and the store."""

    store_url: str = Field(description="address of MongoDB, mongodb://host:27017/leadline?replicaSet=rs0")
    port: Port = Field(8011, description="port for offers, uploads, scoring, health and metrics")
