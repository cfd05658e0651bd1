"""The tunnel alone, as a Pulumi program: `tunnel.json` beside it says what the stack's `tunnel:` would."""

import json
from pathlib import Path

import pulumi

from components.cloudflare.tunnel import CloudflareTunnel
from runtime.docker import DockerRuntime
from settings.container import Docker
from settings.tunnel import Tunnel

said = json.loads(Path("tunnel.json").read_text())
context = DockerRuntime(
    product="shop",
    environment="staging",
    docker=Docker(),
    protects_data=True,
    app_network=pulumi.Output.from_input("app-net"),
    monitoring_network=pulumi.Output.from_input("monitoring-net"),
    image=str,
)
tunnel = CloudflareTunnel("t", context, tunnel=Tunnel.model_validate(said), ports={"web": 3000, "api": 3333})
pulumi.export("secrets", tunnel.secrets)
