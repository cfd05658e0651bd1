"""Ports on this machine's loopback address."""

from __future__ import annotations

import socket


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # Servers set this option too: connections of a predecessor that are still closing do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
