"""Choose the Docker engine that a checkout works on: one that already answers, else a private dockerd."""

from __future__ import annotations

import os
from pathlib import Path

from docker.context import ContextAPI
from docker.errors import DockerException

from machine.lock import locked
from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from offline.registry import stop_registry
from toolchain.dockerd_programs import is_debian
from toolchain.private_dockerd import PrivateDockerd, answers

CHOICE = "DOCKYARD_ENGINE"
"""Environment variable; `private` ignores every other engine."""

DEFAULT_HOST = "unix:///var/run/docker.sock"


def private_dockerd(work: WorkDir) -> PrivateDockerd:
    """Return the checkout's private dockerd, whether or not it runs."""
    return PrivateDockerd(work.engine, cache=work.cache)


def ensure_engine(work: WorkDir, progress: Progress) -> str:
    """Return the address of the Docker engine to use, for DOCKER_HOST; start a private dockerd when there is none.

    In order: DOCKER_HOST, the private dockerd if this checkout already has one, the docker command's current context,
    the usual sockets, a new private dockerd (as root on Debian).
    Raises SetupError when DOCKER_HOST does not answer or no engine is available.
    """
    with progress.step("Docker engine") as step, locked(work.root / "docker-host.lock", step.say):
        private, host = private_dockerd(work), find_engine(work)
        if not host and (configured_host := _configured_host(private)):
            raise SetupError(
                f"no Docker engine answers at DOCKER_HOST={configured_host}", "start it, or unset DOCKER_HOST"
            )
        step.outcome = host
        if host in ("", private.host):
            if os.geteuid() != 0 or not is_debian():
                raise SetupError(
                    "no Docker engine answers, and only root on Debian can start a private one",
                    "start Docker (https://docs.docker.com/engine/install/), or set DOCKER_HOST",
                )
            private.start(step.say)
            host = private.host
            step.outcome = f"private, {host}"
        # `environment()` reads the address, unless it is the default that every client uses anyway.
        if host == DEFAULT_HOST:
            work.docker_host_file.unlink(missing_ok=True)
        else:
            work.docker_host_file.write_text(f"{host}\n")
        return host


def find_engine(work: WorkDir) -> str:
    """Return the address of the engine that `ensure_engine` would choose, "" when none answers; start nothing."""
    private = private_dockerd(work)
    if configured_host := _configured_host(private):
        return configured_host if answers(configured_host) else ""
    if private.data.exists() or _private_only():
        return private.host if private.is_running() else ""
    return _reachable(private.host)


def _private_only() -> bool:
    return os.environ.get(CHOICE) == "private"


def _configured_host(private: PrivateDockerd) -> str:
    """Return DOCKER_HOST where it names another engine than the private one, else ""."""
    host = os.environ.get("DOCKER_HOST", "")
    return "" if host == private.host or _private_only() else host


def stop_engine(work: WorkDir, progress: Progress) -> None:
    """Stop the checkout's private dockerd and registry, if it has them, and no other engine. Their data stays."""
    private = private_dockerd(work)
    with progress.step("Docker engine") as step:
        if private.root.exists():
            private.stop()
            step.outcome = "stopped"
        else:
            step.outcome = "this checkout has no private one"
    stop_registry(work, progress)


def _reachable(private_host: str) -> str:
    """Return the first engine that answers among the docker command's context and the usual sockets, else ""."""
    run = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    sockets = ["/var/run/docker.sock", str(run / "docker.sock"), str(Path.home() / ".docker/run/docker.sock")]
    hosts = [f"unix://{path}" for path in sockets if Path(path).exists()]
    if (context := _context_host()) is not None:
        hosts.insert(0, context)
    return next((host for host in hosts if host != private_host and answers(host)), "")


def _context_host() -> str | None:
    """Return the endpoint of the docker command's current context, None when that is the default context."""
    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT") or None)
    except (DockerException, OSError, ValueError):
        return None
    if context is None or context.name == "default" or context.Host is None:
        return None
    return str(context.Host).replace("http+unix://", "unix://")
