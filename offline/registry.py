"""The local registry: serves the image kit's images to Docker on 127.0.0.1, one process per checkout."""

from __future__ import annotations

import io
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from machine import processes
from machine.lock import locked
from machine.ports import port_is_free
from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from offline.host_programs import host_program
from offline.kit.layers import MANIFEST, Layer, digest_of, manifest

START_TIME = 10.0
"""Seconds in which a started registry must answer; it takes about 0.2."""

PATIENCE = 2.0
"""Seconds to wait for a registry to stop before it is killed (which loses nothing), and for its port to become free."""


@dataclass(frozen=True)
class Registry:
    """A running registry to push images to."""

    host: str
    """`127.0.0.1:<port>`; Docker accepts registries on the loopback network without TLS."""

    def has(self, repository: str, digest: str) -> bool:
        """Tell whether the registry has this image."""
        answer = httpx.head(self._url(repository, "manifests", digest), headers={"Accept": MANIFEST}, trust_env=False)
        return answer.status_code == httpx.codes.OK

    def push(self, repository: str, tag: str, config: bytes, layers: list[Layer]) -> str:
        """Store an image and return its digest. Raises SetupError when the registry refuses it."""
        try:
            with httpx.Client(timeout=300, trust_env=False) as client:
                for layer in layers:
                    self._put(client, repository, layer.digest, layer.path)
                self._put(client, repository, digest_of(config), config)
                document = manifest(config, layers)
                place = self._url(repository, "manifests", tag)
                client.put(place, content=document, headers={"Content-Type": MANIFEST}).raise_for_status()
        except httpx.HTTPError as error:
            raise SetupError(f"The local registry does not take {repository}:{tag}: {error}") from error
        return digest_of(document)

    def _put(self, client: httpx.Client, repository: str, digest: str, content: bytes | Path) -> None:
        if client.head(self._url(repository, "blobs", digest)).status_code == httpx.codes.OK:
            return
        begun = client.post(self._url(repository, "blobs", "uploads/"))
        begun.raise_for_status()
        place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        headers = {"Content-Type": "application/octet-stream"}
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            headers["Content-Length"] = str(file.seek(0, os.SEEK_END))
            file.seek(0)
            client.put(place, content=file, headers=headers).raise_for_status()

    def _url(self, repository: str, *rest: str) -> str:
        return f"http://{self.host}/v2/{repository}/{'/'.join(rest)}"


def ensure_registry(work: WorkDir, progress: Progress) -> Registry:
    """Return the checkout's registry; start it if it does not run.

    Its port stays the same for the checkout, since image references contain it.
    Raises SetupError when its program is not available or it does not start.
    """
    with locked(work.registry / "lock", lambda _: None):
        config, pids = work.registry / "config.yml", _processes(work)
        if pids:
            port = _port(work)
            registry = Registry(f"127.0.0.1:{port}")
            if config.read_text() == _settings(work, port) and _answers(registry):
                return registry
        with progress.step("Local registry") as step:
            # A registry may be running that hangs, or that serves another cache.
            processes.stop(pids, PATIENCE)
            program = host_program(work, "trixie", "docker-registry", "docker-registry", step.say)
            port = _port(work)  # only now: the stopped one may hold it for a moment longer
            registry = Registry(f"127.0.0.1:{port}")
            (work.cache / "registry").mkdir(parents=True, exist_ok=True)
            config.write_text(_settings(work, port))
            log, env = work.logs / "registry.log", {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
            process = processes.spawn([str(program), "serve", str(config)], log, env)
            processes.wait_until(lambda: _answers(registry) or process.poll() is not None, START_TIME)
            if not _answers(registry):
                raise SetupError(f"The local registry does not start on port {port}", f"See {log}")
            step.outcome = f"serves the image kit on 127.0.0.1:{port}"
        return registry


def stop_registry(work: WorkDir, progress: Progress) -> None:
    """Stop the checkout's registry if it runs; its images stay in the cache."""
    if pids := _processes(work):
        with progress.step("Stop the local registry"):
            processes.stop(pids, PATIENCE)


def _answers(registry: Registry) -> bool:
    try:
        return httpx.get(f"http://{registry.host}/v2/", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _processes(work: WorkDir) -> list[int]:
    """Return the checkout's registry processes: at most one, identified by its configuration file."""
    return processes.find(f" serve {work.registry / 'config.yml'}")


def _port(work: WorkDir) -> int:
    """Return the checkout's port: the previous one unless another program took it, else a free one."""
    file = work.registry / "port"
    previous = int(file.read_text()) if file.exists() else 0
    # A predecessor that has just ended releases its port in a moment.
    if previous and (_processes(work) or processes.wait_until(lambda: port_is_free(previous), PATIENCE)):
        return previous
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file.write_text(f"{port}\n")
    return port


def _settings(work: WorkDir, port: int) -> str:
    settings = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        # The registries of other checkouts write to the same storage, where blobs are named by their digests.
        # Therefore there is no blob descriptor cache.
        "storage": {"filesystem": {"rootdirectory": str(work.cache / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    return yaml.safe_dump(settings)
