"""A local HTTP server that plays the download sites, and archives for it."""

import hashlib
import io
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class DownloadSite(ThreadingHTTPServer):
    """Serves `files`; what is in `trouble` under a path (a status, `hang` or `break`) is done instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.trouble: dict[str, int | str] = {}
        self.asked: list[str] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def offer(self, path: str, archive: bytes, listing: str, checksum: str | None = None) -> None:
        """Serve an archive and a list with its checksum (or with the one given)."""
        name = path.rsplit("/", 1)[-1]
        self.files[path] = archive
        line = f"{checksum or hashlib.sha256(archive).hexdigest()}  {name}\n"
        self.files[listing] = b"0" * 64 + b"  something-else.tar.gz\n" + line.encode()

    def archives_asked(self) -> list[str]:
        return [path for path in self.asked if path.endswith(".tar.gz")]


class _Handler(BaseHTTPRequestHandler):
    server: DownloadSite

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        trouble = self.server.trouble.get(self.path)
        body = self.server.files.get(self.path)
        if trouble == "hang":
            self.server.closing.wait(30)
        elif isinstance(trouble, int) or body is None:
            self.send_response(trouble if isinstance(trouble, int) else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if trouble == "break" else body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def archive(programs: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in programs.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(text.encode()), 0o755, int(time.time())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
