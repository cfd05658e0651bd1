"""Stand-in for the official Cloudflare plugin: tunnel, DNS and Access types, on Cloudflare's own HTTP API (v4)."""
