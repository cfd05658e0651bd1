"""CloudflareTunnel: Grafana by name, without an open port on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.config_volume import ConfigVolume
from components.connection import SECRETS_FOLDER
from components.container import run_service
from components.context import StackContext
from components.spec import Attachment, ContainerSpec, HealthCheck
from settings.tunnel import Tunnel

USER = "65532:65532"
"""`nonroot` of the official image."""

METRICS = "127.0.0.1:20241"


@dataclass(frozen=True)
class CloudflareTunnelConfig:
    """What CloudflareTunnel is made from."""

    tunnel: Tunnel
    context: StackContext
    image: Callable[[str], str]
    service: str
    """The address that the host name leads to, as cloudflared sees it."""


class CloudflareTunnel(pulumi.ComponentResource):
    """Runs a tunnel's connector; makes the tunnel at Cloudflare and its DNS name, unless the settings have its token.

    The host name leads to one service; anything else answers 404. The connector's token is a file. Of a tunnel that
    is there already nothing is managed, routes included, and Cloudflare's plugin is not needed.
    """

    containers: dict[str, docker.Container]

    def __init__(self, name: str, config: CloudflareTunnelConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:cloudflare_tunnel:CloudflareTunnel", name, None, opts)
        settings, context = config.tunnel, config.context
        if settings.token:
            # In a preview that goes on without secrets there is none.
            token = pulumi.Config("dockyard").get_secret(settings.token) or pulumi.Output.secret("")
        else:
            token = pulumi.Output.secret(self._made_tunnel(name, config))
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
                networks=(Attachment(context.monitoring_network, ("cloudflared",)),),
                mounts=(secrets.mounted_at(SECRETS_FOLDER),),
                # The image has no shell: the program checks itself.
                health=HealthCheck(("cloudflared", "tunnel", "--metrics", METRICS, "ready")),
            ),
            context,
            pulumi.ResourceOptions(parent=self, depends_on=secrets.ready),
        )
        self.containers = {"cloudflared": cloudflared}
        self.register_outputs({"hostname": settings.hostname})

    def _made_tunnel(self, name: str, config: CloudflareTunnelConfig) -> pulumi.Output[str]:
        """Make the tunnel, what it leads to and its DNS name; return its token."""
        import pulumi_cloudflare as cloudflare  # noqa: PLC0415 - takes two seconds, and a plugin

        settings, context = config.tunnel, config.context
        own = pulumi.ResourceOptions(parent=self)
        tunnel = cloudflare.ZeroTrustTunnelCloudflared(
            f"{name}-tunnel",
            account_id=settings.account_id,
            name=settings.name,
            config_src="cloudflare",
            opts=own,
        )
        cloudflare.ZeroTrustTunnelCloudflaredConfig(
            f"{name}-ingress",
            account_id=settings.account_id,
            tunnel_id=tunnel.id,
            source="cloudflare",
            config=cloudflare.ZeroTrustTunnelCloudflaredConfigConfigArgs(
                ingresses=[
                    cloudflare.ZeroTrustTunnelCloudflaredConfigConfigIngressArgs(
                        hostname=settings.hostname, service=config.service
                    ),
                    cloudflare.ZeroTrustTunnelCloudflaredConfigConfigIngressArgs(service="http_status:404"),
                ]
            ),
            opts=own,
        )
        cloudflare.DnsRecord(
            f"{name}-dns",
            zone_id=settings.zone_id,
            name=settings.hostname,
            type="CNAME",
            content=pulumi.Output.concat(tunnel.id, ".cfargotunnel.com"),
            proxied=True,
            ttl=1,
            comment=f"Made by Dockyard for {context.product} {context.environment}",
            opts=own,
        )
        return cloudflare.get_zero_trust_tunnel_cloudflared_token_output(
            account_id=settings.account_id,
            tunnel_id=tunnel.id,
            opts=pulumi.InvokeOutputOptions(parent=self),
        ).token
