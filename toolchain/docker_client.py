"""Clients of Docker engines whose `exec` returns all output."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import docker
from docker.types import CancellableStream
from docker.utils.socket import consume_socket_output, demux_adaptor

FRAME_HEADER = ">BxxxL"
"""Stream (1 is stdout, 2 is stderr) and length of the bytes that follow."""


class _Api(docker.APIClient):
    def exec_start(  # type: ignore[override] # one signature for the overloads of the type stubs
        self,
        exec_id: str,
        detach: bool = False,
        tty: bool = False,
        stream: bool = False,
        socket: bool = False,
        demux: bool = False,
    ) -> Any:
        """Start a command as docker-py does, and read its output through the buffer that has read the HTTP header.

        docker-py 7.1 reads from the socket below that buffer. On a busy machine the first output arrives together with
        the header: it stays in the buffer and is lost.
        """
        if detach or tty or socket:
            return super().exec_start(exec_id, detach=detach, tty=tty, stream=stream, socket=socket, demux=demux)
        api: Any = self  # the stubs leave out what docker-py itself uses here
        url, body = api._url("/exec/{0}/start", exec_id), {"Tty": False, "Detach": False}
        response = api._post_json(url, data=body, stream=True)
        # A command may be silent for longer than any answer of the engine takes.
        api._disable_socket_timeout(api._get_raw_response_socket(response))
        frames = _frames(response.raw)
        parts: Any = (demux_adaptor(*frame) for frame in frames) if demux else (data for _, data in frames)
        if stream:
            return CancellableStream(parts, response)
        try:
            return consume_socket_output(parts, demux=True) if demux else b"".join(parts)
        finally:
            response.close()


def _frames(raw: Any) -> Iterator[tuple[Any, bytes]]:
    while header := raw.read(struct.calcsize(FRAME_HEADER)):
        kind, length = struct.unpack(FRAME_HEADER, header)
        yield kind, raw.read(length)


class DockerClient(docker.DockerClient):
    """Client of the engine at an address; `options` are those of `docker.APIClient`."""

    def __init__(self, address: str, **options: Any) -> None:
        self.api = _Api(base_url=address, **options)
