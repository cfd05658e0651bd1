"""What a resource type is to this stand-in: its inputs, what a change of them means, and its place in the API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from toolchain.standins.cloudflare.names import to_camel, to_snake
from toolchain.standins.provider import ProviderError
from toolchain.standins.values import Properties

if TYPE_CHECKING:
    # Only for the types: importing the HTTP client takes longer than a preview has need of.
    from toolchain.standins.cloudflare.api import CloudflareApi


class ResourceType(ABC):
    """One type: what its inputs may be, which changes replace it, and how the API makes, reads and changes it."""

    pulumi_type: str
    inputs: Mapping[str, type | tuple[type, ...]]
    required: Collection[str]
    choices: Mapping[str, Collection[str]] = {}
    defaults: Properties = {}
    replaces: Collection[str]
    computed: Collection[str]
    """Outputs that only Cloudflare knows."""
    unreported: Collection[str] = ()
    """Inputs that the API does not tell again."""
    create_only: Collection[str] = ()
    """Outputs that the API tells only when it is made: secrets."""
    unordered: Collection[str] = ()
    """Inputs whose order says nothing."""
    drift_if_unset: Collection[str] = ()
    """Inputs that are a difference too where only Cloudflare has them: somebody set them by hand."""
    strict: Collection[str] = ()
    """Inputs within which every value counts that Cloudflare has, asked for or not."""

    @abstractmethod
    def path(self, properties: Properties, identity: str = "") -> str:
        """Return the API's path of all such things, or of one."""

    def create(self, api: CloudflareApi, inputs: Properties) -> tuple[str, Properties]:
        """Make one and return its id and outputs. Raises CloudflareError."""
        created = api.call("POST", self.path(inputs), self.body(inputs))
        return str(created["id"]), self.outputs(created, inputs)

    def read(self, api: CloudflareApi, identity: str, properties: Properties) -> Properties | None:
        """Return the outputs of one, or None when it is gone. Raises CloudflareError."""
        resource = api.find(self.path(properties, identity))
        return None if resource is None else self.outputs(resource, properties)

    def update(self, api: CloudflareApi, identity: str, inputs: Properties) -> Properties:
        """Change one to the given inputs and return its outputs. Raises CloudflareError."""
        return self.outputs(api.call("PUT", self.path(inputs, identity), self.body(inputs)), inputs)

    def delete(self, api: CloudflareApi, identity: str, properties: Properties) -> None:
        """Remove one; what is gone already is fine. Raises CloudflareError."""
        api.remove(self.path(properties, identity))

    def locate(self, identity: str) -> tuple[str, Properties]:
        """Return the id and the properties that `path` needs, out of the id of an import (`<scope>/<id>`)."""
        scope, slash, resource_id = identity.partition("/")
        if not slash or not scope or not resource_id:
            raise ProviderError(f"the id {identity!r} cannot be imported, expected <{self.scope_name}>/<id>")
        return resource_id, {self.scope_name: scope}

    scope_name = "accountId"

    def body(self, inputs: Properties) -> Properties:
        """Return what the API is sent; what stands in the path is not part of it."""
        sent = {key: inputs[key] for key in self.inputs if key != self.scope_name and inputs.get(key) is not None}
        fields: Properties = to_snake(sent)
        return fields

    def outputs(self, result: Properties, properties: Properties) -> Properties:
        """Return the outputs out of an answer of the API; `properties` gives what the API does not repeat."""
        answer = to_camel(result)
        reported = {key: answer[key] for key in (*self.inputs, *self.computed) if answer.get(key) is not None}
        retained = {key: properties[key] for key in (self.scope_name, *self.unreported) if key in properties}
        secrets = {key: properties[key] for key in self.create_only if key in properties and key not in reported}
        return self.defaults | reported | retained | secrets
