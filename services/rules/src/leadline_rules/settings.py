"""The settings of the rules service, from LEADLINE_* variables."""

from pydantic import Field

from leadline_common.process.settings import Port, ServiceSettings


class RulesSettings(ServiceSettings):
    """The common settings; health and metrics stand on a port of their own."""

    port: Port = Field(8012, description="port for health and metrics")
