"""Pull images: find out which registries answer and which images Docker has, and explain errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import docker
import httpx
import requests
from docker.errors import APIError
from docker.utils import parse_repository_tag
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_fixed

PROBE_TIMEOUT = 3.0
"""Seconds in which a registry must answer; otherwise it counts as unreachable."""

SAY_EVERY = 5.0
"""Seconds between two progress messages of a long pull."""

_ADDRESSES = {"docker.io": "registry-1.docker.io"}
_LOOPBACK = ("127.", "localhost", "[::1]")


class PullError(Exception):
    """An image cannot be pulled; the message is one line."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True)
class LocalImages:
    """The images that Docker has: every tag and every digest, as Docker lists them."""

    names: frozenset[str]

    @classmethod
    def of(cls, client: docker.DockerClient) -> LocalImages:
        """List Docker's images."""
        lists = [names or [] for image in client.api.images() for names in (image["RepoTags"], image["RepoDigests"])]
        return cls(frozenset(name for names in lists for name in names))

    def has(self, reference: str) -> bool:
        """Tell whether Docker has an image: by digest if the reference has one, else by tag."""
        name, _, digest = familiar_name(reference).partition("@")
        return (f"{repository(name)}@{digest}" if digest else name) in self.names


def has_registry(reference: str) -> bool:
    """Tell whether a reference names its registry, by Docker's rule: a dot, a port, or `localhost`."""
    host, slash, _ = reference.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost")


def familiar_name(reference: str) -> str:
    """Return a reference as Docker lists it: without `docker.io/` and `library/`."""
    return reference.removeprefix("docker.io/library/").removeprefix("docker.io/")


def repository(reference: str) -> str:
    """Return a reference without its tag and digest."""
    return parse_repository_tag(reference.partition("@")[0])[0]


def reachable(hosts: Sequence[str]) -> dict[str, str]:
    """Probe registries in parallel; return host → why it cannot be reached, empty when it answers.

    A host may include a path (`mirror.example.com:5000/images`). A host with a port is also tried without TLS, since
    only Docker's settings know whether it is an insecure registry. Takes at most PROBE_TIMEOUT for all together.
    """
    with ThreadPoolExecutor(2 * len(hosts) + 1) as pool:
        futures = {host: [pool.submit(_probe, url) for url in _addresses(host)] for host in hosts}
        answers = {host: [probe.result() for probe in probes] for host, probes in futures.items()}
    return {host: "" if "" in reasons else reasons[0] for host, reasons in answers.items()}


def _addresses(host: str) -> list[str]:
    name = host.split("/", 1)[0]
    address = _ADDRESSES.get(name, name)
    schemes = ["http"] if address.startswith(_LOOPBACK) else ["https", "http"] if ":" in address else ["https"]
    return [f"{scheme}://{address}/v2/" for scheme in schemes]


def _probe(url: str) -> str:
    try:
        answer = httpx.get(url, timeout=PROBE_TIMEOUT)
    except httpx.TimeoutException:
        return f"no answer within {PROBE_TIMEOUT:.0f} s"
    except httpx.HTTPError as error:
        return str(error).partition("] ")[2] or str(error) or type(error).__name__
    if answer.status_code in (httpx.codes.OK, httpx.codes.UNAUTHORIZED):
        return ""
    return f"it answers {answer.status_code} {answer.reason_phrase}, unlike a registry"


@retry(
    stop=stop_after_attempt(2),
    wait=wait_fixed(2),
    retry=retry_if_exception(lambda error: isinstance(error, PullError) and error.passing),
    reraise=True,
)
def pull(client: docker.DockerClient, reference: str, say: Callable[[str], None]) -> str:
    """Pull one image and return its reference, pinned to the digest that was pulled.

    A broken connection is retried once. Raises PullError with the reason in one line.
    """
    name, _, digest = reference.partition("@")
    target = f"{repository(name)}@{digest}" if digest else name
    size: dict[str, tuple[int, int]] = {}
    reported = time.monotonic()
    try:
        for event in client.api.pull(target, stream=True, decode=True):
            if "error" in event:
                raise _explain(str(event["error"]))
            if event.get("status") == "Downloading":
                detail = event.get("progressDetail") or {}
                size[event["id"]] = int(detail.get("current", 0)), int(detail.get("total", 0))
            if size and time.monotonic() - reported > SAY_EVERY:
                received, total = (sum(part) for part in zip(*size.values(), strict=True))
                reported = time.monotonic()
                say(f"{received / 1e6:.0f} of {total / 1e6:.0f} MB")
    except APIError as error:
        raise _explain(str(error.explanation or error)) from error
    except requests.RequestException as error:
        raise PullError(f"lost the connection to the engine: {error}", passing=True) from error
    return reference if digest else f"{name}@{local_digest(client, name)}"


def digest_now(client: docker.DockerClient, reference: str) -> str:
    """Return the digest that a tag has now, by asking the registry through Docker.

    Raises PullError with the reason in one line.
    """
    try:
        return str(client.images.get_registry_data(reference).id)
    except APIError as error:
        raise _explain(str(error.explanation or error)) from error
    except requests.RequestException as error:
        raise PullError(f"lost the connection to the engine: {error}", passing=True) from error


def local_digest(client: docker.DockerClient, reference: str) -> str:
    """Return the digest under which Docker has the image of a tag, "" when it comes from no registry."""
    name, digests = repository(familiar_name(reference)), client.images.get(reference).attrs["RepoDigests"]
    return next((str(entry.partition("@")[2]) for entry in digests if entry.startswith(f"{name}@")), "")


def _explain(message: str) -> PullError:
    """Turn Docker's error message into one line that says what to do, for known causes."""
    lower = message.lower()
    if "no space left" in lower:
        return PullError("the engine's disk is full")
    if "manifest unknown" in lower or "not found" in lower:
        return PullError("the registry does not have it")
    if "unauthorized" in lower or "denied" in lower or "authentication required" in lower:
        return PullError("the registry requires a log-in (docker login), or has no such image")
    if "toomanyrequests" in lower or "rate limit" in lower:
        return PullError("the registry's rate limit is exceeded; log in, or try again later")
    passing = any(word in lower for word in ("timeout", "reset by peer", "eof", "temporary failure"))
    return PullError(" ".join(message.split()), passing=passing)
