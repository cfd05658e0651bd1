"""The fake Docker engine of the unit tests answers as an engine does: the same steps, played on both."""

import contextlib
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import APIError, ImageNotFound, NotFound

from tests.support.fake_docker import FakeDocker

LABEL = {"dockyard.stack": "fake-docker"}
FILTERS = {"label": "dockyard.stack=fake-docker"}


def run_in_fake(_command: list[str]) -> tuple[int, bytes, bytes]:
    return 3, b"out\n", b"err\n"


def fake(name: str) -> FakeDocker:
    """Return a fake engine with a container that runs, on a network and with a volume, all of one name."""
    client = FakeDocker()
    client.add_network(name, labels=LABEL)
    client.add_volume(name, labels=LABEL)
    client.add_image("image", ["base:bookworm"])
    client.add_container(
        name, labels=LABEL, networks=[name], volumes={name: "/data"}, image="image", logs=b"one\ntwo\n", run=run_in_fake
    )
    return client


@contextlib.contextmanager
def real(client: docker.DockerClient, image: str, name: str) -> Iterator[docker.DockerClient]:
    """Yield the engine with the same on it."""
    network = client.networks.create(name, labels=LABEL)
    volume = client.volumes.create(name, labels=LABEL)
    container = client.containers.run(
        image,
        ["sh", "-c", "echo one; echo two; exec sleep 600"],
        name=name,
        labels=LABEL,
        network=name,
        volumes={name: {"bind": "/data", "mode": "rw"}},
        detach=True,
    )
    try:
        yield client
    finally:
        with contextlib.suppress(NotFound):
            container.remove(force=True)
        for item in (network, volume):
            with contextlib.suppress(NotFound):
                item.remove()


@pytest.fixture
def name(prefix: str) -> str:
    return f"{prefix}-fake-docker"


@pytest.fixture(params=["fake", "engine"])
def client(request: pytest.FixtureRequest, engine: docker.DockerClient, image: str, name: str) -> Iterator[Any]:
    if request.param == "fake":
        yield fake(name)
    else:
        with real(engine, image, name) as client:
            yield client


def test_lists_follow_labels_volumes_and_names(client, name):
    assert [container.name for container in client.containers.list(filters=FILTERS)] == [name]
    assert [container.name for container in client.containers.list(filters={"volume": name})] == [name]
    assert client.containers.list(filters={"label": "dockyard.stack=another"}) == []
    assert [network.name for network in client.networks.list(names=[name])] == [name]
    assert [network.name for network in client.networks.list(filters=FILTERS)] == [name]


def test_what_is_missing_is_not_found(client, name):
    container = client.containers.get(name)
    for find in (client.containers.get, client.networks.get, client.volumes.get):
        with pytest.raises(NotFound):
            find("nothing-of-this-name")
    with pytest.raises(ImageNotFound):
        client.images.get("nothing-of-this-name")
    with pytest.raises(NotFound):
        container.get_archive("/nothing-of-this-name")


def test_what_is_in_use_is_not_removed(client, name):
    container, network = client.containers.get(name), client.networks.get(name)
    for remove in (container.remove, network.remove, client.volumes.get(name).remove):
        with pytest.raises(APIError) as raised:
            remove()
        assert raised.value.explanation
    assert list(client.api.inspect_network(network.id)["Containers"]) == [container.id]
    container.remove(force=True)
    network.remove()
    client.volumes.get(name).remove()


def test_a_stopped_container_is_listed_with_all_and_runs_nothing(client, name):
    container = client.containers.get(name)
    client.api.stop(container.id) if isinstance(client, FakeDocker) else container.stop(timeout=0)
    assert client.containers.list(filters=FILTERS) == []
    assert [listed.status for listed in client.containers.list(all=True, filters=FILTERS)] == ["exited"]
    assert client.api.inspect_network(client.networks.get(name).id)["Containers"] == {}
    with pytest.raises(APIError):
        container.exec_run(["true"])
    container.remove()


def test_a_command_in_a_container_has_code_output_and_errors(client, name):
    container = client.containers.get(name)
    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    assert container.exec_run(command, demux=True) == (3, (b"out\n", b"err\n"))
    assert container.logs(tail=1) == b"two\n"


def test_answers_of_the_fake_have_the_form_of_the_engines(engine, image, name):
    pretended = fake(name)
    pretended.api.known_images[image] = pretended.api.inspect_image("image")
    with real(engine, image, name) as client:
        for answer in (
            lambda api: api.inspect_container(name),
            lambda api: api.containers(all=True, filters=FILTERS)[0],
            lambda api: api.networks(names=[name])[0],
            lambda api: api.inspect_volume(name),
            lambda api: next(volume for volume in api.df()["Volumes"] if volume["Name"] == name),
            lambda api: api.inspect_image(image if api is client.api else "image"),
        ):
            assert departures(answer(pretended.api), answer(client.api)) == []


def departures(fake: Any, real: Any, path: str = "") -> list[str]:
    """Return the paths at which the fake says something that an engine does not, or as another type."""
    if isinstance(fake, dict) and isinstance(real, dict):
        missing = [f"{path}.{key} is missing" for key in fake.keys() - real.keys()]
        return missing + [
            text for key in fake.keys() & real.keys() for text in departures(fake[key], real[key], f"{path}.{key}")
        ]
    if isinstance(fake, list) and isinstance(real, list) and fake and real:
        return departures(fake[0], real[0], f"{path}[0]")
    alike = fake is None or real is None or isinstance(real, type(fake))
    return [] if alike else [f"{path} is {type(real).__name__}, not {type(fake).__name__}"]
