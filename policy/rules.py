"""Policy rules for the resources of a stack, as pure functions of a resource's type and inputs.

The policy pack (__main__.py) passes the resources that Pulumi is about to create; the unit tests pass those that the
program registers for every shipped stack. Inputs have Pulumi's names (`memorySwap`); unknown values are absent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from runtime.guarantees import DOCKER, Guarantee
from runtime.labels import ENVIRONMENT
from runtime.pulumi_state import CONTAINER, VOLUME, Resource

TUNNEL = "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig"

EDGE = "traefik"
"""The only container that may be reached from other hosts."""

SOCKET_PROXY = "docker-socket-proxy"
"""The only container that may mount the Docker socket, read-only."""

WRITERS_CAPABILITIES = {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
"""Capabilities that a one-shot job may add to change the owner of files (runtime/hardening.py)."""

NEEDS_ACCESS = re.compile(
    r"^(.*-)?(prometheus|alertmanager(-\d+)?|loki|victorialogs|vmalert|collector|cadvisor|(node|postgres|redis|blackbox)-exporter"
    r"|traefik|postgres|redis)$"
)
"""Services that a tunnel may expose only behind Cloudflare Access: they have no authentication of their own."""

MOVING_TAGS = {"latest", "stable", "main", "master", "edge", "nightly", "dev", "develop"}

SECRET_NAME = re.compile(
    r"(?:^|_)(PASS|PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|API_?KEY|APP_?KEY|PRIVATE_?KEY|SECRET_?KEY"
    r"|ACCESS_?KEY|ENCRYPTION_?KEY|SIGNING_?KEY|WEBHOOK(?:_URL)?|DSN)$"
)
"""Endings of variable names that suggest a secret; `…_FILE`, `TOKEN_TTL` and `MAX_TOKENS` do not match."""

PLAIN_VALUE = re.compile(r"|true|false|yes|no|on|off|none|null|[\d.]+[a-z]{0,2}|/\S*|\$\{.*\}", re.IGNORECASE)
"""Values that are not secrets, whatever the variable's name: a switch, a number with a unit, a path."""

SECRET_VALUES = {
    "a password in an address": re.compile(r"\b[a-z][a-z0-9+.-]*://[^/\s:@]*:(?!\$)[^/\s@]+@"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a webhook": re.compile(
        r"https://(hooks\.slack\.com/services/T|(\w+\.)?discord(app)?\.com/api/webhooks/\d|\w+\.webhook\.office\.com/)"
    ),
    "a JSON Web Token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a token": re.compile(
        r"\b(gh[pousr]_\w{30,}|github_pat_\w{30,}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
        r"|[rs]k_live_\w{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|\d{8,10}:AA[\w-]{32,})"
    ),
}
"""Patterns of secrets, whatever the variable's name: formats that their issuers define."""


@dataclass(frozen=True)
class Rule:
    """One rule for resources of a type."""

    name: str
    title: str
    type: str
    check: Callable[[Resource], Iterator[str]]
    guarantee: Guarantee | None = None
    """The guarantee of the runtime without which the rule cannot be checked."""

    def is_checked(self, guarantees: Collection[Guarantee] = DOCKER) -> bool:
        """Whether the rule applies under a runtime with these guarantees."""
        return self.guarantee is None or self.guarantee in guarantees

    def violations(self, resource: Resource, guarantees: Collection[Guarantee] = DOCKER) -> Iterator[str]:
        """Yield the violations; if the runtime lacks the guarantee, yield one that says "not checked"."""
        if self.is_checked(guarantees):
            yield from self.check(resource)
        elif self.guarantee:
            yield f"not checked, because the runtime does not guarantee it: {self.guarantee.value}"


def images_of_the_table(file: Path) -> set[str]:
    """Return the images of an image table that have a digest, without registry and tag: `prom/prometheus`."""
    table = yaml.safe_load(file.read_text())
    return {image["image"].split("/", 1)[1].rsplit(":", 1)[0] for image in table.values() if "digest" in image}


TABLE = images_of_the_table(Path(__file__).resolve().parents[1] / "components" / "images.yaml")


def pinned(resource: Resource) -> Iterator[str]:
    """Images have a digest or are built locally; a product's image may have a version tag: `up` pins its digest."""
    image = str(resource.inputs.get("image") or "")
    if re.search(r"@sha256:[0-9a-f]{64}$", image) or re.fullmatch(r"sha256:[0-9a-f]{64}", image):
        return
    if re.fullmatch(r"dockyard/[a-z0-9._/-]+:([0-9a-f]{12,64}|built-here)", image):
        return
    path, _, tag = image.rpartition(":") if ":" in image.rsplit("/", maxsplit=1)[-1] else (image, "", "")
    if not tag or tag in MOVING_TAGS:
        yield f"image {image or '(none)'} has no fixed version: name a version or a digest"
    elif any(path.endswith(f"/{name}") for name in TABLE):
        yield f"image {image} has no digest, but components/images.yaml has one"
    elif not re.search(r"\d", tag):
        yield f"image {image}: its tag contains no version"


def limited(resource: Resource) -> Iterator[str]:
    """Memory and cores are limited; CIS Docker 5.11 and 5.12."""
    memory = resource.inputs.get("memory") or 0
    if not memory > 0:
        yield "no memory limit"
    if not 0 < (resource.inputs.get("memoryReservation") or 0) <= memory:
        yield "no memory reservation within the limit"
    if not float(resource.inputs.get("cpus") or 0) > 0:
        yield "no CPU limit"


def swapless(resource: Resource) -> Iterator[str]:
    """No swap beside the memory."""
    memory, swap = resource.inputs.get("memory") or 0, resource.inputs.get("memorySwap") or 0
    if memory > 0 and swap != memory:
        yield f"memory {memory:g} and memory_swap {swap:g} differ: swap hides a leak"


def checked(resource: Resource) -> Iterator[str]:
    """Every long-running container has a health check; CIS Docker 5.27."""
    tests = (resource.inputs.get("healthcheck") or {}).get("tests") or ["NONE"]
    if not resource.one_shot and (tests[0] == "NONE" or len(tests) < 2):
        yield "no health check"


def unprivileged(resource: Resource) -> Iterator[str]:
    """No privileges, host namespaces or host devices; CIS Docker 5.5, 5.10, 5.16 to 5.18, 5.21, 5.31."""
    if resource.inputs.get("privileged"):
        yield "privileged"
    for key in ("networkMode", "pidMode", "ipcMode", "usernsMode", "cgroupnsMode"):
        if resource.inputs.get(key) == "host":
            yield f"{key}: host"
    if resource.inputs.get("devices"):
        yield "devices of the host"


def no_socket(resource: Resource) -> Iterator[str]:
    """Only the socket proxy mounts the socket of a container engine, read-only; CIS Docker 5.32."""
    mounts = [(mount.get("source"), mount.get("readOnly")) for mount in resource.inputs.get("mounts") or ()]
    mounts += [(mount.get("hostPath"), mount.get("readOnly")) for mount in resource.inputs.get("volumes") or ()]
    for source, read_only in mounts:
        path = str(source or "")
        if path.endswith(("docker.sock", "containerd.sock", "podman.sock")) or path.rstrip("/") in ("/run", "/var/run"):
            if resource.service == SOCKET_PROXY and read_only:
                continue
            yield f"mounts {path}, which gives root access to the host"


def published(resource: Resource) -> Iterator[str]:
    """Ports are bound to the loopback address, except those of the edge; CIS Docker 5.14."""
    if resource.inputs.get("publishAllPorts"):
        yield "publishes all ports"
    for port in resource.inputs.get("ports") or ():
        address, number = port.get("ip"), port.get("external") or "any"
        if not address:
            yield f"port {number} has no bind address, so it is bound to all"
        elif not ipaddress.ip_address(str(address)).is_loopback and resource.service != EDGE:
            yield f"port {number} is bound to {address}: only the edge proxy may be reachable from outside"


def no_secret(resource: Resource) -> Iterator[str]:
    """No variable, argument or label holds a secret, judged by its name or format. Values are never printed."""
    variables = [str(variable).partition("=") for variable in resource.inputs.get("envs") or ()]
    for name, _, value in variables:
        if SECRET_NAME.search(name.upper()) and not PLAIN_VALUE.fullmatch(value):
            yield f"variable {name} looks like a secret: pass it as a file ({name}_FILE)"
    texts = [(f"variable {name}", value) for name, _, value in variables]
    words = [*(resource.inputs.get("command") or ()), *(resource.inputs.get("entrypoints") or ())]
    texts += [("the command", str(word)) for word in words] + [(f"label {k}", v) for k, v in resource.labels.items()]
    for place, text in texts:
        yield from (f"{place} contains {kind}" for kind, form in SECRET_VALUES.items() if form.search(text))


def bare(resource: Resource) -> Iterator[str]:
    """All capabilities are dropped, and only one-shot jobs add those of a writer; CIS Docker 5.4."""
    capabilities = resource.inputs.get("capabilities") or {}
    if "ALL" not in [str(capability).upper() for capability in capabilities.get("drops") or ()]:
        yield "does not drop ALL capabilities"
    added = {str(capability).upper().removeprefix("CAP_") for capability in capabilities.get("adds") or ()}
    allowed = WRITERS_CAPABILITIES if resource.one_shot else set()
    if added - allowed:
        yield f"adds {', '.join(sorted(added - allowed))}"


def no_new_privileges(resource: Resource) -> Iterator[str]:
    """Nothing gains privileges (CIS Docker 5.26), and Docker's security profiles stay on (5.22)."""
    options = [str(option).replace("=", ":") for option in resource.inputs.get("securityOpts") or ()]
    if not {"no-new-privileges", "no-new-privileges:true"} & {*options}:
        yield "can gain privileges: set no-new-privileges:true"
    yield from (f"{option}" for option in options if option.endswith(":unconfined"))


def rotated(resource: Resource) -> Iterator[str]:
    """Log files are limited in size and number."""
    driver, options = resource.inputs.get("logDriver"), resource.inputs.get("logOpts") or {}
    if driver is None:
        yield "no log driver: the engine's default may never delete log files"
    elif driver in ("json-file", "local"):
        missing = [key for key in ("max-size", "max-file") if not options.get(key)]
        if missing:
            yield f"log files without {' and '.join(missing)}"


def protected(resource: Resource) -> Iterator[str]:
    """Data volumes outside of development are protected from accidental deletion."""
    if not resource.holds_data or resource.labels.get(ENVIRONMENT) == "development":
        return
    if not resource.protect:
        yield "a data volume that is not protected"
    if resource.retained is False:
        yield "a data volume that is deleted with its resource: set retain_on_delete"


def tunnelled(resource: Resource) -> Iterator[str]:
    """A tunnel exposes Grafana and the product's services; services without authentication only behind Access."""
    ingresses = (resource.inputs.get("config") or {}).get("ingresses") or ()
    for rule in ingresses:
        service = str(rule.get("service") or "")
        access = (rule.get("originRequest") or {}).get("access") or {}
        guarded = bool(access.get("required") and access.get("audTags"))
        host = urlsplit(service if "://" in service else f"//{service}").hostname or ""
        if NEEDS_ACCESS.match(host) and not guarded:
            yield f"{rule.get('hostname')} leads to {service}, which has no authentication of its own"
    if ingresses and not str(ingresses[-1].get("service")).startswith("http_status:"):
        yield "the last rule has a host name: all other requests must end with http_status:404"


RULES: tuple[Rule, ...] = (
    Rule("pinned-image", "Images are pinned", CONTAINER, pinned),
    Rule("limits", "Memory and cores are limited", CONTAINER, limited),
    Rule("no-swap", "Swap is limited", CONTAINER, swapless, Guarantee.SWAP_LIMIT),
    Rule("health-check", "Long-running containers have a health check", CONTAINER, checked),
    Rule("not-privileged", "No container shares the host's namespaces or devices", CONTAINER, unprivileged),
    Rule("no-docker-socket", "No container mounts the Docker socket", CONTAINER, no_socket),
    Rule("no-open-port", "Only the edge proxy is exposed", CONTAINER, published, Guarantee.LOOPBACK_PORTS),
    Rule("no-secret-in-the-open", "No secrets in variables, commands and labels", CONTAINER, no_secret),
    Rule("no-capabilities", "All capabilities are dropped", CONTAINER, bare),
    Rule("no-new-privileges", "No privileges are gained", CONTAINER, no_new_privileges, Guarantee.NO_NEW_PRIVILEGES),
    Rule("log-rotation", "Log files are rotated", CONTAINER, rotated),
    Rule("protected-data", "Data volumes are protected and retained", VOLUME, protected),
    Rule("tunnel-ingress", "A tunnel exposes only allowed services", TUNNEL, tunnelled),
)
