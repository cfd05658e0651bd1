"""`python -m offline.standins.cloudflare`: the plugin process."""

from offline.standins.launch import launch

launch("offline.standins.cloudflare.provider", "CloudflareProvider")
