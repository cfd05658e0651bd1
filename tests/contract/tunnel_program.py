"""The tunnel alone, as a Pulumi program: `tunnel.json` beside it says what the stack's `tunnel:` would."""

import json
from pathlib import Path

import pulumi

from components.cloudflare_tunnel import CloudflareTunnel, CloudflareTunnelConfig
from components.context import StackContext
from settings.docker import Docker
from settings.tunnel import Tunnel

said = json.loads(Path("tunnel.json").read_text())
context = StackContext(
    product="shop",
    environment="staging",
    docker=Docker(),
    protects_data=True,
    app_network=pulumi.Output.from_input("app-net"),
    monitoring_network=pulumi.Output.from_input("monitoring-net"),
)
config = CloudflareTunnelConfig(Tunnel.model_validate(said), context, lambda name: name, {"web": 3000, "api": 3333})
pulumi.export("secrets", CloudflareTunnel("t", config).secrets)
