"""Checks outside of the machine, each with a short timeout: DNS names, registries, clocks, certificates."""

from __future__ import annotations

import ctypes
import socket
import ssl
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from ops.doctor.findings import Finding, graded

TIMEOUT = 4.0
"""Timeout for each name, registry and certificate."""

SKEW_FAILED, SKEW_WARNED = 60.0, 5.0
"""Seconds: certificates, tokens and S3 signatures depend on the clock, and so do comparisons between hosts."""

DAYS_FAILED, DAYS_WARNED = 3, 21
"""Days before a certificate expires: those of Let's Encrypt are renewed 30 days before."""

HUB = {"docker.io": "registry-1.docker.io"}
"""Registry name in image references → the host that serves its API."""

TUNNEL = "the tunnel"
"""Target of a host name that Cloudflare serves."""

UNSYNCHRONISED = 5
"""TIME_ERROR, which adjtimex(2) returns where the kernel's clock is not synchronised."""


def names(hosts: Mapping[str, str], environment: str) -> list[Finding]:
    """Resolve host names; `hosts` is name → its target. In development, an unknown name is only a warning."""
    if not hosts:
        return [Finding("DNS", "ok", "no public host name is configured")]
    answers: dict[str, list[str] | OSError] = {}

    def ask(host: str) -> None:
        try:
            entries = socket.getaddrinfo(host, 443, proto=socket.IPPROTO_TCP)
            answers[host] = sorted({str(entry[4][0]) for entry in entries})
        except OSError as error:
            answers[host] = error

    # The resolver has no timeout: a thread that takes too long is abandoned, and ends with this process.
    threads = [threading.Thread(target=ask, args=[host], daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [_resolved(host, target, answers.get(host), environment) for host, target in hosts.items()]


def _resolved(host: str, target: str, answer: list[str] | OSError | None, environment: str) -> Finding:
    if answer is None:
        return Finding("DNS", "untold", f"{host}: no answer within {TIMEOUT:.0f} s", "check the host's resolver")
    if not isinstance(answer, OSError):
        return Finding("DNS", "ok", f"{host} → {', '.join(answer)}")
    remedy = "create a DNS record that points to this host"
    if target == TUNNEL:
        remedy = "`up` creates the record at Cloudflare; then check that the zone uses Cloudflare's name servers"
    expected = environment == "development" or target == TUNNEL
    return graded("DNS", f"{host} ({target}): {answer}", remedy, failed=not expected, warning=expected)


def registries(
    hosts: Mapping[str, Collection[str] | None], started_by_up: Collection[str] = ()
) -> tuple[list[Finding], dict[str, float]]:
    """Query each registry. `hosts` is registry → images of the stack that the Docker engine lacks, or None if no
    engine answers; `started_by_up` are registries that `up` starts itself.

    Returns the findings, and registry → seconds by which its clock is ahead of ours.
    """
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(hosts, pool.map(_query_registry, hosts), strict=True))
    findings, skews = [], {}
    for host, answer in answers.items():
        if isinstance(answer, str):
            findings.append(_unreachable_registry(host, answer, hosts[host], host in started_by_up))
            continue
        findings.append(Finding("registry", "ok", f"{host} answers"))
        if answer is not None:
            skews[host] = answer
    return findings, skews


def _unreachable_registry(host: str, answer: str, missing: Collection[str] | None, started_by_up: bool) -> Finding:
    remedy = "check the network and proxy, or configure a mirror: docker: {mirror: …}"
    problem = f"{host}: {answer}"
    if started_by_up:
        return Finding("registry", "note", f"{host}, of this checkout, is not running: `up` starts it when needed")
    if missing is None:
        return Finding("registry", "untold", f"{problem}; whether the engine has its images is unknown", remedy)
    if missing:
        return Finding("registry", "failed", f"{problem}; missing on the engine: {', '.join(sorted(missing))}", remedy)
    return Finding(
        "registry", "warning", f"{problem}; the engine has all its images", f"{remedy}, before the next update"
    )


def _query_registry(host: str) -> float | str | None:
    """Return the seconds by which a registry's clock is ahead, None if it sends no date, or an error message."""
    local = host.startswith(("127.", "localhost"))
    scheme = "http" if local else "https"
    try:
        began = time.time()
        answer = httpx.get(f"{scheme}://{HUB.get(host, host)}/v2/", timeout=TIMEOUT)
        middle = (began + time.time()) / 2
    except httpx.HTTPError as error:
        return f"cannot be reached ({error or type(error).__name__})"
    if answer.status_code >= 500:
        return f"answers {answer.status_code}"
    date = answer.headers.get("Date")
    # A registry on this machine uses this machine's clock.
    return None if local or not date else parsedate_to_datetime(date).timestamp() - middle


def clock(skews: Mapping[str, float], kernel: int | None, engine: float | None) -> list[Finding]:
    """Check the clock.

    `skews` are the seconds by which registries are ahead, `kernel` is the result of adjtimex(2) (None if it cannot
    be called), `engine` the seconds by which the Docker engine's clock is ahead of ours (None if it is unknown).
    """
    remedy = "install chrony or systemd-timesyncd, and check its log"
    messages = {f"{host} is {skew:+.0f} s from this machine": abs(skew) for host, skew in skews.items()}
    if engine is not None:
        messages[f"the Docker engine's clock is {engine:+.0f} s from this machine's"] = abs(engine)
    findings = [
        graded("clock", message, remedy, failed=skew > SKEW_FAILED, warning=True)
        for message, skew in messages.items()
        if skew > SKEW_WARNED
    ]
    if findings:
        return findings
    if kernel is not None and kernel != UNSYNCHRONISED:
        return [Finding("clock", "ok", "the kernel's clock is synchronised by NTP")]
    if skews:
        least = min(abs(skew) for skew in skews.values())
        message = f"within {least + 1:.0f} s of {', '.join(skews)}, but no NTP client synchronises the kernel's clock"
        return [Finding("clock", "warning", message, remedy)]
    return [Finding("clock", "untold", "no NTP client synchronises it, and no other clock could be compared", remedy)]


def kernel_clock() -> int | None:
    """Return the kernel's clock state: the result of adjtimex(2), which needs no privileges for reading."""
    try:
        # struct timex has 208 bytes on 64-bit Linux; with all zeros, the call only reads.
        return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512)))
    except (OSError, AttributeError):
        return None


def certificate(host: str, address: str, port: int) -> list[Finding]:
    """Check the certificate that the edge presents for a host name, without a request to the service."""
    remedy = "check the traefik container's log; docs/access.md explains where certificates come from"
    try:
        with (
            socket.create_connection((address, port), timeout=TIMEOUT) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            peer: Mapping[str, Any] = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return [Finding("certificate", "failed", f"{host}: {error.verify_message}", remedy)]
    except OSError as error:
        return [Finding("certificate", "untold", f"{host} at {address}:{port}: {error}", remedy)]
    return days_left(host, ssl.cert_time_to_seconds(str(peer["notAfter"])), datetime.now(UTC).timestamp())


def days_left(host: str, ends: float, now: float) -> list[Finding]:
    """Check when a certificate expires; times are seconds since the epoch."""
    days = (ends - now) / 86400
    message = f"{host}: {days:.0f} days left"
    remedy = "renew it; Let's Encrypt's are renewed 30 days before: traefik's log says why this one was not"
    return [graded("certificate", message, remedy, failed=days < DAYS_FAILED, warning=days < DAYS_WARNED)]
