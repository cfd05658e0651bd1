"""Download official software, verify its checksum, and give up early where a site cannot be reached.

A machine on a closed network must not wait: each site is tried once per process for a few seconds, and one that does
not answer then counts as unreachable for all later downloads. A partial download is never used.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import tenacity

from machine.files import new_folder
from machine.progress import Say, format_seconds

_PROCESSORS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

PULUMI_DOWNLOADS = ("DOCKYARD_PULUMI_DOWNLOADS", "https://get.pulumi.com")
GITHUB_DOWNLOADS = ("DOCKYARD_GITHUB_DOWNLOADS", "https://github.com")
"""Environment variable that names a company's mirror, and the official download site that it replaces."""

CONNECT_SECONDS = 4.0
"""Time in which all sites together must answer, name resolution included."""
STALL_SECONDS = 10.0
"""A transfer that receives nothing for this long counts as broken."""
SMALL_SECONDS = 15.0
"""Total time limit for a checksum file."""
ARCHIVE_SECONDS = 900.0
"""Total time limit for an archive (at most 200 MB): below that speed, building is faster."""

_reach: dict[str, str] = {}
"""Site → why it cannot be reached, or "" when it answered."""
_reach_lock = threading.Lock()


class UnavailableError(Exception):
    """A file cannot be downloaded from its official site; the message is a clause such as `HOST answered 403`."""


def system() -> str:
    """Return the download sites' name of this machine's operating system, `linux` or `darwin`."""
    return platform.system().lower()


def processor() -> str:
    """Return the download sites' name of this machine's processor, `amd64` or `arm64`."""
    return _PROCESSORS.get(platform.machine().lower(), platform.machine())


def download_release(cache: Path, repository: str, version: str, checksums: str, archive: str, say: Say) -> Path:
    """Return the unpacked folder of a release of Pulumi or of one of its plugins; download it unless it is cached.

    `checksums` is the file of the release on GitHub that lists the checksum of `archive`, a path below `releases/` on
    Pulumi's download site. A mirror named in the environment replaces either site. Raises UnavailableError.
    """
    filename = archive.rpartition("/")[2]
    target = cache / filename.removesuffix(".tar.gz")
    if not target.is_dir():
        downloads, github = (os.environ.get(*site).rstrip("/") for site in (PULUMI_DOWNLOADS, GITHUB_DOWNLOADS))
        check_reach([downloads, github])
        listing = f"{github}/pulumi/{repository}/releases/download/v{version}/{checksums}"
        checksum = _read_checksum(listing, filename)
        say(f"downloading {repository.removeprefix('pulumi-')} {version}")
        _download_archive(f"{downloads}/releases/{archive}", checksum, target, say)
    return target


def _host(url: str) -> str:
    return httpx.URL(url).netloc.decode()


def check_reach(sites: Iterable[str]) -> None:
    """Try all sites in parallel, each once per process. Raises UnavailableError naming one that does not answer."""
    sites = list(sites)
    with _reach_lock:
        untried = [address for address in sites if address not in _reach]
        silence = f"did not answer within {format_seconds(CONNECT_SECONDS)}"
        reasons = {address: f"{_host(address)} {silence}" for address in untried}

        def probe(address: str) -> None:
            try:
                httpx.head(address, timeout=CONNECT_SECONDS, follow_redirects=False)
                reasons[address] = ""
            except httpx.TimeoutException:
                pass
            except httpx.HTTPError as error:
                reasons[address] = f"{_host(address)} cannot be reached ({error})"

        # Daemon threads: name resolution can hang far longer than any socket timeout.
        probes = [threading.Thread(target=probe, args=(address,), daemon=True) for address in untried]
        for thread in probes:
            thread.start()
        deadline = time.monotonic() + CONNECT_SECONDS
        for thread in probes:
            thread.join(max(0.0, deadline - time.monotonic()))
        _reach.update(reasons)
        for address in sites:
            if _reach[address]:
                raise UnavailableError(_reach[address])


class _BrokenOffError(UnavailableError):
    """A transfer broke off, or the server answered 5xx: worth a retry."""


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(_BrokenOffError),
    stop=tenacity.stop_after_attempt(2),
    wait=tenacity.wait_fixed(0.5),
    reraise=True,
)
def _receive(url: str, target: Path, seconds: float, say: Say | None = None) -> None:
    """Write the response of `url` to `target`. Raises UnavailableError; `target` may then hold partial content."""
    host, began, reported, size = _host(url), time.monotonic(), time.monotonic(), 0
    timeout = httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS)
    try:
        with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as answer, target.open("wb") as file:
            if answer.status_code != 200:
                error_type = _BrokenOffError if answer.status_code >= 500 else UnavailableError
                raise error_type(f"{host} answered {answer.status_code}")
            total = int(answer.headers.get("content-length", 0))
            for chunk in answer.iter_raw():
                size += file.write(chunk)
                now = time.monotonic()
                if now - began > seconds:
                    raise UnavailableError(f"{host} was too slow: {size >> 20} MB in {format_seconds(now - began)}")
                if say and now - reported > 5:
                    say(f"{size >> 20} of {total >> 20} MB")
                    reported = now
    except httpx.ConnectTimeout as error:
        raise UnavailableError(f"{host} did not answer within {format_seconds(CONNECT_SECONDS)}") from error
    except httpx.TimeoutException as error:
        raise UnavailableError(f"{host} sent nothing for {format_seconds(STALL_SECONDS)}") from error
    except httpx.ConnectError as error:
        raise UnavailableError(f"{host} cannot be reached ({error})") from error
    except httpx.HTTPError as error:
        raise _BrokenOffError(f"{host} closed the connection after {size >> 10} kB") from error


def _read_checksum(url: str, filename: str) -> str:
    """Return the checksum of `filename` from the list at `url`: SHA-256, or SHA-1 where the list has that.

    Raises UnavailableError when the list cannot be fetched or has no line for the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "checksums"
        _receive(url, listing, SMALL_SECONDS)
        text = listing.read_text(errors="replace")
    line = re.compile(rf"^([0-9a-f]{{40}}|[0-9a-f]{{64}})\s+[*.]?/?{re.escape(filename)}$", re.MULTILINE)
    if not (match := line.search(text)):
        raise UnavailableError(f"{_host(url)} lists no checksum of {filename}")
    return match[1]


def _download_archive(url: str, checksum: str, target: Path, say: Say) -> None:
    """Download a .tar.gz, verify it and unpack it as the folder `target`. Raises UnavailableError."""
    with new_folder(target) as unpacked:
        archive = unpacked.with_name("archive")
        _receive(url, archive, ARCHIVE_SECONDS, say)
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha1" if len(checksum) == 40 else "sha256").hexdigest()
        if digest != checksum:
            raise UnavailableError(f"{_host(url)} sent a file whose checksum is wrong")
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UnavailableError(f"{_host(url)} sent an incomplete archive ({error})") from error
