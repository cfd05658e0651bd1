"""CloudflareTunnel: public names for Grafana and services of the product, without an open port on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.cloudflare.access import AccessOutputs, protect_with_access
from components.common import NONROOT
from runtime.base import Instance
from runtime.context import StackContext
from runtime.secret_files import SECRETS_FOLDER, required_secret
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck
from settings.names import TOOLS
from settings.tunnel import Tunnel

METRICS = "127.0.0.1:20241"
GRAFANA = f"http://grafana:{TOOLS['grafana']}"
"""Grafana's address on the monitoring network, as in the seeds' routes."""


class CloudflareTunnel(pulumi.ComponentResource):
    """Runs a tunnel's connector, and creates the tunnel and its DNS records unless the settings have its token.

    One host name leads to Grafana, and each configured service has one of its own; everything else answers 404. Where
    Access protects a name, the connector also refuses requests that did not pass it. The connector reads its token from
    a file. Nothing of an existing tunnel is managed, routes included, and Cloudflare's plugin is not needed for it.
    Grafana is the only tool that can be reached: Prometheus, Alertmanager and Loki have no authentication.

    `ports` maps each service to its port on the app network, on which the edge proxy listens for it.
    """

    containers: dict[str, Instance]
    secrets: dict[str, pulumi.Output[str]]
    """Id and secret of each service token, with which programs pass Access."""

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        tunnel: Tunnel,
        ports: Mapping[str, int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:cloudflare_tunnel:CloudflareTunnel", name, None, opts)
        self.secrets = {}
        if tunnel.token:
            token = required_secret(tunnel.token)
        else:
            token = pulumi.Output.secret(self._create_tunnel(name, context, tunnel, ports))
        networks = [Attachment(context.monitoring_network, ("cloudflared",))]
        if tunnel.services:
            networks.append(Attachment(context.app_network, ()))
        file_set = FileSet(files={"tunnel-token": token}, owner=NONROOT, image=context.image("busybox"))
        secrets = context.files(f"{name}-token", file_set, self)
        cloudflared = context.service(
            f"{name}-cloudflared",
            ContainerSpec(
                role="cloudflared",
                image=context.image("cloudflared"),
                user=NONROOT,
                command=("tunnel", "--no-autoupdate", "--metrics", METRICS, "run"),
                env={"TUNNEL_TOKEN_FILE": f"{SECRETS_FOLDER}/tunnel-token"},
                limits=tunnel.limits,
                networks=tuple(networks),
                mounts=(secrets.mounted_at(SECRETS_FOLDER),),
                # The image has no shell, so cloudflared checks itself.
                health=HealthCheck(("cloudflared", "tunnel", "--metrics", METRICS, "ready")),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=secrets.ready),
        )
        self.containers = {"cloudflared": cloudflared}
        self.register_outputs({"hostname": tunnel.hostname})

    def _create_tunnel(
        self, name: str, context: StackContext, settings: Tunnel, ports: Mapping[str, int]
    ) -> pulumi.Output[str]:
        """Create the tunnel, its ingress rules, its Access applications and its DNS records; return its token."""
        import pulumi_cloudflare as cloudflare  # noqa: PLC0415 - takes two seconds, and a plugin

        child_opts = pulumi.ResourceOptions(parent=self)
        # A new account replaces the tunnel. The old one is deleted only after its connector has left it, as Cloudflare
        # requires, so nothing is deleted before replacement. A new name is an update in place.
        tunnel = cloudflare.ZeroTrustTunnelCloudflared(
            f"{name}-tunnel",
            account_id=settings.account_id,
            name=settings.name,
            config_src="cloudflare",
            opts=child_opts,
        )
        access = protect_with_access(name, settings, self)
        self.secrets = dict(access.secrets)
        ingress = cloudflare.ZeroTrustTunnelCloudflaredConfig(
            f"{name}-ingress",
            account_id=settings.account_id,
            tunnel_id=tunnel.id,
            config={"ingresses": _ingress(settings, ports, access)},
            opts=child_opts,
        )
        for hostname, zone in settings.zones.items():
            cloudflare.DnsRecord(
                f"{name}-dns-{hostname}",
                zone_id=zone,
                # The full name: Cloudflare returns it in this form in any case.
                name=hostname,
                type="CNAME",
                content=pulumi.Output.concat(tunnel.id, ".cfargotunnel.com"),
                proxied=True,
                # 1 means automatic, the only value that a proxied record can have.
                ttl=1,
                comment=f"Made by Dockyard for {context.product} {context.environment}",
                # The name must not resolve before Access protects it, and it cannot have a second CNAME.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[ingress], delete_before_replace=True),
            )
        return cloudflare.get_zero_trust_tunnel_cloudflared_token_output(
            account_id=settings.account_id,
            tunnel_id=tunnel.id,
            opts=pulumi.InvokeOutputOptions(parent=self),
        ).token


def _ingress(settings: Tunnel, ports: Mapping[str, int], access: AccessOutputs) -> list[Any]:
    """Return the ingress rules in the order in which cloudflared tries them: longer paths first."""
    rules: list[dict[str, Any]] = [{"hostname": settings.hostname, "service": GRAFANA}]
    for service in sorted(settings.services, key=lambda service: (service.hostname, -len(service.path))):
        rule: dict[str, Any] = {"hostname": service.hostname}
        rule["service"] = f"http://{service.service}:{ports[service.service]}"
        path = service.path.rstrip("/")
        # cloudflared takes the path as a regular expression.
        rules.append({**rule, "path": f"^{path.replace('.', '[.]')}(/|$)"} if path else rule)
    for rule in rules:
        if settings.access and (audience := access.audiences.get(rule["hostname"])):
            check = {"required": True, "team_name": settings.access.team, "aud_tags": [audience]}
            rule["origin_request"] = {"access": check}
    return [*rules, {"service": "http_status:404"}]
