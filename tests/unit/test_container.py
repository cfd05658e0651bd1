"""The hardened container that every service and job is made as."""

from dataclasses import replace

import pulumi
import pytest

from runtime.docker import format_go_duration
from runtime.manifest import StagedFiles
from runtime.spec import Attachment, ContainerSpec, HealthCheck, PortMapping
from settings.container import Docker
from tests.support.recording import RecordedResource, record


@pytest.fixture
def spec(limits) -> ContainerSpec:
    return ContainerSpec(
        role="web",
        image="registry/web:1",
        user="1001:1001",
        of_product=True,
        limits=limits,
        networks=(Attachment("net", ("web",)),),
        health=HealthCheck(("true",), interval=60, timeout=5, retries=3, start_period=90),
    )


@pytest.fixture
def run(make_context):
    def run(spec: ContainerSpec, **context) -> RecordedResource:
        world = record(lambda: make_context(**context).service("web", spec, pulumi.ResourceOptions()) and None)
        return world["web"]

    return run


@pytest.mark.parametrize(("cores", "spelled"), [(2, "2.0"), (0.5, "0.5"), (1.25, "1.25")])
def test_cores_are_spelled_as_the_provider_reads_them_back(cores, spelled, spec, run):
    assert run(replace(spec, limits=spec.limits.model_copy(update={"cpus": cores}))).inputs["cpus"] == spelled


@pytest.mark.parametrize(
    ("seconds", "spelled"), [(5, "5s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3661, "1h1m1s")]
)
def test_durations_are_spelled_as_go_prints_them(seconds, spelled):
    assert format_go_duration(seconds) == spelled


def test_a_container_is_waited_for_as_long_as_the_settings_say(spec, run):
    assert run(spec, docker=Docker(wait_timeout="2m")).inputs["waitTimeout"] == 120


def test_the_health_of_a_starting_container_can_be_checked_more_often(run, spec):
    health = run(spec, docker=Docker(health_interval="20s", health_start_interval="1s")).inputs["healthcheck"]
    assert (health["interval"], health["startInterval"]) == ("20s", "1s")
    assert "startInterval" not in run(spec).inputs["healthcheck"]


@pytest.mark.parametrize(
    ("change", "one_at_a_time"),
    [({}, False), ({"publish": (PortMapping(80, 8080),)}, True), ({"exclusive": True}, True)],
)
def test_a_container_is_replaced_create_first_unless_it_holds_a_port_or_a_data_folder(change, one_at_a_time, spec, run):
    assert run(replace(spec, **change)).delete_before_replace is one_at_a_time


def test_a_change_that_the_provider_would_not_make_in_place_changes_the_spec_label(spec, run):
    """Health checks and folders in memory are planned as updates, and then not updated."""
    plain = run(spec).label("dockyard.spec")
    slower = run(replace(spec, health=replace(spec.health, interval=61))).label("dockyard.spec")
    roomier = run(replace(spec, tmpfs=("/tmp",))).label("dockyard.spec")
    assert len({plain, slower, roomier}) == 3


def test_a_changed_memory_limit_leaves_the_spec_label_alone_so_that_it_is_changed_in_place(spec, run, limits):
    larger = replace(spec, limits=limits.model_copy(update={"memory": 256}))
    assert run(larger).label("dockyard.spec") == run(spec).label("dockyard.spec")


def test_the_spec_label_is_the_same_in_every_run_and_tells_nothing_of_outputs(spec, run):
    secrets = [replace(spec, env={"A": pulumi.Output.secret(value)}) for value in ("one", "two")]
    for first, second in ((spec, spec), secrets):
        assert run(first).label("dockyard.spec") == run(second).label("dockyard.spec")


def test_a_secret_in_a_variable_stays_marked(spec, run):
    assert run(replace(spec, env={"A": pulumi.Output.secret("hush")})).secrets


class TestJob:
    def job(self, spec, make_context, exit_code: int, **uploads):
        def program():
            context = make_context()
            files = StagedFiles(uploads, owner="0") if uploads else None
            job = context.job("migrate", replace(spec, command=("true",)), pulumi.ResourceOptions(), files)
            context.service("after", spec, pulumi.ResourceOptions(depends_on=job.done))

        return record(program, exit_codes={"migrate": exit_code})

    def test_an_exit_code_that_is_not_0_stops_what_comes_after_and_shows_the_log(self, spec, make_context):
        with pytest.raises(pulumi.RunError, match=r"(?s)migrate ended with exit code 3.*log of migrate"):
            self.job(spec, make_context, 3)

    def test_uploaded_files_are_given_in_order(self, spec, make_context):
        made = self.job(spec, make_context, 0, b="2", a="1")["migrate"]
        assert list(made.files.items()) == [("a", "1"), ("b", "2")]


def test_a_frozen_job_keeps_every_input_that_it_ran_with_and_nobody_asks_how_it_ended(spec, make_context):
    def program(frozen: bool) -> None:
        job = make_context().job("job", spec, pulumi.ResourceOptions(), skip=frozen)
        pulumi.CustomResource("test:After", "after", opts=pulumi.ResourceOptions(depends_on=job.done))

    world = record(lambda: program(True), exit_codes={"job": 3})
    assert {"image", "command", "envs", "memorySwap", "networksAdvanced"} <= set(world["job"].ignore_changes)
    assert "after" in world
    assert record(lambda: program(False))["job"].ignore_changes == ()
