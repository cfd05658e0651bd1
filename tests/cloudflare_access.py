"""The part of the fake of Cloudflare's API that is Access: applications, policies, service tokens, ways to log in.

Shapes and messages are those of Cloudflare's reference and of what its API was seen to answer.
"""

import re
import uuid
from typing import Any

NOW = "2026-01-02T03:04:05Z"
IN_A_YEAR = "2027-01-02T03:04:05Z"
ONE_TIME_PIN = {"id": "11111111-2222-4333-8444-555555555555", "name": "", "type": "onetimepin", "config": {}}


class Refused(Exception):  # noqa: N818 - an answer, not an accident
    """An answer that is not a success. `retry_after` is a header, in seconds."""

    def __init__(self, status: int, code: int, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


class Page:
    """One page of a list, with what the envelope says of it."""

    def __init__(self, items: list[Any], query: dict[str, str]) -> None:
        page, size = int(query.get("page", 1)), int(query.get("per_page", 20))
        self.items = items[(page - 1) * size : page * size]
        self.info = {
            "page": page,
            "per_page": size,
            "count": len(self.items),
            "total_count": len(items),
            "total_pages": -(-len(items) // size),
        }


class Access:
    """The account's applications, policies and service tokens, by id."""

    def __init__(self) -> None:
        self.enabled = True
        """An account has to choose a team name before it has Access."""
        self.apps: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.service_tokens: dict[str, dict[str, Any]] = {}
        self.identity_providers: list[dict[str, Any]] = [ONE_TIME_PIN]
        self.secrets: dict[str, str] = {}
        """Service token → its secret, which is told only once."""

    def answer(self, method: str, path: str, body: Any, query: dict[str, str]) -> Any:
        """Return the result of one request below `/accounts/<id>/access`. Raises Refused."""
        if not self.enabled:
            raise Refused(
                403,
                9999,
                "access.api.error.not_enabled: Access is not enabled. Visit the Access dashboard at"
                " https://dash.cloudflare.com/ and click the 'Enable Access' button.",
            )
        if path == "/identity_providers" and method == "GET":
            return Page(self.identity_providers, query)
        found = re.fullmatch(r"/(apps|policies|service_tokens)(?:/([\w-]+))?", path)
        if not found:
            raise Refused(404, 7003, f"Could not route to {path}, perhaps your object identifier is invalid?")
        kind, identity = found.groups()
        held: dict[str, dict[str, Any]] = getattr(self, kind)
        make = {"apps": self._app, "policies": self._policy, "service_tokens": self._service_token}[kind]
        if identity is None:
            if method == "GET":
                return Page([self._shown(kind, one) for one in held.values()], query)
            identity = str(uuid.uuid4())
            held[identity] = make(identity, body, {})
            secret = {"client_secret": self.secrets[identity]} if kind == "service_tokens" else {}
            return {**self._shown(kind, held[identity]), **secret}
        if identity not in held:
            raise Refused(404, 11021, f"access.api.error.not_found: no {kind} {identity}")
        if method == "PUT":
            held[identity] = make(identity, body, held[identity])
        if method == "DELETE":
            self._can_go(kind, identity)
            del held[identity]
            return {"id": identity}
        return self._shown(kind, held[identity])

    def _shown(self, kind: str, held: dict[str, Any]) -> dict[str, Any]:
        """An application shows its policies whole, whatever was said of them."""
        if kind != "apps":
            return held
        policies = [{**self.policies[one["id"]], **one, "reusable": True} for one in held["policies"]]
        return {**held, "policies": policies}

    def _app(self, identity: str, body: Any, before: dict[str, Any]) -> dict[str, Any]:
        if any(app["domain"] == body["domain"] for key, app in self.apps.items() if key != identity):
            raise Refused(409, 11010, "access.api.error.application_already_exists")
        for policy in body["policies"]:
            if policy["id"] not in self.policies:
                raise Refused(400, 12130, f"access.api.error.invalid_request: policy {policy['id']} does not exist")
        precedences = [policy["precedence"] for policy in body["policies"]]
        if len(set(precedences)) < len(precedences):
            raise Refused(400, 12130, "access.api.error.invalid_request: policy precedences must be unique")
        return {
            "allowed_idps": [],
            "tags": [],
            "app_launcher_visible": True,
            "auto_redirect_to_identity": False,
            "enable_binding_cookie": False,
            "http_only_cookie_attribute": True,
            "options_preflight_bypass": False,
            "session_duration": "24h",
            **body,
            "id": identity,
            "uid": identity,
            "aud": before.get("aud", uuid.uuid4().hex * 2),
            "self_hosted_domains": [body["domain"]],
            "destinations": [{"type": "public", "uri": body["domain"]}],
            "created_at": NOW,
            "updated_at": NOW,
        }

    def _policy(self, identity: str, body: Any, _before: dict[str, Any]) -> dict[str, Any]:
        if not body.get("include"):
            raise Refused(400, 12130, "access.api.error.invalid_request: include rules are required")
        # Rules come back in an order of Cloudflare's own.
        rules = {key: body.get(key, [])[::-1] for key in ("include", "exclude", "require")}
        return {
            "approval_required": False,
            "isolation_required": False,
            "purpose_justification_required": False,
            "approval_groups": [],
            **body,
            **rules,
            "id": identity,
            "reusable": True,
            "app_count": sum(identity in self._used(app) for app in self.apps.values()),
            "created_at": NOW,
            "updated_at": NOW,
        }

    def _service_token(self, identity: str, body: Any, before: dict[str, Any]) -> dict[str, Any]:
        self.secrets.setdefault(identity, uuid.uuid4().hex * 2)
        return {
            "id": identity,
            "name": body["name"],
            "duration": body["duration"],
            "enabled": True,
            "client_id": before.get("client_id", f"{uuid.uuid4().hex}.access"),
            "expires_at": IN_A_YEAR,
            "created_at": NOW,
            "updated_at": NOW,
        }

    def _can_go(self, kind: str, identity: str) -> None:
        """Refuse to delete what is in use."""
        if kind == "policies" and any(identity in self._used(app) for app in self.apps.values()):
            raise Refused(400, 12132, "access.api.error.invalid_request: policy is in use by an application")
        tokens = [
            rule.get("service_token", {}).get("token_id") for one in self.policies.values() for rule in one["include"]
        ]
        if kind == "service_tokens" and identity in tokens:
            raise Refused(409, 12132, "access.api.error.service_token_in_use: used by a policy")

    def _used(self, app: dict[str, Any]) -> list[str]:
        return [policy["id"] for policy in app["policies"]]
