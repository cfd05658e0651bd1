"""Departures from the hardened defaults, each with its reason.

Every container drops all capabilities, gains no privileges, runs as a user that is not root, on a read-only root file
system, within limits, with a health check, and sees nothing of the host (CIS Docker Benchmark v1.6: 4.1, 5.4, 5.6, 5.11
to 5.13, 5.26, 5.27). A container with a departure that is not listed here is refused. Departures of a product's own
services are declared and justified in the product file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatch

from runtime.guarantees import Guarantee
from runtime.spec import ContainerSpec

ROOT = "runs as root"
WRITABLE = "writable root file system"
HOST = "mounts {path} of the host"
CAPABILITY = "capability {name}"

WRITER = {
    ROOT: "changes the owner of files to the user of the service that reads them; it runs for a second",
    WRITABLE: "the provider cannot upload files into a read-only root file system",
    "capability CHOWN": "changes the owner of files to the user of the service that reads them",
    "capability DAC_OVERRIDE": "replaces files that already belong to that user",
    "capability FOWNER": "sets the mode of files that already belong to that user",
}

DEPARTURES: dict[str, dict[str, str]] = {
    "*-writer": WRITER,
    "cadvisor": {
        ROOT: "control groups of other users' containers are readable only by root; it has no capabilities",
        "mounts / of the host": "sizes of the file systems that containers use; read-only",
        "mounts /sys of the host": "the control groups that it measures are there; read-only",
    },
    "node-exporter": {"mounts / of the host": "the host's own view of itself (CIS 5.16 is kept); read-only"},
    "collector": {
        ROOT: "the engine's log files belong to root, and only root can enter their folders; it has no capabilities",
        "mounts */containers of the host": "the engine keeps the containers' log files there; read-only",
    },
}
"""Pattern of roles → pattern of the departure → its reason."""


def departures(spec: ContainerSpec) -> Iterator[str]:
    """Yield each departure of a spec from the hardened defaults."""
    if spec.user is None or spec.user.split(":")[0] in ("0", "root"):
        yield ROOT
    if not spec.read_only:
        yield WRITABLE
    for name in spec.capabilities:
        yield CAPABILITY.format(name=name)
    for mount in spec.mounts:
        if mount.host:
            yield HOST.format(path=mount.source)


def unguaranteed(spec: ContainerSpec, guarantees: Collection[Guarantee]) -> Iterator[str]:
    """Yield each protection that the spec asks for and that its runtime does not guarantee."""
    for guarantee in Guarantee:
        if guarantee not in guarantees and (guarantee is not Guarantee.LOOPBACK_PORTS or spec.publish):
            yield guarantee.value


def check_hardening(spec: ContainerSpec, guarantees: Collection[Guarantee]) -> None:
    """Raise ValueError where a container has a departure without a reason in DEPARTURES.

    What its runtime does not guarantee is such a departure too, also of a product's own service.
    """
    patterns = [departure for role, reasons in DEPARTURES.items() if fnmatch(spec.role, role) for departure in reasons]
    unexplained = [
        departure
        for departure in [*([] if spec.of_product else departures(spec)), *unguaranteed(spec, guarantees)]
        if not any(fnmatch(departure, pattern) for pattern in patterns)
    ]
    if unexplained:
        raise ValueError(f"{spec.role}: {', '.join(unexplained)}: add a reason to runtime/hardening.py")
