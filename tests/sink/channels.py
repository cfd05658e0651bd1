"""What each channel accepts, and how it answers: paths, fields, limits and answers as their documents say.

Each function takes one request and returns the answer; a Refusal is the channel's own no. Where a document names a
limit that Alertmanager does not keep by itself, a message beyond it is refused here, so that a test sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request, its path without what leads to the receiver."""

    path: str
    headers: dict[str, str]
    size: int
    """Bytes of its body."""

    body: Any
    """The JSON in it."""


@dataclass(frozen=True)
class Answer:
    """What a channel answers."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - an answer, not an accident
    """A channel's no."""

    def __init__(self, status: int, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        super().__init__(f"{status}: {text}")
        self.answer = Answer(status, text, {} if isinstance(body, str) else JSON)


JSON = {"Content-Type": "application/json"}


def discord(request: Request) -> Answer:
    """Execute a webhook: discord.com/developers/docs/resources/webhook#execute-webhook, and the limits of embeds."""
    if not re.fullmatch(r"/api/webhooks/\d+/[\w-]+", request.path):
        raise Refusal(404, {"message": "Unknown Webhook", "code": 10015})
    embeds = request.body.get("embeds") or []
    wrong: dict[str, str] = {}
    total = 0
    for place, value, limit in (
        ("content", request.body.get("content") or "", 2000),
        ("username", request.body.get("username") or "", 80),
        *((f"embeds.{at}.title", one.get("title") or "", 256) for at, one in enumerate(embeds)),
        *((f"embeds.{at}.description", one.get("description") or "", 4096) for at, one in enumerate(embeds)),
    ):
        total += len(value) if place.startswith("embeds") else 0
        if len(value) > limit:
            wrong[place] = f"Must be {limit} or fewer in length."
    if len(embeds) > 10 or total > 6000:
        wrong["embeds"] = "Embed size exceeds maximum size of 6000"
    if not request.body.get("content") and not any(one.get("title") or one.get("description") for one in embeds):
        raise Refusal(400, {"message": "Cannot send an empty message", "code": 50006})
    if wrong:
        raise Refusal(400, {"message": "Invalid Form Body", "code": 50035, "errors": wrong})
    return Answer(204)


def slack(request: Request) -> Answer:
    """Take an incoming webhook's message: api.slack.com/messaging/webhooks, and its errors."""
    if not re.fullmatch(r"/services/\w+/\w+/\w+", request.path):
        raise Refusal(404, "no_service")
    attachments = request.body.get("attachments") or []
    texts = [request.body.get("text") or "", *(one.get("text") or "" for one in attachments)]
    if not any(texts):
        raise Refusal(400, "no_text")
    if len(attachments) > 100:
        raise Refusal(400, "too_many_attachments")
    if any(len(text) > 40_000 for text in texts):
        raise Refusal(400, "msg_too_long")
    for one in attachments:
        if len(one.get("actions") or []) > 5:
            raise Refusal(400, "invalid_attachments")
    return Answer(200, "ok", {"Content-Type": "text/html"})


def pagerduty(request: Request) -> Answer:
    """Take an event: developer.pagerduty.com, Events API v2, "Send an Alert Event"."""
    if request.path != "/v2/enqueue":
        raise Refusal(404, "")
    if request.size > 512 * 1024:
        raise Refusal(413, "")
    event, payload = request.body, request.body.get("payload") or {}
    errors = []
    if len(event.get("routing_key") or "") != 32:
        errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        errors.append("'event_action' is invalid")
    if len(event.get("dedup_key") or "") > 255:
        errors.append("'dedup_key' is too long")
    if event.get("event_action") == "trigger":
        errors += [f"'payload.{key}' is missing or blank" for key in ("summary", "source") if not payload.get(key)]
        if payload.get("severity") not in ("critical", "error", "warning", "info"):
            errors.append("'payload.severity' is invalid (must be one of: critical, warning, error, info)")
        if len(payload.get("summary") or "") > 1024:
            errors.append("'payload.summary' is too long (maximum is 1024 characters)")
    if errors:
        raise Refusal(400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors})
    told = {"status": "success", "message": "Event processed", "dedup_key": event.get("dedup_key")}
    return Answer(202, json.dumps(told), JSON)


class _Markup(HTMLParser):
    """Telegram's HTML: a few tags, all of them closed. core.telegram.org/bots/api#html-style"""

    KNOWN = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre"})
    KNOWN |= {"blockquote", "tg-spoiler", "span"}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.open, self.wrong = "", [], ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag not in self.KNOWN:
            self.wrong = self.wrong or f'Unsupported start tag "{tag}"'

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong = self.wrong or f'Unmatched end tag "{tag}"'

    def handle_data(self, data: str) -> None:
        self.text += data


def telegram(request: Request) -> Answer:
    """Send a message by a bot: core.telegram.org/bots/api#sendmessage."""
    if not (bot := re.fullmatch(r"/bot(\d+:[\w-]+)/sendMessage", request.path)):
        raise Refusal(404, {"ok": False, "error_code": 404, "description": "Not Found"})

    def bad(why: str) -> Refusal:
        return Refusal(400, {"ok": False, "error_code": 400, "description": f"Bad Request: {why}"})

    text = request.body.get("text") or ""
    if request.body.get("parse_mode") == "HTML":
        markup = _Markup()
        markup.feed(text)
        markup.close()
        if markup.wrong or markup.open:
            raise bad(f"can't parse entities: {markup.wrong or f'no end tag for {markup.open[-1]}'}")
        text = markup.text
    if not request.body.get("chat_id"):
        raise bad("chat_id is empty")
    if not text.strip():
        raise bad("message text is empty")
    if len(text) > 4096:
        raise bad("message is too long")
    chat = {"id": int(request.body["chat_id"]), "type": "supergroup", "title": bot[1][:2]}
    result = {"message_id": 1, "date": 1, "chat": chat, "text": text}
    return Answer(200, json.dumps({"ok": True, "result": result}), JSON)


def teams(request: Request) -> Answer:
    """Take a card by a workflow: learn.microsoft.com, "Create incoming webhooks with Workflows"; at most 28 KB."""
    if request.size > 28 * 1024:
        raise Refusal(413, "RequestEntityTooLarge")
    attachments = request.body.get("attachments") or []
    if request.body.get("type") != "message" or not attachments:
        raise Refusal(400, {"error": {"code": "InvalidRequest", "message": "a message with attachments is expected"}})
    for one in attachments:
        card = one.get("content") or {}
        if one.get("contentType") != "application/vnd.microsoft.card.adaptive" or card.get("type") != "AdaptiveCard":
            raise Refusal(400, {"error": {"code": "InvalidRequest", "message": "no adaptive card"}})
    return Answer(202)


def ntfy(request: Request) -> Answer:
    """Publish as JSON: docs.ntfy.sh/publish/#publish-as-json; its server reads at most twice the 4096 bytes of a
    message."""

    def bad(code: int, why: str) -> Refusal:
        return Refusal(code // 100, {"code": code, "http": code // 100, "error": why})

    if request.path not in ("", "/"):
        raise bad(40401, "page not found")
    if request.size > 8192:
        raise bad(41303, "JSON body too large")
    said = request.body
    if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", str(said.get("topic") or "")):
        raise bad(40009, "invalid request: topic invalid")
    if not isinstance(said.get("priority", 3), int) or not 1 <= said.get("priority", 3) <= 5:
        raise bad(40024, "invalid request: request body must be valid JSON")
    tags, actions = said.get("tags", []), said.get("actions", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise bad(40024, "invalid request: request body must be valid JSON")
    if len(actions) > 3:
        raise bad(40018, "invalid request: actions invalid, too many actions")
    if len((said.get("message") or "").encode()) > 4096:
        # It would come as an attached file: nothing that a person reads on a lock screen.
        raise bad(41301, "attachment too large, or bandwidth limit reached")
    return Answer(200, json.dumps({"id": "x", "event": "message", "topic": said["topic"]}), JSON)


def opsgenie(request: Request) -> Answer:
    """Create or close an alert: docs.opsgenie.com/docs/alert-api."""
    if not re.fullmatch(r"GenieKey \S+", request.headers.get("authorization", "")):
        raise Refusal(401, {"message": "Could not authenticate", "took": 0.0})
    taken = Answer(202, json.dumps({"result": "Request will be processed", "took": 0.1, "requestId": "x"}), JSON)
    if re.fullmatch(r"/v2/alerts/[^/]+/close\?identifierType=alias", request.path):
        return taken
    if request.path != "/v2/alerts":
        raise Refusal(404, {"message": "Not found"})
    said = request.body
    limits = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100, "note": 25_000}
    errors = {key: f"is longer than {most}" for key, most in limits.items() if len(said.get(key) or "") > most}
    if not said.get("message"):
        errors["message"] = "Message can not be empty."
    if said.get("priority") and not re.fullmatch(r"P[1-5]", said["priority"]):
        errors["priority"] = "should be one of [ P1, P2, P3, P4, P5 ]"
    if len(said.get("tags") or []) > 20 or any(len(tag) > 50 for tag in said.get("tags") or []):
        errors["tags"] = "at most 20 of 50 characters"
    if sum(len(key) + len(value) for key, value in (said.get("details") or {}).items()) > 8000:
        errors["details"] = "at most 8000 characters"
    if errors:
        raise Refusal(422, {"message": "Request body is not processable.", "errors": errors})
    return taken


def webhook(request: Request) -> Answer:
    """Take Alertmanager's own JSON: its configuration's document, `<webhook_config>`."""
    if request.body.get("version") != "4" or not request.body.get("alerts"):
        raise Refusal(400, "not Alertmanager's JSON")
    return Answer(200)


def sms(request: Request) -> Answer:
    """Send one text message: a gateway that splits nothing. Its text stands under `text`."""
    if not request.body.get("to") or not request.body.get("text"):
        raise Refusal(400, {"error": "to and text are required"})
    if len(request.body["text"]) > 160:
        raise Refusal(400, {"error": f"text has {len(request.body['text'])} characters"})
    return Answer(201, json.dumps({"status": "queued"}), JSON)


CHANNELS: dict[str, Callable[[Request], Answer]] = {
    one.__name__: one for one in (discord, slack, pagerduty, telegram, teams, ntfy, opsgenie, webhook, sms)
}
"""Kind of receiver, as in the settings → how its channel answers. Mail is in mail.py."""


def texts(body: Any) -> Iterator[str]:
    """Return every text of a message, in its order: what a person can read, and the addresses it leads to."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict):
        for value in body.values():
            yield from texts(value)
    elif isinstance(body, list):
        for value in body:
            yield from texts(value)
