"""The part of Prometheus' configuration that sends samples on, and the secrets that it needs as files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from settings.remote_write import RemoteWrite
from settings.units import format_duration

SECRETS = "secrets"
"""Folder beside prometheus.yml. Prometheus reads a file in it at each request: a new secret needs no restart."""


def remote_write_config(receivers: Sequence[RemoteWrite]) -> list[dict[str, Any]]:
    """Return the `remote_write` section. Secrets are paths relative to the configuration, never values."""
    return [_receiver(one) for one in receivers]


def remote_write_files(receivers: Sequence[RemoteWrite]) -> dict[str, pulumi.Input[str]]:
    """Return the secrets that the section reads: path → content, for the volume with the configuration."""
    given = pulumi.Config("dockyard")
    names = {one.secret[0] for one in receivers if one.secret}
    # In a preview that goes on without secrets there is none.
    return {f"{SECRETS}/{name}": given.get_secret(name) or pulumi.Output.secret("") for name in sorted(names)}


def _receiver(one: RemoteWrite) -> dict[str, Any]:
    tls = {
        **({"ca": one.tls.ca} if one.tls.ca else {}),
        **({"server_name": one.tls.server_name} if one.tls.server_name else {}),
        **({"insecure_skip_verify": True} if one.tls.insecure_skip_verify else {}),
    }
    relabel = [_by_name("keep", one.keep), _by_name("drop", one.drop)]
    queue = one.queue
    return {
        "name": one.name,
        "url": one.url,
        "remote_timeout": format_duration(one.timeout),
        **({"headers": dict(one.headers)} if one.headers else {}),
        **_authorization(one),
        **({"tls_config": tls} if tls else {}),
        **({"write_relabel_configs": found} if (found := [rule for rule in relabel if rule]) else {}),
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


def _authorization(one: RemoteWrite) -> dict[str, Any]:
    if one.basic_auth:
        file = f"{SECRETS}/{one.basic_auth.password}"
        return {"basic_auth": {"username": one.basic_auth.username, "password_file": file}}
    if one.bearer_token:
        return {"authorization": {"type": "Bearer", "credentials_file": f"{SECRETS}/{one.bearer_token}"}}
    return {}


def _by_name(action: str, patterns: Sequence[str]) -> dict[str, Any]:
    if not patterns:
        return {}
    regex = "|".join(f"(?:{pattern})" for pattern in patterns)
    return {"source_labels": ["__name__"], "regex": regex, "action": action}
