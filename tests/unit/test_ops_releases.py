"""One service brought up or taken down, the rest as it runs."""

import json
import os
from pathlib import Path

import pytest
import yaml

from machine.progress import SetupError
from machine.workdir import WorkDir
from ops.deploy.up import _jobs_to_rerun
from ops.state.releases import running_release, use, with_jobs, with_service, without_service, workload_images
from runtime.pulumi_state import CONTAINER
from settings.loader import load, read_stack_file
from settings.release import VARIABLE
from tests.support.states import resource, stack_outputs, state
from tests.unit.checkouts import make

STACK = {
    "config": {
        "dockyard:product": "products/shop.yaml",
        "dockyard:environment": "development",
        "dockyard:services": {"api": {"env": {"MODE": "old"}}},
        "dockyard:publish": {"api": 8000, "web": 8001},
    }
}
SERVICE = {"image": "registry.example/app:1", "port": 8000, "health": {"http": "/"}}
PRODUCT = {
    "name": "shop",
    "services": {"api": {**SERVICE, "after": ["migrate"], "needs": ["postgres"]}, "web": {**SERVICE, "port": 80}},
    "jobs": {
        "migrate": {"image": "registry.example/app:1", "command": ["migrate"], "needs": ["postgres"]},
        "report": {"image": "registry.example/report:1", "command": ["report"], "schedule": "0 3 * * *"},
    },
    "postgres": {"database": "shop", "user": "shop", "limits": {"memory": "2GB"}},
}


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make(folder)
        self.stack, self.product = json.loads(json.dumps(STACK)), json.loads(json.dumps(PRODUCT))

    def settings(self):
        (self.folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump(self.stack))
        (self.folder / "products/shop.yaml").write_text(yaml.safe_dump(self.product))
        return load(read_stack_file(self.folder, "dev"), "dev", checkout=self.folder)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    yield Files(tmp_path)
    # What `use` put there is this process's own.
    os.environ.pop(VARIABLE, None)


@pytest.fixture
def running(files):
    return files.settings().release


def given(files, release):
    """Return the settings of a release in place of the files."""
    use(WorkDir(files.folder), "dev", release)
    return files.settings()


def brought_up(files, running, service: str, reference: str):
    settings = files.settings()
    names = with_jobs(settings, service)
    return given(files, with_service(running, settings, names, dict.fromkeys(names, reference)))


def test_a_service_comes_with_the_jobs_that_must_have_run_before_it(files):
    settings = files.settings()
    assert with_jobs(settings, "api") == ["api", "migrate"]
    assert with_jobs(settings, "web") == ["web"]
    assert with_jobs(settings, "report") == ["report"]
    assert workload_images(settings, ["api"]) == {"api": "registry.example/app:1"}


def test_a_store_is_no_service_that_comes_or_goes_alone_and_is_answered_with_those(files, running):
    settings = files.settings()
    for choose in (lambda: with_jobs(settings, "postgres"), lambda: without_service(running, "postgres", "dev")):
        with pytest.raises(SetupError, match=r"no service or job postgres.*It has: api, migrate, report, web"):
            choose()


def test_only_the_named_service_is_taken_from_the_files(files, running):
    for name in ("api", "web"):
        files.stack["config"]["dockyard:services"][name] = {"env": {"MODE": "new"}}
    files.stack["config"]["dockyard:publish"] = {"api": 9000, "web": 9001}
    settings = brought_up(files, running, "api", "registry.example/app:1@sha256:" + "bb" * 32)
    assert settings.product.services["api"].env == {"MODE": "new"}
    assert settings.product.services["web"].env == {}
    assert settings.product.publish == {"api": 9000, "web": 8001}


def test_other_services_keep_their_image_of_the_same_name(files, running):
    old = {**running.images, "registry.example/app:1": "registry.example/app:1@sha256:" + "aa" * 32}
    new = "registry.example/app:1@sha256:" + "bb" * 32
    settings = brought_up(files, running.model_copy(update={"images": old}), "api", new)
    product = settings.product

    def runs(name):
        return settings.image(product.workloads[name].image_name("shop", name))

    assert runs("api") == runs("migrate") == new
    assert runs("web") == old["registry.example/app:1"]


def test_an_image_that_only_the_service_has_keeps_its_name(files, running):
    new = "registry.example/report:1@sha256:" + "bb" * 32
    settings = brought_up(files, running, "report", new)
    assert settings.product.jobs["report"].image == "registry.example/report:1"
    assert settings.image("registry.example/report:1") == new


def test_only_jobs_of_the_service_run_again(files, running):
    settings = brought_up(files, running, "api", "registry.example/app:1")
    assert settings.release.rerun_jobs == ["api", "migrate"]
    assert "fresh" not in settings.release.model_dump(), "what is recorded does not name them"
    names = ("shop-app-migrate", "shop-app-postgres-dump-before-migrate", "shop-app-other", "shop-edge-api-writer")
    failed = [
        resource(name, CONTAINER, urn=f"urn::{name}", inputs={"mustRun": False}, outputs={"exitCode": 1})
        for name in names
    ]
    again = [f"urn::{names[0]}", f"urn::{names[1]}", f"urn::{names[3]}"]
    assert _jobs_to_rerun(state(*failed), settings) == again


def test_a_service_that_is_taken_down_is_gone_and_the_rest_stays(files, running):
    settings = given(files, without_service(running, "web", "dev"))
    assert list(settings.product.services) == ["api"]
    assert settings.product.publish == {"api": 8000}
    assert settings.product.services["api"].env == {"MODE": "old"}


def test_a_service_that_was_taken_down_comes_back(files, running):
    down = without_service(running, "web", "dev")
    settings = brought_up(files, down, "web", "registry.example/app:1")
    assert set(settings.product.services) == {"api", "web"}


def test_the_release_that_runs_is_in_the_state(running):
    outputs = stack_outputs(release=running.model_dump())
    assert running_release(state(outputs, resource("api", CONTAINER)), "dev") == running


@pytest.mark.parametrize(
    ("outputs", "resources", "told"),
    [
        ({}, [resource("api", CONTAINER)], "does not record the running release"),
        ({"release": {"of": "another version"}}, [resource("api", CONTAINER)], "does not record the running release"),
        ({}, [], "the stack dev is not running"),
    ],
)
def test_a_state_without_a_release_asks_to_bring_all_of_it_up(outputs, resources, told):
    with pytest.raises(SetupError, match=rf"{told}.*dockyard up dev"):
        running_release(state(stack_outputs(**outputs), *resources), "dev")


def test_an_earlier_release_is_accepted_without_later_secrets(files, running):
    use(WorkDir(files.folder), "dev", running)
    files.stack["config"]["dockyard:later-secret"] = {"secure": "v1:…"}
    assert files.settings().release_is_pinned
