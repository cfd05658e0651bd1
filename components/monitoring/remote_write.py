"""Remote write in Prometheus' configuration, and the secret files that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from runtime.secret_files import required_secret
from settings.base import secret_refs
from settings.remote_write import RemoteWrite
from settings.units import format_duration

SECRETS = "secrets"
"""Folder beside prometheus.yml. Prometheus reads its files at each request, so a new secret needs no restart."""


def remote_write_files(receivers: Sequence[RemoteWrite]) -> dict[str, pulumi.Input[str]]:
    """Return the secret files beside the configuration that the receivers refer to: path → content."""
    names = {name for name, _ in secret_refs(receivers)}
    return {f"{SECRETS}/{name}": required_secret(name) for name in sorted(names)}


def remote_write_config(receiver: RemoteWrite) -> dict[str, Any]:
    """Return one entry of `remote_write`. Secrets are paths relative to the configuration, never values."""
    tls = {
        **({"ca": receiver.tls.ca} if receiver.tls.ca else {}),
        **({"server_name": receiver.tls.server_name} if receiver.tls.server_name else {}),
        **({"insecure_skip_verify": True} if receiver.tls.insecure_skip_verify else {}),
    }
    relabel = [_by_name("keep", receiver.keep), _by_name("drop", receiver.drop)]
    queue = receiver.queue
    return {
        "name": receiver.name,
        "url": receiver.url,
        "remote_timeout": format_duration(receiver.timeout),
        **({"headers": dict(receiver.headers)} if receiver.headers else {}),
        **_authorization(receiver),
        **({"tls_config": tls} if tls else {}),
        **({"write_relabel_configs": rules} if (rules := [rule for rule in relabel if rule]) else {}),
        "queue_config": {
            "capacity": queue.capacity,
            "max_shards": queue.max_shards,
            "max_samples_per_send": queue.max_samples_per_send,
            "batch_send_deadline": format_duration(queue.batch_send_deadline),
            "min_backoff": format_duration(queue.min_backoff),
            "max_backoff": format_duration(queue.max_backoff),
            "retry_on_http_429": queue.retry_on_http_429,
        },
    }


def _authorization(receiver: RemoteWrite) -> dict[str, Any]:
    if receiver.basic_auth:
        file = f"{SECRETS}/{receiver.basic_auth.password}"
        return {"basic_auth": {"username": receiver.basic_auth.username, "password_file": file}}
    if receiver.bearer_token:
        return {"authorization": {"type": "Bearer", "credentials_file": f"{SECRETS}/{receiver.bearer_token}"}}
    return {}


def _by_name(action: str, patterns: Sequence[str]) -> dict[str, Any]:
    if not patterns:
        return {}
    regex = "|".join(f"(?:{pattern})" for pattern in patterns)
    return {"source_labels": ["__name__"], "regex": regex, "action": action}
