"""Traefik, the only container that publishes ports."""
