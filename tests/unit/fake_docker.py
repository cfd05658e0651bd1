"""A Docker engine with containers on networks and volumes, and the state of a stack that made some of them."""

from dataclasses import dataclass, field
from types import SimpleNamespace

from docker.errors import APIError, NotFound

from ops.state import State

CONTAINER, NETWORK, VOLUME = (
    f"docker:index/{kind}" for kind in ("container:Container", "network:Network", "volume:Volume")
)
STACK = "shop"


def resource(name: str, kind: str, **more) -> dict:
    labels = [{"label": "dockyard.volume", "value": "data"}] if kind == VOLUME else []
    return {
        "urn": f"urn:{name}",
        "type": kind,
        "id": name,
        "inputs": {"labels": labels},
        "outputs": {"name": name},
    } | more


@dataclass
class FakeContainer:
    """A container of the fake engine."""

    engine: "FakeDocker"
    id: str
    stack: str = STACK
    volumes: tuple = ()

    @property
    def name(self) -> str:
        return self.id

    @property
    def labels(self) -> dict:
        return {"dockyard.stack": self.stack} if self.stack else {}

    @property
    def attrs(self) -> dict:
        on = {name: {"NetworkID": name} for name, held in self.engine.networks_held.items() if self.id in held}
        return {"NetworkSettings": {"Networks": on}}

    def remove(self, *, force: bool) -> None:
        assert force
        del self.engine.all[self.id]
        for held in self.engine.networks_held.values():
            held.pop(self.id, None)

    def get_archive(self, path: str) -> tuple:
        return iter([self.engine.metrics]), {}


@dataclass
class FakeDocker:
    """As much of a Docker engine as `down` asks."""

    networks_held: dict = field(default_factory=dict)
    """Network → what its inspection calls an endpoint → the endpoint's name."""

    all: dict = field(default_factory=dict)
    there: dict = field(default_factory=dict)
    """Volumes and their bytes."""

    metrics: bytes = b""
    stubborn: tuple = ()
    """Volumes and endpoints that the engine does not let go of."""

    def container(self, identity: str, **more) -> FakeContainer:
        self.all[identity] = FakeContainer(self, identity, **more)
        return self.all[identity]

    @property
    def containers(self):
        def get(identity):
            if identity not in self.all:
                raise NotFound(identity)
            return self.all[identity]

        def listed(*, filters=None, **_):
            found = list(self.all.values())
            if "volume" in (filters or {}):
                return [one for one in found if filters["volume"] in one.volumes]
            if "label" in (filters or {}):
                return [one for one in found if filters["label"] == f"dockyard.stack={one.stack}"]
            return found

        return SimpleNamespace(get=get, list=listed)

    @property
    def networks(self):
        def get(name):
            if name not in self.networks_held:
                raise NotFound(name)
            held = self.networks_held[name]

            def disconnect(endpoint, *, force):
                assert force
                if endpoint in self.stubborn:
                    raise APIError("no", explanation="will not")
                for identity, called in list(held.items()):
                    if called == endpoint:
                        del held[identity]

            inspected = {identity: {"Name": called} for identity, called in held.items()}
            return SimpleNamespace(name=name, attrs={"Containers": inspected}, disconnect=disconnect)

        return SimpleNamespace(get=get)

    @property
    def volumes(self):
        def get(name):
            if name not in self.there:
                raise NotFound(name)

            def remove():
                if name in self.stubborn:
                    raise APIError("no", explanation="volume is in use")
                del self.there[name]

            return SimpleNamespace(remove=remove)

        return SimpleNamespace(get=get)

    def df(self) -> dict:
        return {"Volumes": [{"Name": name, "UsageData": {"Size": size}} for name, size in self.there.items()]}


def state(*resources) -> State:
    return State(tuple(resources), interrupted=False)


NET = resource("net", NETWORK)
WEB = resource("web", CONTAINER)
