"""The hardened container that every service and job is made as."""

from dataclasses import replace

import pulumi
import pytest

from components.container import go_duration, run_service
from components.job import OneShotJob
from components.spec import Attachment, ContainerSpec, HealthCheck, Mount, Publication
from settings.docker import Docker
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
        world = record(lambda: run_service("web", spec, make_context(**context), pulumi.ResourceOptions()) and None)
        return world["web"]

    return run


def test_every_container_is_hardened(spec, run):
    made = run(spec).inputs
    assert made["capabilities"] == {"drops": ["ALL"]}
    assert made["securityOpts"] == ["no-new-privileges:true"]
    assert made["readOnly"] is True
    assert made["init"] is True
    assert made["restart"] == "unless-stopped"
    assert made["logDriver"] == "json-file"
    assert made["logOpts"]["max-size"] == "10m"
    assert made["logOpts"]["max-file"] == "14"


@pytest.mark.parametrize(
    "absent", ["name", "privileged", "ports", "networkMode", "pidMode", "ipcMode", "uploads", "devices"]
)
def test_a_plain_container_has_none_of_the_dangerous_or_fixed_inputs(absent, spec, run):
    assert absent not in run(spec).inputs


def test_swap_is_never_added_to_the_memory_limit_and_a_reservation_is_always_there(spec, run):
    made = run(spec).inputs
    assert (made["memory"], made["memorySwap"], made["memoryReservation"]) == (128, 128, 64)


@pytest.mark.parametrize(("cores", "spelled"), [(2, "2.0"), (0.5, "0.5"), (1.25, "1.25")])
def test_cores_are_spelled_as_the_provider_reads_them_back(cores, spelled, spec, run):
    assert run(replace(spec, limits=spec.limits.model_copy(update={"cpus": cores}))).inputs["cpus"] == spelled


@pytest.mark.parametrize(
    ("seconds", "spelled"), [(5, "5s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3661, "1h1m1s")]
)
def test_durations_are_spelled_as_go_prints_them(seconds, spelled):
    assert go_duration(seconds) == spelled


def test_the_container_is_waited_for_until_it_is_healthy(spec, run):
    made = run(spec, docker=Docker(wait_timeout="2m")).inputs
    assert made["wait"] is True
    assert made["waitTimeout"] == 120
    assert made["healthcheck"] == {
        "tests": ["CMD", "true"],
        "interval": "1m0s",
        "timeout": "5s",
        "retries": 3,
        "startPeriod": "1m30s",
    }


def test_an_environment_can_check_health_more_often_than_the_product_asks_for(spec, run):
    assert run(spec, docker=Docker(health_interval="2s")).inputs["healthcheck"]["interval"] == "2s"


def test_a_container_without_ports_or_data_is_replaced_create_first(spec, run):
    assert run(spec).delete_before_replace is False


@pytest.mark.parametrize("change", [{"publish": (Publication(80, 8080),)}, {"exclusive": True}])
def test_a_published_port_or_a_data_folder_has_one_holder_at_a_time(change, spec, run):
    assert run(replace(spec, **change)).delete_before_replace is True


def test_published_ports_are_bound_to_the_loopback_address(spec, run):
    made = run(replace(spec, publish=(Publication(80, 8080),))).inputs
    assert made["ports"] == [{"internal": 80, "external": 8080, "ip": "127.0.0.1", "protocol": "tcp"}]


def test_a_change_that_the_provider_would_not_make_in_place_changes_the_spec_label(spec, run):
    """Health checks and folders in memory are planned as updates, and then not updated."""
    plain = run(spec).label("dockyard.spec")
    slower = run(replace(spec, health=replace(spec.health, interval=61))).label("dockyard.spec")
    roomier = run(replace(spec, tmpfs=("/tmp",))).label("dockyard.spec")
    assert len({plain, slower, roomier}) == 3


def test_a_changed_memory_limit_leaves_the_spec_label_alone_so_that_it_is_changed_in_place(spec, run, limits):
    larger = replace(spec, limits=limits.model_copy(update={"memory": 256}))
    assert run(larger).label("dockyard.spec") == run(spec).label("dockyard.spec")


def test_the_spec_label_is_the_same_in_every_run(spec, run):
    assert run(spec).label("dockyard.spec") == run(spec).label("dockyard.spec")


def test_the_spec_label_tells_nothing_of_outputs(spec, run):
    def with_value(value):
        return run(replace(spec, env={"A": pulumi.Output.secret(value)})).label("dockyard.spec")

    assert with_value("one") == with_value("two")


def test_labels_name_product_environment_stack_and_service(spec, run):
    made = run(spec)
    assert made.label("dockyard.product") == "shop"
    assert made.label("dockyard.environment") == "development"
    assert made.label("dockyard.stack") == "test"
    assert made.label("dockyard.service") == "web"


def test_mounts_are_read_only_unless_said_otherwise(spec, run):
    made = run(replace(spec, mounts=(Mount("vol", "/data"), Mount("/etc", "/host", host=True)))).inputs
    assert made["mounts"] == [
        {"type": "volume", "source": "vol", "target": "/data", "readOnly": True},
        {"type": "bind", "source": "/etc", "target": "/host", "readOnly": True},
    ]


def test_a_secret_in_a_variable_stays_marked(spec, run):
    assert run(replace(spec, env={"A": pulumi.Output.secret("hush")})).secrets


class TestOneShotJob:
    def job(self, spec, make_context, exit_code: int, **uploads):
        def program():
            context = make_context()
            job = OneShotJob("migrate", spec, context, pulumi.ResourceOptions(), uploads=uploads or None)
            run_service("after", spec, context, pulumi.ResourceOptions(depends_on=job.done))

        return record(program, exit_codes={"migrate": exit_code})

    def test_it_runs_once_and_is_not_restarted(self, spec, make_context):
        made = self.job(spec, make_context, 0)["migrate"].inputs
        assert (made["mustRun"], made["attach"], made["logs"], made["restart"]) == (False, True, True, "no")
        assert "healthcheck" not in made

    def test_what_comes_after_waits_for_it(self, spec, make_context):
        assert "migrate" in self.job(spec, make_context, 0)["after"].depends_on

    def test_an_exit_code_that_is_not_0_stops_what_comes_after_and_shows_the_log(self, spec, make_context):
        with pytest.raises(pulumi.RunError, match=r"(?s)migrate ended with exit code 3.*log of migrate"):
            self.job(spec, make_context, 3)

    def test_uploaded_files_are_given_in_order(self, spec, make_context):
        made = self.job(spec, make_context, 0, b="2", a="1")["migrate"]
        assert list(made.files.items()) == [("a", "1"), ("b", "2")]


def test_what_joins_a_foreign_network_is_known_there_by_its_product_and_name(spec, run):
    joined = run(spec, networks={"dokploy-network": ["web"], "other": ["api"]}).inputs["networksAdvanced"]
    assert joined == [{"name": "net", "aliases": ["web"]}, {"name": "dokploy-network", "aliases": ["shop-web"]}]


def test_the_docker_host_has_a_name_only_where_it_is_needed(spec, run):
    assert "hosts" not in run(spec).inputs
    made = run(replace(spec, reaches_host=True)).inputs
    assert made["hosts"] == [{"host": "host.docker.internal", "ip": "host-gateway"}]


def test_other_files_are_another_container_where_they_are_read_at_its_start_only(spec, run):
    assert run(spec).label("dockyard.content") is None
    assert run(replace(spec, content=pulumi.Output.from_input("1a2b3c4d"))).label("dockyard.content") == "1a2b3c4d"


def test_a_frozen_job_keeps_every_input_that_it_ran_with_and_nobody_asks_how_it_ended(spec, make_context):
    def program(frozen: bool) -> None:
        job = OneShotJob("job", spec, make_context(), pulumi.ResourceOptions(), frozen=frozen)
        pulumi.CustomResource("test:After", "after", opts=pulumi.ResourceOptions(depends_on=job.done))

    world = record(lambda: program(True), exit_codes={"job": 3})
    assert {"image", "command", "envs", "memorySwap", "networksAdvanced"} <= set(world["job"].ignore_changes)
    assert "after" in world
    assert record(lambda: program(False))["job"].ignore_changes == ()
