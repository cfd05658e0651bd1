"""Replaces, on closed networks, what no official site can be asked for: plugins, images, programs, the Pulumi CLI.

The rest of Dockyard is written for the official plugins and images; only `toolchain` falls back to this package.
"""
