"""The plugin process: implements the provider protocol with the modules of this package."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

from offline.standins.docker.check import check_inputs
from offline.standins.docker.diff import diff_state
from offline.standins.docker.plan import plan_object
from offline.standins.docker.schema import ResourceSchema, resources
from offline.standins.docker.state import (
    META,
    planned_state,
    refreshed_inputs,
    resolved_state,
    stored_state,
    with_read,
)
from offline.standins.install import VERSIONS
from offline.standins.provider import (
    Changes,
    Checked,
    InitFailedError,
    Provider,
    ProviderError,
    Request,
    State,
)
from offline.standins.values import UNKNOWN, Properties, has_unknown, without_secrets

if TYPE_CHECKING:
    from offline.standins.docker.api import DockerApi
    from offline.standins.docker.base import DockerObject

SETTINGS = {"version", "pluginDownloadURL", "host", "registryAuth", "disableDockerDaemonCheck"}
"""Supported provider settings. TLS files, SSH options and contexts of the docker command need the official plugin."""


class DockerProvider(Provider):
    """Stand-in for pulumi-docker 5.2.0."""

    package = "docker"
    version = VERSIONS["docker"]
    schema = json.dumps({"name": package, "version": version})

    def __init__(self) -> None:
        super().__init__()
        self._host = ""
        self._auth: list[Properties] = []

    def announcement(self) -> str:
        """Return what this plugin is."""
        plugin = f"the official plugin {self.version}"
        return f"docker: stand-in for {plugin}, which could not be downloaded here (Dockyard toolchain)"

    def check_config(self, news: Properties) -> Checked:
        """Accept the settings unchanged; reject those that this plugin does not support."""
        unknown = sorted(news.keys() - SETTINGS)
        return Checked(news, [(name, f"{name} is not supported by this stand-in plugin") for name in unknown])

    def configure(self, args: Properties) -> None:
        """Store Docker's address; the connection is opened only for the first operation."""
        args = without_secrets(args)
        host = args.get("host") or ""
        self._host = "" if has_unknown(host) else str(host)
        auth = args.get("registryAuth") or []
        self._auth = json.loads(auth) if isinstance(auth, str) and auth != UNKNOWN else auth

    def check(self, request: Request) -> Checked:
        """Check inputs and fill in defaults."""
        return check_inputs(_schema(request), request)

    def diff(self, request: Request) -> Changes:
        """Compare the state with the new inputs."""
        return diff_state(_schema(request), request.state, request.inputs, request.ignore)

    def create(self, request: Request) -> State:
        """Create the resource. Raises InitFailedError when it exists but the rest of the operation failed."""
        schema = _schema(request)
        planned = planned_state(schema, without_secrets(request.inputs))
        if request.preview:
            meta = schema.meta() if schema.timed else None
            return State("", planned | ({META: meta} if meta else {}))
        values = resolved_state(schema, planned)
        try:
            read = self._kind(request).create(values, lambda identity: values.update(id=identity)) or {}
        except ProviderError as error:
            if not values["id"]:
                raise
            # The resource exists, so Pulumi must record it: the next successful update cleans it up.
            raise InitFailedError(values["id"], stored_state(schema, values), [str(error)]) from error
        outputs = with_read(schema, values, read, refreshed=False)
        return State(outputs["id"], stored_state(schema, outputs, created=True))

    def read(self, request: Request) -> State | None:
        """Read the resource back."""
        schema = _schema(request)
        prior = without_secrets(request.state)
        if not prior:
            raise ProviderError("this stand-in plugin cannot import what it has not made; use the official plugin")
        read = self._kind(request).read(request.identity, prior)
        if read is None:
            return None
        state = with_read(schema, prior, read, refreshed=True)
        refreshed = refreshed_inputs(schema.fields, without_secrets(request.inputs), state)
        # Mark secrets in the inputs as in the outputs.
        for name, entry in schema.fields.items():
            if entry.secret and refreshed.get(name) is not None:
                refreshed[name] = stored_state(schema, state)[name]
        return State(state["id"], stored_state(schema, state), refreshed)

    def update(self, request: Request) -> Properties:
        """Update the resource in place."""
        schema = _schema(request)
        before = without_secrets(request.state)
        planned = plan_object(schema.fields, before, without_secrets(request.inputs)) | {"id": request.identity}
        if request.preview:
            return stored_state(schema, planned)
        values = resolved_state(schema, planned)
        for name, entry in schema.fields.items():
            if entry.scalar and values[name] is None and before.get(name) is not None:
                values[name] = entry.zero
        read = self._kind(request).update(request.identity, before, values) or {}
        return stored_state(schema, with_read(schema, values, read, refreshed=False))

    def delete(self, request: Request) -> None:
        """Delete the resource."""
        self._kind(request).delete(request.identity, without_secrets(request.state))

    @functools.cached_property
    def _api(self) -> DockerApi:
        # Importing docker-py takes 0.15 s, which a preview of an unchanged stack can save.
        from offline.standins.docker.api import DockerApi  # noqa: PLC0415 - previews need no docker-py

        return DockerApi(self._host, self._auth, self.cancelled)

    def _kind(self, request: Request) -> DockerObject:
        from offline.standins.docker.kinds import KINDS  # noqa: PLC0415 - previews need no docker-py

        return KINDS[request.type](self._api)


def _schema(request: Request) -> ResourceSchema:
    schema = resources().get(request.type)
    if schema is None:
        raise ProviderError(f"{request.type} is not supported by this stand-in plugin; use the official one")
    return schema
