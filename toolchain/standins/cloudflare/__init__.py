"""Stand-in for the official Cloudflare plugin: the types of the tunnel, over Cloudflare's own HTTP API (v4)."""
