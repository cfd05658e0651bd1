"""Traefik as EdgeProxy runs it: what the program registers is made on a real engine, input by input."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from docker.models.containers import Container

from components.edge.proxy import EdgeProxy
from components.edge.traefik import Upstream
from settings.edge import Edge
from tests.images.edge_clients import secure
from tests.support.component_stage import LABEL, ComponentStage
from tests.support.containers import wait_in
from tests.support.recording import RecordedProgram, record

APP, MONITORING = "app", "monitoring"

HTTP_SERVER = """
import http.server, socket
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sick = False
    def do_GET(self):
        if self.path == "/sick":
            Answer.sick = True
        status = 503 if self.path == "/health" and Answer.sick else 200
        body = f"{NAME} {self.headers['Host']} {self.headers.get('X-Forwarded-For')}".encode()
        self.send_response(status)
        self.send_header("X-Release", "NAME")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("", PORT), Answer).serve_forever()
"""

TCP_SERVER = """
import socketserver
class Greet(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"hello from NAME\\n")
        self.wfile.write(self.rfile.readline().upper())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("", PORT), Greet).serve_forever()
"""
"""It speaks first, as some protocols do."""


@dataclass
class Stage(ComponentStage):
    """Networks, volumes and containers of one edge proxy."""

    edge: Edge
    fronts: Sequence[Upstream]
    http_port: int | None = None
    https_port: int | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    first_complaints: list[str] | None = None  # complaints of Traefik before any test: tests provoke some

    def world(self, *switches: tuple[str, Sequence[str]]) -> RecordedProgram:
        def program() -> None:
            context = self.context(self.named(APP), self.named(MONITORING))
            ports = {"web": self.http_port, "websecure": self.https_port} if self.https_port else {}
            proxy = EdgeProxy("e", context, edge=self.edge, upstreams=self.fronts, ports=ports)
            for name, servers in switches:
                proxy.set_servers(name, [self.named(server) for server in servers])

        return record(program, secrets=self.secrets)

    def named(self, name: str) -> str:
        return f"{self.mark}-{name}"

    def up(self) -> Container:
        """Make networks, write the fixed file, run Traefik and wait until it is healthy."""
        for network in (APP, MONITORING):
            self.make_network(self.named(network))
        world = self.world()
        code, said = self.job(world["e-writer"])
        assert (code, said) == (0, ""), said
        return self.start(world["e-traefik"])

    def switch(self, name: str, *servers: str) -> tuple[int, str]:
        """Run the writer of a service; return its exit code and its output."""
        return self.job(self.world((name, servers))[f"e-{name}-writer"])

    @property
    def traefik(self) -> Container:
        containers = self.engine.containers.list(filters={"label": f"{LABEL}={self.mark}"})
        return next(one for one in containers if any("providers.file" in part for part in one.attrs["Args"]))

    def complaints(self) -> list[str]:
        lines = [json.loads(line) for line in self.traefik.logs().decode().splitlines() if line.startswith("{")]
        assert lines
        return [line.get("message") or str(line) for line in lines if line["level"] not in ("debug", "info")]

    def published(self, name: str) -> int:
        return next(front.published for front in self.fronts if front.name == name and front.published)

    def https(
        self, host: str, path: str = "/", headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, str, bytes]:
        """Ask over TLS as `host`; return the response, its body, and the certificate that the server showed."""
        assert self.https_port
        return secure(self.https_port, host, path, headers)

    def server(
        self, name: str, port: int, code: str = HTTP_SERVER, network: str = APP, alias: str | None = None
    ) -> Container:
        """Run a server under its own name, or under another as a tool has it, on the app network or on `network`."""
        program = code.replace("{NAME}", name).replace("NAME", name).replace("PORT", str(port))
        container = self.engine.containers.run(
            self.images["python"],
            ["python3", "-c", program],
            name=self.named(name),
            network=self.named(network),
            labels=self.labels,
            detach=True,
        )
        if alias:
            joined = self.engine.networks.get(self.named(network))
            joined.disconnect(container)
            joined.connect(container, aliases=[alias])
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
        wait_in(container, lambda: container.exec_run(["python3", "-c", probe])[0] == 0, f"{name} listens")
        return container

    def ask(self, url: str, network: str = APP) -> tuple[int, str]:
        """Ask from a container on a network; return wget's exit code and what it printed."""
        container = self.engine.containers.run(
            self.images["busybox"],
            ["wget", "-q", "-T", "5", "-O", "-", url],
            network=self.named(network),
            labels=self.labels,
            detach=True,
        )
        code = container.wait(timeout=60)["StatusCode"]
        said = container.logs().decode()
        container.remove(v=True)
        return code, said
