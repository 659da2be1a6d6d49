"""The composition root of the ai service."""

from leadline_ai.assessor import Assessor
from leadline_ai.assessors.offline import OfflineAssessor
from leadline_ai.handler import AiHandler
from leadline_ai.metrics import AiMetrics
from leadline_ai.policy import Policy
from leadline_ai.settings import AiSettings, AssessorSettings
from leadline_common.broker import Broker
from leadline_common.brokers.rabbitmq import RabbitBroker
from leadline_common.consumer import Consumer
from leadline_common.errors import SettingsError
from leadline_common.logs import configure_logging
from leadline_common.metrics import Metrics, new_registry
from leadline_common.service import Service, running, until_signalled
from leadline_common.settings import load_settings
from leadline_common.topology import AI
from leadline_common.worker_health import serving_health

_WORKERS = 3
"""Chunks judged at a time: three fill the provider's concurrency, and at the default settings even a provider
that hangs on every attempt has answered them by fallback within the time a batch may take."""


def build(broker: Broker, policy: Policy, metrics: Metrics) -> Service:
    """Return the service over the given broker, judging by the given policy."""
    handler = AiHandler(policy, AiMetrics(metrics.registry))
    consumer = Consumer(broker, handler, [AI], metrics, prefetch=_WORKERS, workers=_WORKERS)
    return Service("ai", consumers=[consumer], checks={"broker": broker.ping})


def build_policy(settings: AssessorSettings) -> Policy:
    """Return the policy the settings ask for.

    Raises SettingsError where anthropic is asked for by name and there is no key.
    """
    offline = OfflineAssessor()
    return Policy(
        assessor=_chosen(settings) or offline,
        offline=offline,
        on_failure=settings.ai_on_failure,
        attempts=settings.ai_attempts,
    )


def _chosen(settings: AssessorSettings) -> Assessor | None:
    key = settings.anthropic_api_key
    if settings.ai == "anthropic" and key is None:
        raise SettingsError(
            "ANTHROPIC_API_KEY: LEADLINE_AI=anthropic needs the key; or set LEADLINE_AI=offline"
        )
    if settings.ai == "offline" or key is None:
        return None
    from leadline_ai.assessors.anthropic import AnthropicAssessor  # noqa: PLC0415 - a second of start-up

    return AnthropicAssessor(
        key.get_secret_value(),
        model=settings.ai_model,
        base_url=settings.anthropic_base_url,
        concurrency=settings.ai_concurrency,
        deadline=settings.ai_timeout_seconds,
    )


async def main() -> None:
    """Run the service until it is told to stop."""
    settings = load_settings(AiSettings)
    configure_logging("ai", settings.log_level)
    metrics = Metrics(new_registry())
    policy = build_policy(settings)
    broker = await RabbitBroker.connect(settings.broker_url)
    try:
        async with running([build(broker, policy, metrics)], settings.drain_seconds) as health:
            with serving_health(health, metrics.registry, settings.host, settings.port):
                await until_signalled(health)
    finally:
        await broker.close()
        await policy.assessor.close()
