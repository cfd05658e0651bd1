"""Checks the stack's files, its secrets, and the tools of this checkout."""

from __future__ import annotations

import importlib.metadata
import platform
import stat
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from machine.workdir import WorkDir
from ops.deploy.host import limits_in
from ops.doctor.findings import Finding, graded
from ops.doctor.reach import TUNNEL
from ops.pulumi_cli import PulumiCli
from ops.session import stack_settings
from program.preflight import wrong_receiver_secrets
from settings.backups import BACKUP_KEY_SECRET
from settings.loader import Settings, read_stack_file
from settings.problems import Problem, SettingsError
from toolchain.environment import full_environment, uses_local_backend
from toolchain.plugins import NAMES, Plugin, is_standin
from toolchain.pulumi_cli import pinned_version

FILES, SECRETS = "settings", "secrets"


class ResourceDemand(NamedTuple):
    """Resources that the settings require of the machine."""

    reserved: int
    """Reserved memory in bytes."""

    cpus: list[float]


def read(work: WorkDir, stack: str) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, or None if they cannot be used at all, and a finding for every problem.

    Raises SettingsError if the stack does not exist.
    """
    if not (work.checkout / f"Pulumi.{stack}.yaml").exists():
        return stack_settings(work, stack), []
    try:
        settings = stack_settings(work, stack, preview=True)
    except SettingsError as error:
        return None, [finding_of_problem(problem, "failed") for problem in error.problems]
    if settings.missing_secrets:
        # The rest can still be checked.
        return settings, [finding_of_problem(problem, "failed") for problem in settings.missing_secrets]
    warnings = [finding_of_problem(problem, "warning") for problem in settings.warnings]
    return settings, [*warnings, Finding(FILES, "ok", f"Pulumi.{stack}.yaml and {settings.stack.product} are valid")]


def finding_of_problem(problem: Problem, status: Any) -> Finding:
    """Convert a problem of the settings into a finding."""
    place = f"{problem.file}:{problem.line}" if problem.line else problem.file
    topic = SECRETS if "secret" in problem.expected else FILES
    remedy = problem.remedy or f"change it to {problem.expected}"
    return Finding(
        topic, status, f"{place}: {problem.path}: found {problem.actual}, expected {problem.expected}", remedy
    )


def receiver_secrets(work: WorkDir, settings: Settings) -> list[Finding]:
    """Check that the secrets of receivers are not placeholders. Secret values are never printed."""
    if settings.stack.environment == "development":
        return []
    if not (work.bin / "pulumi").exists():
        message = "they cannot be decrypted before the tools are installed"
        return [Finding(SECRETS, "untold", message, f"./dockyard setup {settings.stack_name}")]
    pulumi_cli = PulumiCli(work, settings.stack_name, full_environment(work))
    try:
        config: Mapping[str, Mapping[str, Any]] = pulumi_cli.read("config", "--show-secrets", "--json")
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()[-1:] or [str(error)]
        message = f"the stack's secrets cannot be decrypted: {lines[0]}"
        return [Finding(SECRETS, "untold", message, "check the passphrase or key of the stack's secrets")]
    values = {name: str(entry.get("value", "")) for name, entry in config.items()}
    refused, doubtful = wrong_receiver_secrets(settings, values)
    findings = [finding_of_problem(problem, "failed") for problem in refused]
    findings += [finding_of_problem(problem, "warning") for problem in doubtful]
    return findings or [Finding(SECRETS, "ok", "no secret of an alert receiver is a placeholder")]


def tools(work: WorkDir) -> list[Finding]:
    """Report the versions of Python, Pulumi and its plugins; the first `up` installs missing tools."""
    findings = [Finding("tools", "ok", f"Python {platform.python_version()}")]
    version_file = work.bin / "pulumi-from"
    installed = version_file.read_text().strip() if version_file.exists() else ""
    message = f"Pulumi {installed}; the package is {pinned_version()}" if installed else "no Pulumi CLI yet"
    findings.append(graded("tools", message, "the first `up` installs it", warning=not installed))
    for name in NAMES:
        plugin = Plugin(name)
        program = work.pulumi_home / "plugins" / plugin.folder / plugin.program
        package = importlib.metadata.version(f"pulumi-{name}")
        if package != plugin.version:
            message = f"the package pulumi-{name} is {package}, the plugin {plugin.version}"
            findings.append(Finding("tools", "failed", message, "remove .dockyard/venv: it will be recreated"))
        if program.exists():
            kind = "a stand-in for the official one" if is_standin(program) else "official"
            findings.append(Finding("tools", "ok", f"plugin {name} {plugin.version}, {kind}"))
        else:
            message = f"no plugin {name} {plugin.version} below {work.pulumi_home.name} yet"
            findings.append(Finding("tools", "note", message, "the first `up` installs it, unless it is on PATH"))
    return findings


def passphrase(work: WorkDir) -> list[Finding]:
    """Check the passphrase file that decrypts the state's secrets, backup keys among them."""
    if not uses_local_backend(work):
        return [Finding("state", "ok", "stored in the configured backend, not on this machine")]
    file = work.passphrase_file
    if not file.exists():
        return [Finding("state", "note", "no state yet", "the first `up` creates it")]
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        return [Finding("state", "failed", f"{file} can be read by others (mode {mode:o})", f"chmod 600 {file}")]
    return [Finding("state", "ok", "on this machine only: keep a copy of .dockyard/state and .dockyard/passphrase")]


def hosts(settings: Settings) -> dict[str, str]:
    """Return host name → description of its target, for every public host name that should resolve to this host."""
    product, tunnel = settings.product, settings.stack.tunnel
    targets = {
        route.host: f"a route of {name}" for name, service in product.services.items() for route in service.routes
    }
    targets |= {tool.host: f"the route of {name}" for name, tool in product.edge.tools.items()}
    if root := urlsplit(str(product.monitoring.grafana.root_url or "")).hostname:
        targets.setdefault(root, "Grafana's root_url")
    tunnelled = (tunnel.hostname, *(service.hostname for service in tunnel.services)) if tunnel else ()
    targets |= {host: TUNNEL for host in tunnelled if host}
    local = (".localhost", ".test")
    return {host: target for host, target in targets.items() if "." in host and not host.endswith(local)}


def resource_demand(settings: Settings) -> ResourceDemand:
    """Return the sum of reservations and the CPU limits of all replicas, without parts that this stack disables."""
    product = settings.product
    without = {
        ("monitoring", "logs"): not product.monitoring.logs.enabled,
        ("monitoring", "probes"): not product.monitoring.probes.enabled,
        ("monitoring", "exporters", "blackbox"): not product.monitoring.probes.enabled,
        ("monitoring", "exporters", "postgres"): product.postgres is None,
        ("monitoring", "exporters", "redis"): product.redis is None,
        ("backups",): not product.backups.on,
    }
    demands = [
        (limits, product.services[path[1]].replicas if path[0] == "services" else 1)
        for path, limits in limits_in(product)
        if not any(disabled and path[: len(part)] == part for part, disabled in without.items())
    ]
    demands += [(limits, 1) for _, limits in limits_in(settings.stack.tunnel)]
    reserved = sum(limits.reservation * replicas for limits, replicas in demands)
    return ResourceDemand(reserved * 2**20, [limits.cpus for limits, replicas in demands for _ in range(replicas)])


def backup_key(work: WorkDir, settings: Settings) -> list[Finding]:
    """Report where the backup key is stored: without it, no backup can be restored."""
    backups = settings.product.backups
    if not backups.on:
        return [Finding("backups", "note", f"off in {settings.stack.environment} (backups: {{enabled: true}})")]
    if BACKUP_KEY_SECRET in read_stack_file(work.checkout, settings.stack_name).secrets:
        return [Finding("backups", "ok", f"the backup key is the stack's secret {BACKUP_KEY_SECRET}")]
    show = f"./dockyard secret {settings.stack_name} {BACKUP_KEY_SECRET}"
    remedy = f"{show}, and keep a copy on another machine"
    return [Finding("backups", "warning", "the backup key is generated, and stored only in the state", remedy)]
