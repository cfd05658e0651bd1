"""The Cloudflare tunnel and its Access applications."""
