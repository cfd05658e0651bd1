"""Base class of the kinds of Docker objects: how the API creates, reads, updates and deletes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from offline.standins.docker.api import DockerApi, DockerApiError, failed
from offline.standins.docker.conversion import from_api, to_api
from offline.standins.docker.schema import fields_of
from offline.standins.values import Properties

REMOVAL_TIMEOUT = 30
"""Seconds to wait until an object is no longer in use; the official plugin's figure."""

NOT_FOUND = 404

OnCreated = Callable[[str], None]
"""Called with the id as soon as there is something to clean up."""


class DockerObject:
    """One kind of object. A subclass has the name of the resource type that it implements."""

    path: str
    """Path in the API below which such objects are."""
    inspect_suffix = ""
    id_key = "Id"
    noun: str = ""
    """What errors call the object: `Unable to create <noun>`; empty for errors without a prefix."""
    in_use: str = ""
    """Docker's error text about an object that is in use: its removal is tried again."""
    removal_params: Mapping[str, Any] = {}

    def __init__(self, api: DockerApi) -> None:
        self.api = api
        self.fields = fields_of(type(self).__name__)

    def create(self, values: Properties, on_created: OnCreated) -> Properties | None:
        """Create the object and return the properties read back. Raises ProviderError."""
        failure = self.noun and f"Unable to create {self.noun}"
        identity: str = self.api.change("POST", f"{self.path}/create", self.body(values), failure=failure)[self.id_key]
        on_created(identity)
        return self.read(identity, values)

    def body(self, values: Properties) -> Properties:
        """Return the request body that creates the object."""
        return to_api(self.fields, values)

    def inspect(self, identity: str) -> Properties | None:
        """Return the API's inspection of the object, None when it is gone."""
        return self.api.inspect(f"{self.path}/{identity}{self.inspect_suffix}")

    def read(self, identity: str, prior: Properties) -> Properties | None:
        """Read the object back; None when it is gone."""
        inspection = self.inspect(identity)
        return None if inspection is None else {"id": identity} | self.state(inspection, prior)

    def state(self, inspection: Properties, prior: Properties) -> Properties:
        """Return the properties that an inspection sets; all others keep their prior values."""
        return from_api(self.fields, inspection, prior)

    def update(self, identity: str, before: Properties, after: Properties) -> Properties | None:
        """Update the object in place and return the properties read back, None when nothing was read.

        By default it does nothing, for a type of which every change forces a replacement.
        """

    def delete(self, identity: str, prior: Properties) -> None:
        """Remove the object; wait up to REMOVAL_TIMEOUT for what is still using it. Raises ProviderError."""
        failure = self.noun and f"Unable to remove {self.noun}"
        problem: DockerApiError | None = None

        def removed() -> bool:
            nonlocal problem
            try:
                self.api.call("DELETE", f"{self.path}/{identity}", params=self.removal_params)
            except DockerApiError as error:
                problem = error
                if self.in_use and self.in_use in str(error):
                    return False
                if error.status != NOT_FOUND:
                    raise failed(error, failure) from error
            return True

        if not self.api.until(removed, REMOVAL_TIMEOUT):
            raise failed(problem, failure)
