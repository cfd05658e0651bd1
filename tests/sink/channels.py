"""What each channel accepts, and how it answers, as their documents say; a Refusal is the channel's own no.

A message beyond a limit that Alertmanager does not keep by itself is refused here, so that a test sees it.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Request:
    """One request, its path without what leads to the receiver."""

    path: str
    headers: dict[str, str]
    size: int  # bytes of its body
    body: Any  # the JSON in it


@dataclass(frozen=True)
class Answer:
    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - an answer, not an accident
    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"{status}: {why}")
        self.answer = Answer(status, why)


def refuse(*problems: tuple[object, int, str]) -> None:
    """Raise the Refusal of the first problem (whether it is there, status, text) that is there."""
    for is_there, status, why in problems:
        if is_there:
            raise Refusal(status, why)


def too_long(said: Mapping[str, Any], limits: Mapping[str, int]) -> str:
    """Return the first key whose text has more characters than its limit."""
    return next((key for key, limit in limits.items() if len(said.get(key) or "") > limit), "")


def discord(request: Request) -> Answer:
    """Execute a webhook: discord.com/developers/docs/resources/webhook#execute-webhook, and the limits of embeds."""
    embeds = request.body.get("embeds") or []
    texts = [one.get(key) or "" for one in embeds for key in ("title", "description")]
    refuse(
        (not re.fullmatch(r"/api/webhooks/\d+/[\w-]+", request.path), 404, "Unknown Webhook"),
        (not request.body.get("content") and not any(texts), 400, "Cannot send an empty message"),
        (too_long(request.body, {"content": 2000, "username": 80}), 400, "Must be 2000 or fewer in length."),
        (any(too_long(one, {"title": 256, "description": 4096}) for one in embeds), 400, "Must be fewer in length."),
        (len(embeds) > 10 or sum(map(len, texts)) > 6000, 400, "Embed size exceeds maximum size of 6000"),
    )
    return Answer(204)


def slack(request: Request) -> Answer:
    """Take an incoming webhook's message: api.slack.com/messaging/webhooks, and its errors."""
    attachments = request.body.get("attachments") or []
    texts = [request.body.get("text") or "", *(one.get("text") or "" for one in attachments)]
    refuse(
        (not re.fullmatch(r"/services/\w+/\w+/\w+", request.path), 404, "no_service"),
        (not any(texts), 400, "no_text"),
        (len(attachments) > 100, 400, "too_many_attachments"),
        (any(len(text) > 40_000 for text in texts), 400, "msg_too_long"),
        (any(len(one.get("actions") or []) > 5 for one in attachments), 400, "invalid_attachments"),
    )
    return Answer(200, "ok", {"Content-Type": "text/html"})


def pagerduty(request: Request) -> Answer:
    """Take an event: developer.pagerduty.com, Events API v2, "Send an Alert Event"."""
    event, payload = request.body, request.body.get("payload") or {}
    begins = event.get("event_action") == "trigger"
    severities = ("critical", "error", "warning", "info")
    refuse(
        (request.path != "/v2/enqueue", 404, ""),
        (request.size > 512 * 1024, 413, ""),
        (len(event.get("routing_key") or "") != 32, 400, "Length of 'routing_key' is incorrect"),
        (event.get("event_action") not in ("trigger", "acknowledge", "resolve"), 400, "'event_action' is invalid"),
        (too_long(event, {"dedup_key": 255}), 400, "'dedup_key' is too long"),
        (begins and not payload.get("summary"), 400, "'payload.summary' is missing or blank"),
        (begins and not payload.get("source"), 400, "'payload.source' is missing or blank"),
        (begins and payload.get("severity") not in severities, 400, "'payload.severity' is invalid"),
        (begins and too_long(payload, {"summary": 1024}), 400, "'payload.summary' is too long"),
    )
    return Answer(202, json.dumps({"status": "success", "dedup_key": event.get("dedup_key")}), JSON)


class _Markup(HTMLParser):
    """Telegram's HTML: a few tags, all of them closed. core.telegram.org/bots/api#html-style"""

    KNOWN = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre"})
    KNOWN |= {"blockquote", "tg-spoiler", "span"}

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.open, self.wrong = "", [], ""
        self.feed(text)
        self.close()
        self.wrong = self.wrong or ", ".join(f"no end tag for {tag}" for tag in self.open)

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
    text, wrong = request.body.get("text") or "", ""
    if request.body.get("parse_mode") == "HTML":
        markup = _Markup(text)
        text, wrong = markup.text, markup.wrong
    refuse(
        (not re.fullmatch(r"/bot\d+:[\w-]+/sendMessage", request.path), 404, "Not Found"),
        (wrong, 400, f"Bad Request: can't parse entities: {wrong}"),
        (not request.body.get("chat_id"), 400, "Bad Request: chat_id is empty"),
        (not text.strip(), 400, "Bad Request: message text is empty"),
        (len(text) > 4096, 400, "Bad Request: message is too long"),
    )
    chat = {"id": int(request.body["chat_id"]), "type": "supergroup", "title": "ops"}
    result = {"message_id": 1, "date": 1, "chat": chat, "text": text}
    return Answer(200, json.dumps({"ok": True, "result": result}), JSON)


def teams(request: Request) -> Answer:
    """Take a card by a workflow: learn.microsoft.com, "Create incoming webhooks with Workflows"; at most 28 KB."""
    attachments = request.body.get("attachments") or []
    kinds = {(one.get("contentType"), (one.get("content") or {}).get("type")) for one in attachments}
    is_card = kinds == {("application/vnd.microsoft.card.adaptive", "AdaptiveCard")}
    refuse(
        (request.size > 28 * 1024, 413, "RequestEntityTooLarge"),
        (request.body.get("type") != "message", 400, "InvalidRequest: a message is expected"),
        (not is_card, 400, "InvalidRequest: no adaptive card"),
    )
    return Answer(202)


def ntfy(request: Request) -> Answer:
    """Publish as JSON: docs.ntfy.sh/publish/#publish-as-json; its server reads at most twice the 4096 bytes of a
    message."""
    said = request.body
    topic, priority, tags = str(said.get("topic") or ""), said.get("priority", 3), said.get("tags", [])
    refuse(
        (request.path not in ("", "/"), 404, "page not found"),
        (request.size > 8192, 413, "JSON body too large"),
        (not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", topic), 400, "topic invalid"),
        (not isinstance(priority, int) or priority not in range(1, 6), 400, "priority invalid"),
        (not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags), 400, "tags invalid"),
        (len(said.get("actions", [])) > 3, 400, "too many actions"),
        # It would come as an attached file: nothing that a person reads on a lock screen.
        (len((said.get("message") or "").encode()) > 4096, 413, "attachment too large"),
    )
    return Answer(200, json.dumps({"id": "x", "event": "message", "topic": topic}), JSON)


def opsgenie(request: Request) -> Answer:
    """Create or close an alert: docs.opsgenie.com/docs/alert-api."""
    known = re.fullmatch(r"GenieKey \S+", request.headers.get("authorization", ""))
    refuse((not known, 401, "Could not authenticate"))
    taken = Answer(202, json.dumps({"result": "Request will be processed", "took": 0.1, "requestId": "x"}), JSON)
    if re.fullmatch(r"/v2/alerts/[^/]+/close\?identifierType=alias", request.path):
        return taken
    said = request.body
    limits = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100, "note": 25_000}
    tags, details = said.get("tags") or [], said.get("details") or {}
    refuse(
        (request.path != "/v2/alerts", 404, "Not found"),
        (not said.get("message"), 422, "Message can not be empty."),
        (too_long(said, limits), 422, f"{too_long(said, limits)} is too long"),
        (not re.fullmatch(r"P[1-5]", said.get("priority") or "P3"), 422, "should be one of [ P1, P2, P3, P4, P5 ]"),
        (len(tags) > 20 or any(len(tag) > 50 for tag in tags), 422, "at most 20 tags of 50 characters"),
        (sum(len(key) + len(value) for key, value in details.items()) > 8000, 422, "at most 8000 characters"),
    )
    return taken


def webhook(request: Request) -> Answer:
    """Take Alertmanager's own JSON: its configuration's document, `<webhook_config>`."""
    is_its_own = request.body.get("version") == "4" and request.body.get("alerts")
    refuse((not is_its_own, 400, "not Alertmanager's JSON"))
    return Answer(200)


def sms(request: Request) -> Answer:
    """Send one text message: a gateway that splits nothing. Its text stands under `text`."""
    refuse(
        (not request.body.get("to") or not request.body.get("text"), 400, "to and text are required"),
        (too_long(request.body, {"text": 160}), 400, "text is too long"),
    )
    return Answer(201, json.dumps({"status": "queued"}), JSON)


CHANNELS: dict[str, Callable[[Request], Answer]] = {
    one.__name__: one for one in (discord, slack, pagerduty, telegram, teams, ntfy, opsgenie, webhook, sms)
}
"""Kind of receiver, as in the settings → how its channel answers. Mail is in mail.py."""


def texts(body: Any) -> Iterator[str]:
    """Return every text of a message, in its order: what a person can read, and the addresses it leads to."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict | list):
        values: Iterable[Any] = body.values() if isinstance(body, dict) else body
        for value in values:
            yield from texts(value)
