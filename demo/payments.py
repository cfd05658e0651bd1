"""Love Parser's payments: what the payment provider calls back when somebody has paid.

The document names "payment callback failures" and no metric; these names are ours.
"""

from __future__ import annotations

import logging

import redis
from prometheus_client import CollectorRegistry, Counter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.jobs import Job, JobStore
from demo.requests import read_object
from demo.waiting import reason_of

LOG = logging.getLogger("demo.payments")

SIGNED = "demo-signature"
"""What the demo takes for the provider's signature; a real one is a keyed hash of the body."""

REASONS = ("body", "signature", "unknown_order", "store")
"""Why a callback can fail: not JSON, not signed by the provider, about no order, or Redis is away."""


class Payments:
    """The endpoint that the provider calls. A good callback becomes a job of the queue `payment`."""

    def __init__(self, store: JobStore, registry: CollectorRegistry) -> None:
        self.store = store
        self.received = Counter(
            "love_parser_payment_callbacks_received_total", "Callbacks of the payment provider", registry=registry
        )
        self.failed = Counter(
            "love_parser_payment_callbacks_failed_total", "Callbacks that failed", ("reason",), registry=registry
        )
        for reason in REASONS:
            self.failed.labels(reason)

    def routes(self) -> list[Route]:
        """Return the endpoint."""
        return [Route("/payments/callback", self.callback, methods=["POST"], max_body_size=4096)]

    async def callback(self, request: Request) -> Response:
        """POST /payments/callback: takes `order`, a number from 1 on, and the header `X-Signature`."""
        self.received.inc()
        if request.headers.get("X-Signature") != SIGNED:
            raise self._failure("signature", HTTPException(403, "the signature is not the provider's"))
        try:
            order = (await read_object(request)).get("order")
        except HTTPException as error:
            raise self._failure("body", error) from error
        if not isinstance(order, int) or isinstance(order, bool) or order < 1:
            raise self._failure("unknown_order", HTTPException(422, "order: there is no such order"))
        try:
            await self.store.push("payment", [Job()])
        except redis.RedisError as error:
            raise self._failure("store", error) from error
        return JSONResponse({"order": order}, status_code=202)

    def _failure(self, reason: str, error: Exception) -> Exception:
        self.failed.labels(reason).inc()
        said = error.detail if isinstance(error, HTTPException) else reason_of(error)
        LOG.error("payment callback failed: %s", said, extra={"fields": {"reason": reason}})
        return error
