"""The settings of the results service, from LEADLINE_* variables."""

from pydantic import Field

from leadline_common.process.settings import ApiSettings, Port


class ResultsSettings(ApiSettings):
    """The common settings and the store."""

    store_url: str = Field(description="address of MongoDB, mongodb://host:27017/leadline?replicaSet=rs0")
    port: Port = Field(8014, description="port for results, runs, health and metrics")
