"""Base class of the resource types: their inputs, the effect of changes, and their path in the API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from offline.standins.cloudflare.names import renamed, to_camel, to_snake
from offline.standins.provider import ProviderError
from offline.standins.values import Properties

if TYPE_CHECKING:
    # Only for type checking: importing the HTTP client is slow, and a preview does not need it.
    from offline.standins.cloudflare.api import CloudflareApi


class ResourceType:
    """One type: its valid inputs, the changes that replace it, and how to create, read and update it in the API."""

    pulumi_type: str
    collection: str
    """The API's path of the collection, with `{…}` for an input."""
    scope_name = "accountId"
    """The input that says in which account or zone the resource is."""
    inputs: Mapping[str, type | tuple[type, ...]]
    required: Collection[str]
    choices: Mapping[str, Collection[str]] = {}
    defaults: Properties = {}
    replaces: Collection[str] = ("accountId",)
    computed: Collection[str] = ()
    """Outputs that Cloudflare computes."""
    unreported: Collection[str] = ()
    """Inputs that the API does not return."""
    create_only: Collection[str] = ()
    """Outputs that the API returns only on creation: secrets."""
    unordered: Collection[str] = ()
    """Inputs that are sets: their order does not matter."""
    drift_if_unset: Collection[str] = ()
    """Inputs that are drift when they are unset here but set at Cloudflare, by hand."""
    strict: Collection[str] = ()
    """Inputs in which every value at Cloudflare counts, even one that the inputs leave out."""
    api_names: Mapping[str, str] = {}
    """Name in snake_case → the API's name, where these differ."""

    def path(self, properties: Properties, identity: str = "") -> str:
        """Return the API's path of the collection, or of one resource."""
        return self.collection.format(**properties) + (f"/{identity}" if identity else "")

    def create(self, api: CloudflareApi, inputs: Properties) -> tuple[str, Properties]:
        """Create a resource and return its id and outputs. Raises CloudflareError."""
        created = api.call("POST", self.path(inputs), self.body(inputs))
        return str(created["id"]), self.outputs(created, inputs)

    def read(self, api: CloudflareApi, identity: str, properties: Properties) -> Properties | None:
        """Return the outputs of a resource, None when it is gone. Raises CloudflareError."""
        resource = api.call("GET", self.path(properties, identity), missing_ok=True)
        return None if resource is None else self.outputs(resource, properties)

    def update(self, api: CloudflareApi, identity: str, inputs: Properties) -> Properties:
        """Update a resource to these inputs and return its outputs. Raises CloudflareError."""
        return self.outputs(api.call("PUT", self.path(inputs, identity), self.body(inputs)), inputs)

    def delete(self, api: CloudflareApi, identity: str, properties: Properties) -> None:
        """Delete a resource; one that is gone already is no error. Raises CloudflareError."""
        api.call("DELETE", self.path(properties, identity), missing_ok=True)

    def locate(self, identity: str) -> tuple[str, Properties]:
        """Split an import id (`<scope>/<id>`) into the id and the properties that `path` needs.

        Raises ProviderError for another form.
        """
        scope, slash, resource_id = identity.partition("/")
        if not slash or not scope or not resource_id:
            raise ProviderError(f"the id {identity!r} cannot be imported, expected <{self.scope_name}>/<id>")
        return resource_id, {self.scope_name: scope}

    def body(self, inputs: Properties) -> Properties:
        """Return the request body: the inputs without the one that is in the path."""
        declared = self.defaults | inputs
        sent = {key: declared[key] for key in self.inputs if key != self.scope_name and declared.get(key) is not None}
        fields: Properties = renamed(to_snake(sent), self.api_names)
        return fields

    def outputs(self, result: Properties, properties: Properties) -> Properties:
        """Return the outputs from a response; `properties` supplies what the API does not return."""
        answer = to_camel(renamed(result, self.api_names, back=True))
        reported = {key: answer[key] for key in (*self.inputs, *self.computed) if answer.get(key) is not None}
        retained = {key: properties[key] for key in (self.scope_name, *self.unreported) if key in properties}
        secrets = {key: properties[key] for key in self.create_only if key in properties and key not in reported}
        return self.defaults | reported | retained | secrets
