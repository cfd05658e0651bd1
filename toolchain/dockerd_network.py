"""The network of a private dockerd: its own bridge, address range and firewall rules.

A dockerd that manages iptables flushes the chains of any other dockerd on the machine when it starts. A private dockerd
therefore runs with `--iptables=false`, and the few rules that it needs are in chains named after it, so that
`DockerdNetwork.remove` deletes them without touching any other rule.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from machine.processes import run
from machine.progress import SetupError

CANDIDATES = [
    *(IPv4Network(f"10.{second}.0.0/16") for second in range(64, 224)),
    *(IPv4Network(f"172.{second}.0.0/16") for second in range(18, 32)),
]
"""Private ranges (RFC 1918) for a private dockerd; low 10.x and 172.17 are left to routers and other engines."""


@dataclass(frozen=True)
class DockerdNetwork:
    """Bridge, iptables chains and address pool of one dockerd; bridge and chains are called `name`."""

    name: str
    pool: IPv4Network
    env: Mapping[str, str]

    def ensure(self) -> None:
        """Create the bridge and the rules unless they exist. Raises SetupError when the kernel refuses the bridge."""
        if not any(link["ifname"] == self.name for link in _json(["ip", "-json", "link"], self.env)):
            self._ip("link", "add", self.name, "type", "bridge")
        # The default bridge has the first /24 of the pool.
        self._ip("address", "replace", f"{self.pool[1]}/24", "dev", self.name)
        self._ip("link", "set", self.name, "up")
        self._ensure_rules()

    def remove(self) -> None:
        """Remove the rules, the bridge, and the bridges of the networks that this dockerd created."""
        for table, parent in (("nat", "POSTROUTING"), ("filter", "FORWARD")):
            while self._iptables(table, "-D", parent, "-j", self.name):
                pass
            self._iptables(table, "-F", self.name)
            self._iptables(table, "-X", self.name)
        for link in _json(["ip", "-json", "address"], self.env):
            addresses = [entry["local"] for entry in link.get("addr_info", []) if entry.get("family") == "inet"]
            ours = link["ifname"].startswith(("br-", "docker_gwbridge")) and any(
                IPv4Network(address).subnet_of(self.pool) for address in addresses
            )
            if ours or link["ifname"] == self.name:
                self._ip("link", "delete", link["ifname"])

    def _ensure_rules(self) -> None:
        """Allow outgoing traffic; allow incoming traffic only on published ports, which docker-proxy serves.

        Without iptables in the kernel this does nothing: containers then reach each other, but nothing outside.
        """
        pool = str(self.pool)
        for table in ("nat", "filter"):
            self._iptables(table, "-N", self.name)
            self._iptables(table, "-F", self.name)
        self._iptables("nat", "-A", self.name, "-s", pool, "!", "-d", pool, "-j", "MASQUERADE")
        # Accept traffic inside one network (bridged packets pass here too when br_netfilter is on), and drop it between
        # networks. Where the kernel cannot tell the two apart, drop nothing: containers must reach each other.
        same = ("-s", pool, "-d", pool)
        if self._iptables("filter", "-A", self.name, *same, "-m", "physdev", "--physdev-is-bridged", "-j", "ACCEPT"):
            self._iptables("filter", "-A", self.name, *same, "-j", "DROP")
        self._iptables("filter", "-A", self.name, "-s", pool, "-j", "ACCEPT")
        answers = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
        self._iptables("filter", "-A", self.name, "-d", pool, *answers)
        self._iptables("filter", "-A", self.name, "-d", pool, "-j", "DROP")
        for table, parent in (("nat", "POSTROUTING"), ("filter", "FORWARD")):
            if not self._iptables(table, "-C", parent, "-j", self.name):
                self._iptables(table, "-I", parent, "1", "-j", self.name)

    def _iptables(self, table: str, *arguments: str) -> bool:
        """Run iptables and return whether it succeeded; wait for other processes that are changing rules."""
        command = ["iptables", "-w", "10", "-t", table, *arguments]
        try:
            return subprocess.run(command, env=dict(self.env), capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    def _ip(self, *arguments: str) -> None:
        failure = "the kernel refuses a network bridge for a Docker engine"
        remedy = "start Docker in another way, and set DOCKER_HOST"
        run(["ip", *arguments], failure, remedy, env=self.env)


def _json(command: list[str], env: Mapping[str, str]) -> list[dict[str, Any]]:
    output = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=True).stdout
    entries: list[dict[str, Any]] = json.loads(output or "[]")
    return [entry for entry in entries if entry]


def routed_networks(env: Mapping[str, str]) -> list[IPv4Network]:
    """Return the networks that this machine has routes to, without the default route."""
    routes = _json(["ip", "-json", "-4", "route", "show", "table", "all"], env)
    return [IPv4Network(route["dst"], strict=False) for route in routes if route.get("dst", "default") != "default"]


def choose_pool(name: str, file: Path, networks_in_use: Iterable[IPv4Network]) -> IPv4Network:
    """Return the address range stored in `file`; otherwise choose a free one and store it.

    The start of the search depends on `name`, so that two engines do not get the same range while one of them is
    stopped. Raises SetupError when every private range is in use.
    """
    if file.exists():
        return IPv4Network(file.read_text().strip())
    used = list(networks_in_use)
    start = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 160
    for candidate in [*CANDIDATES[start:160], *CANDIDATES[:start], *CANDIDATES[160:]]:
        if not any(candidate.overlaps(network) for network in used):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{candidate}\n")
            return candidate
    raise SetupError(
        "no private address range is free for a Docker engine", "see `ip route`, or start Docker and set DOCKER_HOST"
    )
