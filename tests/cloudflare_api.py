"""A fake of Cloudflare's API v4 on 127.0.0.1: tunnels, their configuration and token, DNS records, and Access.

It answers in Cloudflare's envelope, page by page, and refuses what Cloudflare refuses: a wrong token, an account that
is not there, a name taken, an ingress without a catch-all rule, a tunnel with open connections, requests in a hurry.
"""

import base64
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from tests.cloudflare_access import NOW, Access, Page, Refused
from tests.support.ports import serving

TOKEN = "a-token-that-cloudflare-knows"
ZONE_NAME = "example.org"
SECRET = "c2VjcmV0"  # of every tunnel: what its token carries, and what its connector shows

SILENT_SECONDS = 10.0  # a connector that has not asked for so long is gone


class Cloudflare:
    """The state of the account and its zone, and every request that came in."""

    def __init__(self) -> None:
        self.tunnels: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self.access = Access()
        self.missing: set[str] = set()  # accounts and zones that are not there
        self.refusals: list[Refused] = []  # what the next requests get, one each
        self.requests: list[tuple[str, str, Any]] = []
        self.url = ""
        self.raw_answer: tuple[int, bytes] | None = None
        """When set, every request gets this: what a proxy in between would say."""
        self.edge = False
        """Tokens name this fake as their endpoint, where the image kit's cloudflared double gets its configuration."""
        self.access_keys: list[dict[str, str]] = []  # public keys (JWK) that Access signs with
        self._heard: dict[str, float] = {}

    def answer(self, method: str, path: str, body: Any) -> Any:
        """Return the result of one request. Raises Refused."""
        self.requests.append((method, path, body))
        if self.refusals:
            raise self.refusals.pop(0)
        path, _, said = path.partition("?")
        query = dict(parse_qsl(said))
        if self.missing & {*path.split("/")}:
            whole = f"/client/v4{path}"
            raise Refused(400, 7003, f"Could not route to {whole}, perhaps your object identifier is invalid?")
        lists = {"cfd_tunnel": self.tunnels, "dns_records": self.records}
        if method == "GET" and (held := lists.get(path.rsplit("/", 1)[-1])) is not None:
            return Page(list(held.values()), query)
        if found := re.fullmatch(r"/accounts/\w+/access(/.*)", path):
            return self.access.answer(method, found[1], body, query)
        for pattern, handler in (
            (r"/accounts/(\w+)/cfd_tunnel", self._tunnels),
            (r"/accounts/(\w+)/cfd_tunnel/([\w-]+)", self._tunnel),
            (r"/accounts/(\w+)/cfd_tunnel/([\w-]+)/configurations", self._configuration),
            (r"/accounts/(\w+)/cfd_tunnel/([\w-]+)/token", self._token),
            (r"/zones/(\w+)/dns_records", self._dns_records),
            (r"/zones/(\w+)/dns_records/(\w+)", self._dns_record),
        ):
            if found := re.fullmatch(pattern, path):
                return handler(method, body, *found.groups())
        raise Refused(404, 7003, f"Could not route to {path}, perhaps your object identifier is invalid?")

    def connector(self, method: str, tunnel: str, client: str) -> Any:
        """Connect a tunnel's connector, or go on: what it is told over its connections. DELETE disconnects it."""
        found = self._known(tunnel)
        if found["deleted_at"]:
            raise Refused(404, 1003, "Tunnel not found")
        if method == "DELETE":
            self._heard.pop(tunnel, None)
            found.update(connections=[], status="down", conns_inactive_at=NOW)
        else:
            self._heard[tunnel] = time.monotonic()
            found.update(connections=[{"client_id": client}], status="healthy", conns_active_at=NOW)
        return {key: self.configs.get(tunnel, {}).get(key) for key in ("version", "config")}

    def _tunnels(self, method: str, body: Any, account: str) -> Any:
        assert method == "POST"
        if any(t["name"] == body["name"] and not t["deleted_at"] for t in self.tunnels.values()):
            raise Refused(409, 1013, "You already have a tunnel with this name")
        identity = str(uuid.uuid4())
        source = body.get("config_src", "local")
        made = {"id": identity, "account_tag": account, "name": body["name"], "tun_type": "cfd_tunnel"}
        made |= {"config_src": source, "remote_config": source == "cloudflare", "metadata": {"made": {"by": "fake"}}}
        state = {"status": "inactive", "connections": [], "conns_active_at": None, "deleted_at": None}
        self.tunnels[identity] = {**made, **state, "created_at": NOW}
        return self.tunnels[identity]

    def _known(self, tunnel: str) -> dict[str, Any]:
        if tunnel not in self.tunnels:
            raise Refused(404, 1003, "Tunnel not found")
        if time.monotonic() - self._heard.get(tunnel, time.monotonic()) > SILENT_SECONDS:
            self.tunnels[tunnel].update(connections=[], status="down", conns_inactive_at=NOW)
        return self.tunnels[tunnel]

    def _tunnel(self, method: str, body: Any, _account: str, tunnel: str) -> Any:
        found = self._known(tunnel)
        if method == "PATCH":
            found.update({key: body[key] for key in ("name",) if key in body})
        if method == "DELETE":
            if found["connections"]:
                raise Refused(400, 1022, "You cannot delete this tunnel because it has active connections.")
            # Cloudflare keeps showing what was deleted.
            found["deleted_at"] = NOW
        return found

    def _configuration(self, method: str, body: Any, account: str, tunnel: str) -> Any:
        self._known(tunnel)
        if method == "PUT":
            rules = body["config"].get("ingress", [])
            if not rules or rules[-1].get("hostname") or rules[-1].get("path"):
                raise Refused(400, 1056, "Bad Configuration: The last ingress rule must match all URLs")
            version = self.configs.get(tunnel, {"version": 0})["version"] + 1
            # What nobody asked for is filled in, as the real one does.
            rules = [{"originRequest": {}, **rule} for rule in rules]
            config = {**body["config"], "ingress": rules, "warp-routing": {"enabled": False}}
            made = {"tunnel_id": tunnel, "account_id": account, "source": "cloudflare", "created_at": NOW}
            self.configs[tunnel] = {**made, "config": config, "version": version}
        if tunnel not in self.configs:
            raise Refused(404, 1055, "Configuration not found")
        return self.configs[tunnel]

    def _token(self, _method: str, _body: Any, account: str, tunnel: str) -> Any:
        self._known(tunnel)
        token = {"a": account, "t": tunnel, "s": SECRET, **({"e": self.url} if self.edge else {})}
        return base64.b64encode(json.dumps(token).encode()).decode()

    def _dns_records(self, method: str, body: Any, _zone: str) -> Any:
        assert method == "POST"
        return self._store(uuid.uuid4().hex, body)

    def _dns_record(self, method: str, body: Any, _zone: str, record: str) -> Any:
        if record not in self.records:
            raise Refused(404, 81044, "Record does not exist.")
        if method == "PUT":
            return self._store(record, body)
        return self.records.pop(record) if method == "DELETE" else self.records[record]

    def _store(self, identity: str, body: Any) -> Any:
        name = body["name"] if body["name"].endswith(ZONE_NAME) else f"{body['name']}.{ZONE_NAME}"
        if any(r["name"] == name for key, r in self.records.items() if key != identity):
            raise Refused(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
        defaults = {"proxied": False, "comment": None, "tags": [], "settings": {}}
        made = {"id": identity, "name": name, "proxiable": True, "meta": {}, "created_on": NOW, "modified_on": NOW}
        self.records[identity] = {**defaults, **body, **made}
        return self.records[identity]


@contextmanager
def running_cloudflare(address: str = "127.0.0.1") -> Iterator[Cloudflare]:
    """Serve the fake while the block runs; its `url` is what a client takes as base address."""
    state = Cloudflare()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if state.raw_answer:
                self._write(*state.raw_answer)
                return
            if self.path.endswith("/cdn-cgi/access/certs"):
                # Of the team's own domain, in public and without an envelope.
                self._write(200, json.dumps({"keys": state.access_keys}).encode())
                return
            status, errors, headers = 200, [], {}
            result: Any = None
            try:
                path = self.path.removeprefix("/client/v4")
                connector = re.fullmatch(r"/connectors/([\w-]+)/([\w-]+)", path)
                if self.headers.get("Authorization") != f"Bearer {SECRET if connector else TOKEN}":
                    raise Refused(403, 10000, "Authentication error")
                if connector:
                    result = state.connector(self.command, *connector.groups())
                else:
                    result = state.answer(self.command, path, body)
            except Refused as refused:
                status, errors = refused.status, [{"code": refused.code, "message": str(refused)}]
                headers = {"Retry-After": refused.retry_after} if refused.retry_after else {}
            envelope = {"success": not errors, "errors": errors, "messages": [], "result": result}
            if isinstance(result, Page):
                envelope |= {"result": result.items, "result_info": result.info}
            self._write(status, json.dumps(envelope).encode(), headers)

        def _write(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the server's own names

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((address, 0), Handler)
    state.url = f"http://{address}:{server.server_port}/client/v4"
    with serving(server):
        yield state
