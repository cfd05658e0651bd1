"""EdgeProxy: Traefik, the only container that publishes ports."""

from __future__ import annotations

import shlex
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.edge.auth import RouteAuth, checked_users
from components.edge.traefik import (
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
from runtime.base import Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.spec import Attachment, ContainerSpec, HealthCheck, Mount, PortMapping
from settings.container import Limits
from settings.edge import Edge
from settings.names import ADMIN_PORT, STAGE

__all__ = ["EdgeProxy", "EdgeProxyArgs", "RouteAuth", "Upstream"]

USER = "65532:65532"
"""A user that the image does not define. Ports below 1024 need no capability: Docker (20.10 and later) sets
net.ipv4.ip_unprivileged_port_start=0 in a container's network namespace."""

ALIAS = "edge"
LOAD_SECONDS = 30
"""Time-out for loading a file, which takes Traefik a fraction of a second."""

VOLUME = "/dockyard/volume"
CERTIFICATES = "/dockyard/certificates"


@dataclass(frozen=True)
class EdgeProxyArgs:
    """Arguments of EdgeProxy."""

    edge: Edge
    context: StackContext

    upstreams: Sequence[Upstream]
    http_port: int | None
    """Port on the host for plain HTTP, redirected to `https_port`. Both are None without routes."""

    https_port: int | None


def checked_pair(certificate: str, key: str) -> tuple[str, str]:
    """Return a certificate and its key, both PEM, if they match.

    Raises pulumi.RunError where they do not: Traefik would continue and present its self-signed certificate.
    """
    with tempfile.TemporaryDirectory() as folder:
        # The library reads only files; the folder is private and deleted at once.
        chain_file, key_file = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        chain_file.write_text(certificate)
        key_file.write_text(key)
        try:
            # An empty password, so that an encrypted key is refused instead of prompting for its password.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain_file, key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            raise pulumi.RunError(
                f"edge.tls: the certificate and the key cannot be used together: {error}.\n"
                "  Both are PEM, the certificate with its chain, the key without a password."
            ) from error
    return certificate, key


class EdgeProxy(pulumi.ComponentResource):
    """Runs Traefik in front of healthy instances of services, and of tools and stores that are published or routed.

    On the app network it has the name of every service as an alias and listens on its port. It reads only a folder of
    files: no Docker socket, no API, no dashboard. A release of a service writes that service's file (`set_servers`),
    without a restart. Only a change of Traefik's arguments replaces the container, with a gap of a few seconds: when a
    service is added, removed or changes its port, when a port is published, or when the first route is added.
    """

    container: Instance
    containers: dict[str, Instance]
    targets: list[ScrapeTarget]

    def __init__(self, name: str, args: EdgeProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:edge_proxy:EdgeProxy", name, None, opts)
        self._name, self._args = name, args
        acme = args.edge.tls.acme
        self._volume = args.context.config_volume(f"{name}-config", self)
        self._certificates = args.context.data_volume(f"{name}-certificates", self) if acme else None
        self.container = self._run(self._write_base_config())
        self.containers = {"traefik": self.container}
        self.targets = [ScrapeTarget("traefik", f"{ALIAS}:{ADMIN_PORT}")]
        self.register_outputs({"fronts": sorted(upstream.name for upstream in args.upstreams)})

    def set_servers(self, name: str, servers: Sequence[pulumi.Input[str]]) -> pulumi.Output[Sequence[pulumi.Resource]]:
        """Route the requests for a service to exactly these containers, which must be healthy.

        The result is for `depends_on`: it resolves once Traefik has loaded the file, and requests to the previous
        servers have had the drain time. If Traefik does not load it within 30 s, the previous file is restored and the
        dependents fail. Raises ValueError for an unknown upstream.
        """
        args = self._args
        upstream = next((candidate for candidate in args.upstreams if candidate.name == name), None)
        if upstream is None:
            raise ValueError(f"the edge proxy does not stand before {name}")
        file = pulumi.Output.all(*servers).apply(
            lambda names: service_file(args.edge, args.upstreams, upstream, [str(server) for server in names])
        )
        return self._write(f"{self._name}-{name}-writer", name, file, after=[self.container.resource])

    def _write_base_config(self) -> pulumi.Output[Sequence[pulumi.Resource]]:
        args, tls = self._args, self._args.edge.tls
        auth_secrets = [
            upstream.auth.basic_auth for upstream in args.upstreams if upstream.auth and upstream.auth.basic_auth
        ]
        secret_names = {name for name in (tls.certificate, tls.key, *auth_secrets) if name}
        # Missing secrets are None, which only a preview permits.
        secrets = {name: pulumi.Config("dockyard").get_secret(name) for name in sorted(secret_names)}

        def render(values: Sequence[str | None]) -> File:
            by_name = dict(zip(secrets, values, strict=True))
            certificate, key = by_name.get(tls.certificate or ""), by_name.get(tls.key or "")
            pem = checked_pair(certificate, key) if certificate and key else None
            users = {name: checked_users(name, text) for name in auth_secrets if (text := by_name[name]) is not None}
            return base_config(args.edge, args.upstreams, pem, users)

        return self._write(f"{self._name}-writer", STATIC, pulumi.Output.all(*secrets.values()).apply(render), after=[])

    def _write(
        self, resource: str, name: str, file: pulumi.Output[File], after: Sequence[pulumi.Resource]
    ) -> pulumi.Output[Sequence[pulumi.Resource]]:
        """Create the job that writes one file of the dynamic folder. That of the base file also deletes stale files."""
        args = self._args
        mounts = [Mount(self._volume.name, VOLUME, read_only=False)]
        if name == STATIC and self._certificates:
            mounts.append(Mount(self._certificates.name, CERTIFICATES, read_only=False))
        return args.context.job(
            resource,
            ContainerSpec(
                role=resource,
                image=args.context.image("busybox"),
                user="0:0",
                read_only=False,
                capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER"),
                limits=Limits.of("64MB", cpus=0.5),
                networks=(Attachment(args.context.app_network),),
                mounts=tuple(mounts),
                entrypoint=("/bin/sh", "-ec"),
                # The hash in the path is no secret, even where the file is.
                command=(
                    self._script(name),
                    "writer",
                    pulumi.Output.unsecret(file.apply(lambda rendered: rendered.loaded)),
                ),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=list(after)),
            uploads={f"{STAGE}/{name}.yml": file.apply(lambda rendered: rendered.text)},
        ).done

    def _script(self, name: str) -> str:
        """Return the shell script of a writer; its argument is the path that Traefik answers once the file is loaded.

        The draft is kept outside the watched folder: a file that vanishes there while Traefik starts would stop it.
        """
        args = self._args
        upstream_files = " ".join([STATIC, *(upstream.name for upstream in args.upstreams if not upstream.servers)])
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
            # If Traefik does not run, there is nothing to wait for: it reads the file when it starts.
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
            # Without a previous file there are no requests to drain.
            f"if [ -f {before} ]; then rm -f {before}; sleep {args.edge.drain}; fi",
        ]
        return "\n".join(lines)

    def _run(self, base_config_written: pulumi.Output[Sequence[pulumi.Resource]]) -> Instance:
        args, context = self._args, self._args.context
        names = tuple(sorted(upstream.name for upstream in args.upstreams if upstream.internal))
        mounts = [Mount(self._volume.name, DYNAMIC_FOLDER.rpartition("/")[0])]
        if self._certificates:
            mounts.append(Mount(self._certificates.name, CERTIFICATES_FOLDER, read_only=False))
        return context.service(
            f"{self._name}-traefik",
            ContainerSpec(
                role="traefik",
                image=args.context.image("traefik"),
                user=USER,
                entrypoint=("traefik",),
                command=tuple(arguments(args.edge, args.upstreams, args.https_port)),
                limits=args.edge.limits,
                # Two containers would both have the network aliases, and cannot share the host's ports.
                exclusive=True,
                networks=(
                    Attachment(context.app_network, (ALIAS, *names)),
                    Attachment(context.monitoring_network, (ALIAS,)),
                ),
                mounts=tuple(mounts),
                publish=tuple(self._port_mappings()),
                health=HealthCheck(healthcheck(), interval=args.edge.health_interval, retries=3, start_period=10),
                # Longer than the time that Traefik itself gives to running requests.
                stop_grace=args.edge.drain + 5,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=base_config_written),
        )

    def _port_mappings(self) -> list[PortMapping]:
        """Return the published ports: those of routes on the configured address, all others on the loopback address."""
        args = self._args
        points = entry_points(args.upstreams)
        mappings = [
            PortMapping(points[name], port, args.edge.address)
            for name, port in ((WEB, args.http_port), (WEBSECURE, args.https_port))
            if name in points and port is not None
        ]
        published = [(upstream.name, upstream.published) for upstream in args.upstreams if upstream.published]
        return mappings + [PortMapping(points[published_name(name)], port) for name, port in sorted(published) if port]
