"""Releases under load: no request is lost, and a bad one never takes the old one down."""

import re

import pytest

from tests.live.load import RATE, Load

REQUESTS_PER_SECOND = 200
SECONDS = 30


@pytest.fixture
def release(dev):
    """A function that changes what the dev stack says of its backend; the file is put back after the test."""
    file = dev.folder / "Pulumi.dev.yaml"
    before = file.read_text()
    (line,) = re.findall(r"^ +backend: \{.*\}$", before, re.MULTILINE)

    def change(**said: str) -> None:
        env = ", ".join(f'{name}: "{value}"' for name, value in said.items())
        file.write_text(before.replace(line, f"{line[:-1]}, env: {{{env}}}}}"))

    yield change
    file.write_text(before)


def identity(dev, service: str) -> str:
    return dev.container(service).id


def assert_none_lost(load: Load) -> None:
    answers = load.answers
    assert answers.failures == [], str(answers)
    assert set(answers.statuses) == {200}, str(answers)
    assert answers.total / answers.seconds >= REQUESTS_PER_SECOND, str(answers)


def test_three_releases_under_load_lose_no_request(dev, release):
    assert RATE > REQUESTS_PER_SECOND
    before = identity(dev, "traefik")
    with Load(dev.url("backend") + "/version") as load:
        for number in ("one", "two", "three"):
            release(RELEASE=number)
            done = dev.dockyard("up", "dev")
            assert done.code == 0, done.output
        load.last_at_least(SECONDS)
    assert_none_lost(load)
    assert {"one", "two", "three"} <= set(load.answers.releases)
    assert identity(dev, "traefik") == before, "the edge proxy itself is not touched by a release"


def test_a_release_that_never_gets_healthy_loses_no_request_and_tells_its_last_words(dev, release):
    before = identity(dev, "backend")
    with Load(dev.url("backend") + "/version") as load:
        release(RELEASE="sick", DEMO_UNHEALTHY="1")
        _shorter_wait(dev)
        failed = dev.dockyard("up", "dev")
        load.last_at_least(SECONDS)
    assert failed.code != 0
    assert "backend is not healthy. Its last lines:" in failed.output
    assert "DEMO_UNHEALTHY" in failed.output, "the new container's own last words"
    assert_none_lost(load)
    assert "sick" not in load.answers.releases
    assert before in {one.id for one in dev.docker().containers.list()}, "the old version still serves"


def _shorter_wait(dev) -> None:
    file = dev.folder / "Pulumi.dev.yaml"
    text = file.read_text()
    assert "health_interval: 2s}" in text
    file.write_text(text.replace("health_interval: 2s}", "health_interval: 2s, wait_timeout: 15s}"))


def test_the_next_good_up_cleans_up_after_a_failed_release(dev):
    mended = dev.dockyard("up", "dev")
    assert mended.code == 0, mended.output
    services = [one.labels["dockyard.service"] for one in dev.docker().containers.list(all=True)]
    assert sorted(services) == sorted(set(services)), "one container each"
    assert dev.get("backend", "/health/ready").status_code == 200
    assert "\n0 changes in" in dev.dockyard("up", "dev").output


def test_an_image_that_cannot_be_had_leaves_the_old_version_serving(dev):
    file = dev.folder / "Pulumi.dev.yaml"
    good, before = file.read_text(), identity(dev, "backend")
    file.write_text(good.replace("backend: {image: demo", "backend: {image: '127.0.0.1:9/nobody/backend:2'"))
    try:
        refused = dev.dockyard("up", "dev")
    finally:
        file.write_text(good)
    assert refused.code != 0
    assert "127.0.0.1:9/nobody/backend:2" in refused.output
    assert identity(dev, "backend") == before
    assert dev.get("backend", "/health/ready").status_code == 200


def test_a_rollback_returns_to_the_last_release_that_was_healthy(dev, release):
    for number in ("good", "regretted"):
        release(RELEASE=number)
        assert dev.dockyard("up", "dev").code == 0
    assert dev.get("backend", "/polls").headers["x-release"] == "regretted"
    with Load(dev.url("backend") + "/version") as load:
        back = dev.dockyard("rollback", "dev")
        assert back.code == 0, back.output
    assert dev.get("backend", "/polls").headers["x-release"] == "good"
    assert load.answers.failures == []
    assert set(load.answers.statuses) == {200}


def test_after_a_rollback_the_files_decide_again(dev):
    forward = dev.dockyard("up", "dev")
    assert forward.code == 0, forward.output
    assert "\n0 changes in" in dev.dockyard("up", "dev").output
