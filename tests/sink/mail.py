"""A mail server: real SMTP that takes nothing before STARTTLS and a log-in, with a certificate of its own authority."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port


@dataclass(frozen=True)
class Mail:
    receiver: str  # what stands before the @ of its first recipient
    sender: str
    recipients: tuple[str, ...]
    tls: bool
    login: str
    message: EmailMessage

    @property
    def text(self) -> str:
        parts = [part.get_content() for part in self.message.walk() if part.get_content_maintype() == "text"]
        return "\n".join([str(self.message["Subject"]), *parts])


@dataclass
class MailServer:
    """A mail server, not running yet; `failing` is the SMTP answer it gives instead of taking a mail."""

    certificate: Path
    key: Path
    username: str
    password: str
    failing: str = ""
    hanging: bool = False
    attempts: int = 0
    port: int = 0

    def start(self, host: str, deliver: Callable[[Mail], None]) -> None:
        self.port = free_port(host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self._deliver = deliver
        self._controller = Controller(
            self,
            hostname=host,
            port=self.port,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            # Its prompts are those of a draft, which Alertmanager does not know.
            auth_exclude_mechanism=["LOGIN"],
            authenticator=self._known,
        )
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    def _known(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        given = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode())
        good = given == (self.username, self.password)
        return AuthResult(success=good, handled=good, auth_data=data)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.attempts += 1
        if self.hanging:
            await asyncio.sleep(120)
        if self.failing:
            return self.failing
        content = envelope.content or b""
        message = message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=policy.default)
        recipients = tuple(envelope.rcpt_tos)
        receiver, login = recipients[0].split("@")[0], session.auth_data.login.decode()
        self._deliver(Mail(receiver, str(envelope.mail_from), recipients, session.ssl is not None, login, message))
        return "250 2.0.0 taken"
