"""EdgeProxy: Traefik, the only container that publishes ports."""

from __future__ import annotations

import shlex
import ssl
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker

from components.container import run_service
from components.context import ScrapeTarget, StackContext
from components.edge_config import (
    CERTIFICATES_FOLDER,
    DYNAMIC_FOLDER,
    STATIC,
    WEB,
    WEBSECURE,
    File,
    Upstream,
    arguments,
    base_config,
    entry_points,
    healthcheck,
    published_name,
    service_file,
)
from components.edge_guard import RouteAuth, checked_users
from components.job import OneShotJob
from components.spec import Attachment, ContainerSpec, HealthCheck, Mount, PortMapping
from components.volume import config_volume, data_volume
from settings.container import Limits
from settings.edge import Edge
from settings.names import ADMIN_PORT

__all__ = ["EdgeProxy", "EdgeProxyConfig", "RouteAuth", "Upstream"]

USER = "65532:65532"
"""Nobody that the image knows. Ports below 1024 need no capability: the engine (20.10 and later) sets
net.ipv4.ip_unprivileged_port_start=0 in a container's own network."""

ALIAS = "edge"
LOAD_SECONDS = 30
"""Traefik takes a file within a fraction of a second; after this long it will not take it any more."""

STAGE = "/dockyard/files"
VOLUME = "/dockyard/volume"
CERTIFICATES = "/dockyard/certificates"


@dataclass(frozen=True)
class EdgeProxyConfig:
    """What EdgeProxy is made from."""

    edge: Edge
    context: StackContext
    image: Callable[[str], str]
    """Image name → the reference to run."""

    upstreams: Sequence[Upstream]
    http_port: int | None
    """Port on the host for plain HTTP, which leads to `https_port`. Both None where nothing has routes."""

    https_port: int | None


def checked_pair(certificate: str, key: str) -> tuple[str, str]:
    """Return a certificate and its key, both PEM, where they fit together.

    Raises pulumi.RunError where they do not: Traefik would go on, and show everybody its self-signed certificate.
    """
    with tempfile.TemporaryDirectory() as folder:
        # The library reads files only; the folder is open to nobody else and gone at once.
        chain_file, key_file = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        chain_file.write_text(certificate)
        key_file.write_text(key)
        try:
            # A password, so that a key that has one is refused instead of asked for at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain_file, key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            raise pulumi.RunError(
                f"edge.tls: the certificate and the key cannot be used together: {error}.\n"
                "  Both are PEM, the certificate with its chain, the key without a password."
            ) from error
    return certificate, key


class EdgeProxy(pulumi.ComponentResource):
    """Leads requests to healthy instances of services, and to tools and stores that are published or have a route.

    On the app network it holds the name of every service and listens on its port. It reads a folder of files and
    nothing else: no Docker socket, no API, no dashboard. A release of a service writes that service's file
    (`switch`), without a restart. Only what the arguments say replaces the container, with a gap of a few seconds: when
    a service comes, goes or changes its port, when something is published, or when the first route comes.
    """

    container: docker.Container
    containers: dict[str, docker.Container]
    targets: list[ScrapeTarget]

    def __init__(self, name: str, config: EdgeProxyConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:edge_proxy:EdgeProxy", name, None, opts)
        self._name, self._config = name, config
        acme = config.edge.tls.acme
        self._volume = config_volume(f"{name}-config", config.context, self)
        self._certificates = data_volume(f"{name}-certificates", config.context, self) if acme else None
        self.container = self._run(self._write_base_config())
        self.containers = {"traefik": self.container}
        self.targets = [ScrapeTarget("traefik", f"{ALIAS}:{ADMIN_PORT}")]
        self.register_outputs({"fronts": sorted(upstream.name for upstream in config.upstreams)})

    def set_servers(self, name: str, servers: Sequence[pulumi.Input[str]]) -> pulumi.Output[Sequence[pulumi.Resource]]:
        """Lead the requests for a service to these containers, which are healthy, and to no others.

        What is returned is for `depends_on`: Traefik has loaded exactly this, and requests that were on their way to
        the servers before have had the drain time. If it does not load it within 30 s, the file before it is put
        back and whatever depends on this fails. Raises ValueError where there is no such front.
        """
        config = self._config
        upstream = next((candidate for candidate in config.upstreams if candidate.name == name), None)
        if upstream is None:
            raise ValueError(f"the edge proxy does not stand before {name}")
        file = pulumi.Output.all(*servers).apply(
            lambda names: service_file(config.edge, config.upstreams, upstream, [str(server) for server in names])
        )
        return self._write(f"{self._name}-{name}-writer", name, file, after=[self.container])

    def _write_base_config(self) -> pulumi.Output[Sequence[pulumi.Resource]]:
        config, tls = self._config, self._config.edge.tls
        auth_secrets = [
            upstream.auth.basic_auth for upstream in config.upstreams if upstream.auth and upstream.auth.basic_auth
        ]
        secret_names = {name for name in (tls.certificate, tls.key, *auth_secrets) if name}
        # None where they are missing, which only a preview lets pass.
        secrets = {name: pulumi.Config("dockyard").get_secret(name) for name in sorted(secret_names)}

        def render(values: Sequence[str | None]) -> File:
            by_name = dict(zip(secrets, values, strict=True))
            certificate, key = by_name.get(tls.certificate or ""), by_name.get(tls.key or "")
            pem = checked_pair(certificate, key) if certificate and key else None
            users = {name: checked_users(name, text) for name in auth_secrets if (text := by_name[name]) is not None}
            return base_config(config.edge, config.upstreams, pem, users)

        return self._write(f"{self._name}-writer", STATIC, pulumi.Output.all(*secrets.values()).apply(render), after=[])

    def _write(
        self, resource: str, name: str, file: pulumi.Output[File], after: Sequence[pulumi.Resource]
    ) -> pulumi.Output[Sequence[pulumi.Resource]]:
        """Make the job that writes one file of the dynamic folder. The fixed one also clears away what has gone."""
        config = self._config
        mounts = [Mount(self._volume.name, VOLUME, read_only=False)]
        if name == STATIC and self._certificates:
            mounts.append(Mount(self._certificates.name, CERTIFICATES, read_only=False))
        return OneShotJob(
            resource,
            ContainerSpec(
                role=resource,
                image=config.image("busybox"),
                user="0:0",
                read_only=False,
                capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER"),
                limits=Limits.model_validate({"memory": "64MB", "cpus": 0.5}),
                networks=(Attachment(config.context.app_network),),
                mounts=tuple(mounts),
                entrypoint=("/bin/sh", "-ec"),
                # A hash of a file is no secret, whatever is in the file.
                command=(
                    self._script(name),
                    "writer",
                    pulumi.Output.unsecret(file.apply(lambda rendered: rendered.loaded)),
                ),
            ),
            config.context,
            pulumi.ResourceOptions(parent=self, depends_on=list(after)),
            uploads={f"{STAGE}/{name}.yml": file.apply(lambda rendered: rendered.text)},
        ).done

    def _script(self, name: str) -> str:
        """Return the shell script of a writer; its argument is the path that Traefik answers once it has the file.

        The draft lies beside the watched folder: a file there that goes while Traefik starts would stop it.
        """
        config = self._config
        upstream_files = " ".join([STATIC, *(upstream.name for upstream in config.upstreams if not upstream.servers)])
        admin = f"http://{ALIAS}:{ADMIN_PORT}"
        final, draft, before = f"dynamic/{name}.yml", f".{name}.new", f".{name}.before"
        lines = [f"cd {VOLUME}", "mkdir -p dynamic", "chmod 0755 . dynamic"]
        if name == STATIC:
            lines += [
                "for file in dynamic/*; do",
                f'  case " {upstream_files} " in *" $(basename "$file" .yml) "*) ;; *) rm -rf "$file" ;; esac',
                "done",
            ]
            if self._certificates:
                lines += [f"chown {USER} {CERTIFICATES}", f"chmod 0700 {CERTIFICATES}"]
        refused = (
            f"the edge proxy did not load {name}.yml within {LOAD_SECONDS} s; what it had before is put back."
            f" What it says: ./dockyard logs {pulumi.get_stack()} traefik"
        )
        lines += [
            f"rm -f {before}",
            f"if [ -f {final} ]; then cp -p {final} {before}; fi",
            f"cp {STAGE}/{name}.yml {draft}",
            f"chown {USER} {draft}",
            f"chmod 0400 {draft}",
            f"mv {draft} {final}",
            # Where it does not run, nothing is switched: it reads the file when it starts.
            f"if ! timeout 5 wget -q -T 4 -O /dev/null {admin}/ping 2>/dev/null; then exit 0; fi",
            f"end=$(($(date +%s) + {LOAD_SECONDS}))",
            f'until wget -q -T 2 -O /dev/null "{admin}$1" 2>/dev/null; do',
            '  if [ "$(date +%s)" -ge "$end" ]; then',
            f"    if [ -f {before} ]; then mv {before} {final}; else rm -f {final}; fi",
            f"    echo {shlex.quote(refused)}",
            "    exit 1",
            "  fi",
            "  sleep 0.1",
            "done",
            # Where there was nothing before, nothing is on its way.
            f"if [ -f {before} ]; then rm -f {before}; sleep {config.edge.drain}; fi",
        ]
        return "\n".join(lines)

    def _run(self, base_config_written: pulumi.Output[Sequence[pulumi.Resource]]) -> docker.Container:
        config, context = self._config, self._config.context
        names = tuple(sorted(upstream.name for upstream in config.upstreams if upstream.internal))
        mounts = [Mount(self._volume.name, DYNAMIC_FOLDER.rpartition("/")[0])]
        if self._certificates:
            mounts.append(Mount(self._certificates.name, CERTIFICATES_FOLDER, read_only=False))
        return run_service(
            f"{self._name}-traefik",
            ContainerSpec(
                role="traefik",
                image=config.image("traefik"),
                user=USER,
                entrypoint=("traefik",),
                command=tuple(arguments(config.edge, config.upstreams, config.https_port)),
                limits=config.edge.limits,
                # Two at once would share the names, and cannot share the ports.
                exclusive=True,
                networks=(
                    Attachment(context.app_network, (ALIAS, *names)),
                    Attachment(context.monitoring_network, (ALIAS,)),
                ),
                mounts=tuple(mounts),
                publish=tuple(self._port_mappings()),
                health=HealthCheck(healthcheck(), interval=config.edge.health_interval, retries=3, start_period=10),
                # Beyond the time that it gives requests itself.
                stop_grace=config.edge.drain + 5,
            ),
            context,
            pulumi.ResourceOptions(parent=self, depends_on=base_config_written),
        )

    def _port_mappings(self) -> list[PortMapping]:
        """Return the host's ports: those of routes where the settings say, all else on the loopback address."""
        config = self._config
        points = entry_points(config.upstreams)
        mappings = [
            PortMapping(points[name], port, config.edge.address)
            for name, port in ((WEB, config.http_port), (WEBSECURE, config.https_port))
            if name in points and port is not None
        ]
        published = [(upstream.name, upstream.published) for upstream in config.upstreams if upstream.published]
        return mappings + [PortMapping(points[published_name(name)], port) for name, port in sorted(published) if port]
