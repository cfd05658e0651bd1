"""Health checks as commands that run in the container itself."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.spec import HealthCheck
from settings.container import Health

# Slim images have no wget, Alpine images no curl, and some have neither: the check uses the first client that exists.
_HTTP_CLIENTS = {
    "wget": "-q -T {timeout} -O /dev/null {url}",
    "curl": "-fsS -m {timeout} -o /dev/null {url}",
    "node": "-e 'fetch(\"{url}\").then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))'",
    "python3": "-S -c 'import urllib.request as u; u.urlopen(\"{url}\", timeout={timeout})'",
}
_TCP_CLIENTS = {
    "nc": "-z -w {timeout} 127.0.0.1 {port}",
    "node": '-e \'require("net").connect({port}, "127.0.0.1", () => process.exit(0))'
    '.on("error", () => process.exit(1))\'',
    "python3": "-S -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), {timeout})'",
}


def _first_of(clients: Mapping[str, str], **values: object) -> tuple[str, ...]:
    """Return a shell command that runs the first of these clients that the image contains."""
    tries = [
        f"if command -v {program} >/dev/null; then exec {program} {arguments.format(**values)}; fi"
        for program, arguments in clients.items()
    ]
    lacking = f"echo 'none of {', '.join(clients)} in this image to check with: give health.command'; exit 1"
    return ("sh", "-c", "\n".join([*tries, lacking]))


def health_check(health: Health, port: int | None) -> HealthCheck:
    """Return the check of a service. A service without a port must have `health.command`."""
    if health.command is not None:
        command = tuple(health.command)
    elif health.http is not None:
        url = f"http://127.0.0.1:{port}{health.http}"
        command = _first_of(_HTTP_CLIENTS, url=url, timeout=health.timeout)
    else:
        command = _first_of(_TCP_CLIENTS, port=port, timeout=health.timeout)
    return HealthCheck(command, health.interval, health.timeout, health.retries, health.start_period)


def wget(port: int, path: str) -> HealthCheck:
    """Return the HTTP check of a tool whose official image contains busybox."""
    url = f"http://127.0.0.1:{port}{path}"
    return HealthCheck(("wget", "-q", "-T", "4", "-O", "/dev/null", url))
