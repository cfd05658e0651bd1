"""EdgeProxy: Traefik's container with the published ports, and the jobs that write its dynamic files."""

from __future__ import annotations

import shlex
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi

from components.common import NONROOT
from components.edge.auth import parse_users
from components.edge.traefik import (
    BASE_FILE,
    CERTIFICATES_FOLDER,
    DYNAMIC_FOLDER,
    HEALTH_COMMAND,
    WEBSECURE,
    File,
    Upstream,
    arguments,
    base_config,
    entry_points,
    published_name,
    service_file,
)
from runtime.base import Instance, Resources
from runtime.context import ScrapeTarget, StackContext
from runtime.manifest import FILE_MODE, TARGET, StagedFiles
from runtime.spec import Attachment, ContainerSpec, HealthCheck, Mount, PortMapping, writer_spec
from settings.edge import Edge
from settings.names import ADMIN_PORT, STAGE

ALIAS = "edge"
LOAD_SECONDS = 30
"""Time-out for loading a file, which takes Traefik a fraction of a second."""

CERTIFICATES = "/dockyard/certificates"


def check_certificate(certificate: str, key: str) -> tuple[str, str]:
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
                f"edge.tls: invalid certificate or key: {error}.\n"
                "  Expected: both in PEM format, the certificate with its chain, the key without a password."
            ) from error
    return certificate, key


class EdgeProxy(pulumi.ComponentResource):
    """Runs Traefik in front of healthy instances of services, and of tools and stores that are published or routed.

    On the app network it has the name of every service as an alias and listens on its port. It reads only a folder of
    files: no Docker socket, no API, no dashboard. A release of a service writes that service's file (`set_servers`),
    without a restart. Only a change of Traefik's arguments replaces the container, with a gap of a few seconds: when a
    service is added, removed or changes its port, when a port is published, or when the first route is added.

    `ports` maps the entry points of routes (`web`, `websecure`) to ports on the host; it is empty without routes.
    """

    containers: dict[str, Instance]
    targets: list[ScrapeTarget]

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        edge: Edge,
        upstreams: Sequence[Upstream],
        ports: Mapping[str, int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:edge_proxy:EdgeProxy", name, None, opts)
        self._name, self._context, self._edge = name, context, edge
        self.upstreams, self.ports = upstreams, ports
        self._volume = context.config_volume(f"{name}-config", self)
        self._certificates = context.data_volume(f"{name}-certificates", self) if edge.tls.acme else None
        self.containers = {"traefik": self._run(self._write_base_config())}
        self.targets = [ScrapeTarget("traefik", f"{ALIAS}:{ADMIN_PORT}")]
        self.register_outputs({"fronts": sorted(upstream.name for upstream in upstreams)})

    def set_servers(self, name: str, servers: Sequence[pulumi.Input[str]]) -> Resources:
        """Route the requests for a service to exactly these containers, which must be healthy.

        The result is for `depends_on`: it resolves once Traefik has loaded the file, and requests to the previous
        servers have had the drain time. If Traefik does not load it within 30 s, the previous file is restored and the
        dependents fail. Raises ValueError for an unknown upstream.
        """
        upstream = next((candidate for candidate in self.upstreams if candidate.name == name), None)
        if upstream is None:
            raise ValueError(f"the edge proxy has no route to {name}")
        file = pulumi.Output.all(*servers).apply(
            lambda names: service_file(self._edge, self.upstreams, upstream, [str(server) for server in names])
        )
        return self._write(f"{self._name}-{name}-writer", name, file, after=[self.containers["traefik"].resource])

    def _write_base_config(self) -> Resources:
        tls = self._edge.tls
        auth_secrets = [
            upstream.auth.basic_auth for upstream in self.upstreams if upstream.auth and upstream.auth.basic_auth
        ]
        secret_names = {name for name in (tls.certificate, tls.key, *auth_secrets) if name}
        # Missing secrets are None, which only a preview permits.
        secrets = {name: pulumi.Config("dockyard").get_secret(name) for name in sorted(secret_names)}

        def render(values: Sequence[str | None]) -> File:
            by_name = dict(zip(secrets, values, strict=True))
            certificate, key = by_name.get(tls.certificate or ""), by_name.get(tls.key or "")
            pem = check_certificate(certificate, key) if certificate and key else None
            users = {name: parse_users(name, text) for name in auth_secrets if (text := by_name[name]) is not None}
            return base_config(self._edge, self.upstreams, pem, users)

        return self._write(
            f"{self._name}-writer", BASE_FILE, pulumi.Output.all(*secrets.values()).apply(render), after=[]
        )

    def _write(self, resource: str, name: str, file: pulumi.Output[File], after: list[pulumi.Resource]) -> Resources:
        """Create the job that writes one file of the dynamic folder. That of the base file also deletes stale files."""
        mounts = [Mount(self._volume.name, TARGET, read_only=False)]
        if name == BASE_FILE and self._certificates:
            mounts.append(Mount(self._certificates.name, CERTIFICATES, read_only=False))
        # The hash in the path is no secret, even where the file is.
        loaded = pulumi.Output.unsecret(file.apply(lambda rendered: rendered.loaded))
        command = (self._script(name), "writer", loaded)
        busybox = self._context.image("busybox")
        return self._context.job(
            resource,
            writer_spec(resource, busybox, self._context.app_network, command, mounts, read_only=False),
            pulumi.ResourceOptions(parent=self, depends_on=after),
            StagedFiles(
                {f"{STAGE}/{name}.yml": file.apply(lambda rendered: rendered.text)},
                owner=NONROOT,
                folder="dynamic",
                leftovers=(f".{name}.before",),
            ),
        ).done

    def _script(self, name: str) -> str:
        """Return the shell script of a writer; its argument is the path that Traefik answers once the file is loaded.

        The draft is kept outside the watched folder: a file that vanishes there while Traefik starts would stop it.
        """
        upstream_files = " ".join([BASE_FILE, *(upstream.name for upstream in self.upstreams if not upstream.servers)])
        admin = f"http://{ALIAS}:{ADMIN_PORT}"
        final, draft, before = f"dynamic/{name}.yml", f".{name}.new", f".{name}.before"
        lines = [f"cd {TARGET}", "mkdir -p dynamic", "chmod 0755 . dynamic"]
        if name == BASE_FILE:
            lines += [
                "for file in dynamic/*; do",
                f'  case " {upstream_files} " in *" $(basename "$file" .yml) "*) ;; *) rm -rf "$file" ;; esac',
                "done",
            ]
            if self._certificates:
                lines += [f"chown {NONROOT} {CERTIFICATES}", f"chmod 0700 {CERTIFICATES}"]
        refused = (
            f"the edge proxy did not load {name}.yml within {LOAD_SECONDS} s; what it had before is put back."
            f" What it says: ./dockyard logs {pulumi.get_stack()} traefik"
        )
        lines += [
            f"rm -f {before}",
            f"if [ -f {final} ]; then cp -p {final} {before}; fi",
            f"cp {STAGE}/{name}.yml {draft}",
            f"chown {NONROOT} {draft}",
            f"chmod {FILE_MODE} {draft}",
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
            f"if [ -f {before} ]; then rm -f {before}; sleep {self._edge.drain}; fi",
        ]
        return "\n".join(lines)

    def _run(self, base_config_written: Resources) -> Instance:
        context, edge = self._context, self._edge
        names = tuple(sorted(upstream.name for upstream in self.upstreams if upstream.served_by_name))
        mounts = [Mount(self._volume.name, DYNAMIC_FOLDER.rpartition("/")[0])]
        if self._certificates:
            mounts.append(Mount(self._certificates.name, CERTIFICATES_FOLDER, read_only=False))
        return context.service(
            f"{self._name}-traefik",
            ContainerSpec(
                role="traefik",
                image=context.image("traefik"),
                # Ports below 1024 need no capability: Docker (20.10 and later) sets
                # net.ipv4.ip_unprivileged_port_start=0 in a container's network namespace.
                user=NONROOT,
                entrypoint=("traefik",),
                command=tuple(arguments(edge, self.upstreams, self.ports.get(WEBSECURE))),
                limits=edge.limits,
                # Two containers would both have the network aliases, and cannot share the host's ports.
                exclusive=True,
                networks=(
                    Attachment(context.app_network, (ALIAS, *names)),
                    Attachment(context.monitoring_network, (ALIAS,)),
                ),
                mounts=tuple(mounts),
                publish=tuple(self._port_mappings()),
                health=HealthCheck(HEALTH_COMMAND, interval=edge.health_interval, retries=3, start_period=10),
                # Longer than the time that Traefik itself gives to running requests.
                stop_grace=edge.drain + 5,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=base_config_written),
        )

    def _port_mappings(self) -> list[PortMapping]:
        """Return the published ports: those of routes on the configured address, all others on the loopback address."""
        points = entry_points(self.upstreams)
        mappings = [
            PortMapping(points[name], port, self._edge.address) for name, port in self.ports.items() if name in points
        ]
        published = [(upstream.name, upstream.published) for upstream in self.upstreams if upstream.published]
        return mappings + [PortMapping(points[published_name(name)], port) for name, port in sorted(published) if port]
