"""CloudflareTunnel: Grafana, and services of the product, by name and without an open port on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.cloudflare_access import AccessOutputs, protect_with_access
from components.config_volume import ConfigVolume
from components.connection import SECRETS_FOLDER
from components.container import run_service
from components.context import StackContext
from components.spec import Attachment, ContainerSpec, HealthCheck
from settings.tunnel import Tunnel

USER = "65532:65532"
"""`nonroot` of the official image."""

METRICS = "127.0.0.1:20241"
GRAFANA = "http://grafana:3000"
"""As in the seeds' routes. It is on the monitoring network."""


@dataclass(frozen=True)
class CloudflareTunnelConfig:
    """What CloudflareTunnel is made from."""

    tunnel: Tunnel
    context: StackContext
    image: Callable[[str], str]
    ports: Mapping[str, int]
    """Service → its port on the app network, where the edge proxy stands in for it."""


class CloudflareTunnel(pulumi.ComponentResource):
    """Runs a tunnel's connector; makes the tunnel at Cloudflare and its DNS names, unless the settings have its token.

    The host name leads to Grafana, and each of the settings' services has one of its own; anything else answers 404.
    Where Access stands before a name, the connector itself refuses who does not come through it. The connector's token
    is a file. Of a tunnel that is there already nothing is managed, routes included, and Cloudflare's plugin is not
    needed. No tool but Grafana can be reached: Prometheus, Alertmanager and Loki ask nobody for a password.
    """

    containers: dict[str, docker.Container]
    secrets: dict[str, pulumi.Output[str]]
    """What programs come in by, where Access stands before: id and secret of each service token."""

    def __init__(self, name: str, config: CloudflareTunnelConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:cloudflare_tunnel:CloudflareTunnel", name, None, opts)
        settings, context = config.tunnel, config.context
        self.secrets = {}
        if settings.token:
            # In a preview that goes on without secrets there is none.
            token = pulumi.Config("dockyard").get_secret(settings.token) or pulumi.Output.secret("")
        else:
            token = pulumi.Output.secret(self._create_tunnel(name, config))
        networks = [Attachment(context.monitoring_network, ("cloudflared",))]
        if settings.services:
            networks.append(Attachment(context.app_network, ()))
        secrets = ConfigVolume(
            f"{name}-token",
            files={"tunnel-token": token},
            owner=USER,
            image=config.image("busybox"),
            context=context,
            parent=self,
        )
        cloudflared = run_service(
            f"{name}-cloudflared",
            ContainerSpec(
                role="cloudflared",
                image=config.image("cloudflared"),
                user=USER,
                command=("tunnel", "--no-autoupdate", "--metrics", METRICS, "run"),
                env={"TUNNEL_TOKEN_FILE": f"{SECRETS_FOLDER}/tunnel-token"},
                limits=settings.limits,
                networks=tuple(networks),
                mounts=(secrets.mounted_at(SECRETS_FOLDER),),
                # The image has no shell: the program checks itself.
                health=HealthCheck(("cloudflared", "tunnel", "--metrics", METRICS, "ready")),
            ),
            context,
            pulumi.ResourceOptions(parent=self, depends_on=secrets.ready),
        )
        self.containers = {"cloudflared": cloudflared}
        self.register_outputs({"hostname": settings.hostname})

    def _create_tunnel(self, name: str, config: CloudflareTunnelConfig) -> pulumi.Output[str]:
        """Make the tunnel, what it leads to, who may come in and its DNS names; return its token."""
        import pulumi_cloudflare as cloudflare  # noqa: PLC0415 - takes two seconds, and a plugin

        settings, context = config.tunnel, config.context
        child_opts = pulumi.ResourceOptions(parent=self)
        # A new account replaces it. The old one goes after the connector has left it, which Cloudflare asks for: so
        # nothing is deleted first. A new name is a change in place.
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
            config={"ingresses": _ingress(config, access)},
            opts=child_opts,
        )
        for hostname, zone in settings.zones.items():
            cloudflare.DnsRecord(
                f"{name}-dns-{hostname}",
                zone_id=zone,
                # The whole name: Cloudflare tells it so, whatever was said.
                name=hostname,
                type="CNAME",
                content=pulumi.Output.concat(tunnel.id, ".cfargotunnel.com"),
                proxied=True,
                # 1 is automatic, and all that a proxied record can have.
                ttl=1,
                comment=f"Made by Dockyard for {context.product} {context.environment}",
                # Nobody gets there before Access stands before it; and a name cannot have a second CNAME.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[ingress], delete_before_replace=True),
            )
        return cloudflare.get_zero_trust_tunnel_cloudflared_token_output(
            account_id=settings.account_id,
            tunnel_id=tunnel.id,
            opts=pulumi.InvokeOutputOptions(parent=self),
        ).token


def _ingress(config: CloudflareTunnelConfig, access: AccessOutputs) -> list[Any]:
    """Return the ingress rules in the order in which cloudflared tries them: a path before what it is below."""
    settings = config.tunnel
    rules: list[dict[str, Any]] = [{"hostname": settings.hostname, "service": GRAFANA}]
    for service in sorted(settings.services, key=lambda service: (service.hostname, -len(service.path))):
        rule = {"hostname": service.hostname, "service": f"http://{service.service}:{config.ports[service.service]}"}
        path = service.path.rstrip("/")
        # A regular expression, to cloudflared.
        rules.append({**rule, "path": f"^{path.replace('.', '[.]')}(/|$)"} if path else rule)
    catch_all = {"service": "http_status:404"}
    return [*(_with_access_check(rule, settings, access) for rule in rules), catch_all]


def _with_access_check(rule: dict[str, Any], settings: Tunnel, access: AccessOutputs) -> dict[str, Any]:
    audience = access.audiences.get(rule["hostname"])
    if audience is None or settings.access is None:
        return rule
    access_check = {"required": True, "team_name": settings.access.team, "aud_tags": [audience]}
    return {**rule, "origin_request": {"access": access_check}}
