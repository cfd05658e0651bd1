"""What the containers of Postgres and Redis have in common."""

from runtime.context import StackContext
from runtime.spec import Attachment, HealthCheck
from settings.stores import StoreHealth

STORE_USER = "999:999"
"""User and group of the official Debian-based images, both of postgres and of redis."""


def store_networks(context: StackContext, name: str) -> tuple[Attachment, ...]:
    """Return the networks of a store, on both of which it has its name as an alias."""
    return (Attachment(context.app_network, (name,)), Attachment(context.monitoring_network, (name,)))


def store_health(health: StoreHealth, *command: str) -> HealthCheck:
    """Return the health check that runs `command` in the store's container."""
    return HealthCheck(command, health.interval, health.timeout, health.retries, health.start_period)
