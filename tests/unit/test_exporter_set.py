"""What turns the host, the containers and the data stores into metrics."""

import json

import pulumi
import pytest

from components.connection import Connection
from components.exporter_set import ExporterSet, ExporterSetConfig
from components.spec import Mount
from settings.monitoring import Exporters
from tests.support.recording import record


@pytest.fixture
def exporters(make_context):
    def build_set(*stores: str):
        targets = []

        def program():
            ready = pulumi.CustomResource("test:Store", "store")
            connections = {
                store: Connection(
                    {"DATABASE_NAME": "shop", "DATABASE_USER": "u", "REDIS_HOST": "redis", "REDIS_PORT": "6379"},
                    {f"{kind}-password": pulumi.Output.secret("hush") for kind in ("database", "redis")},
                    ready,
                )
                for store in stores
            }
            inventory = Mount("inventory-volume", "/metrics/inventory")
            config = ExporterSetConfig(Exporters(), make_context(), lambda name: name, connections, inventory)
            made = ExporterSet("x", config)
            targets.extend(made.targets)

        return record(program), targets

    return build_set


def services(world) -> set[str]:
    return {one.label("dockyard.service") for one in world.containers if not one.name.endswith("-writer")}


def test_host_and_containers_are_always_measured(exporters):
    world, targets = exporters()
    assert services(world) == {"node-exporter", "cadvisor"}
    assert [(target.job, target.address) for target in targets] == [
        ("node", "node-exporter:9100"),
        ("cadvisor", "cadvisor:8080"),
    ]


def test_the_host_is_read_by_named_collectors_and_none_tells_of_the_exporters_own_network(exporters):
    world, _ = exporters()
    flags = world["x-node-exporter"].inputs["command"]
    assert "--collector.disable-defaults" in flags
    assert {"--collector.filesystem", "--collector.textfile", "--collector.timex"} <= set(flags)
    assert not {"--collector.netdev", "--collector.netstat", "--collector.conntrack"} & set(flags)


def test_cadvisor_keeps_to_what_rules_read_and_needs_no_docker(exporters):
    world, _ = exporters()
    flags = world["x-cadvisor"].inputs["command"]
    assert "--enable_metrics=cpu,memory,network" in flags
    assert "--raw_cgroup_prefix_whitelist=/docker/,/system.slice/docker-" in flags
    assert not [flag for flag in flags if flag.startswith("--disable_metrics")]


def test_a_data_store_comes_with_its_exporter(exporters):
    world, targets = exporters("postgres", "redis")
    assert services(world) == {"node-exporter", "cadvisor", "postgres-exporter", "redis-exporter"}
    assert {target.address for target in targets} >= {"postgres-exporter:9187", "redis-exporter:9121"}
    assert "store" in world["x-postgres-exporter"].depends_on


def test_no_exporter_is_published_or_mounts_the_docker_socket(exporters):
    world, _ = exporters("postgres", "redis")
    for one in world.containers:
        assert "ports" not in one.inputs, one.name
        assert not any("docker.sock" in mount["source"] for mount in one.inputs.get("mounts", ())), one.name


def test_what_is_seen_of_the_host_is_read_only_and_without_its_process_list(exporters):
    world, _ = exporters()
    for one in world.containers:
        assert all(mount["readOnly"] for mount in one.inputs["mounts"]), one.name
        assert "pidMode" not in one.inputs


def test_passwords_reach_exporters_as_files_only(exporters):
    world, _ = exporters("postgres", "redis")
    assert world["x-postgres-exporter"].env == {
        "DATA_SOURCE_URI": "postgres:5432/shop?sslmode=disable",
        "DATA_SOURCE_USER": "u",
        "DATA_SOURCE_PASS_FILE": "/run/secrets/password",
    }
    assert world["x-redis-exporter"].env["REDIS_PASSWORD_FILE"] == "/run/secrets/passwords.json"
    (passwords,) = world["x-redis-exporter-secrets-writer"].files.values()
    assert json.loads(passwords) == {"redis://redis:6379": "hush"}
    assert world["x-redis-exporter-secrets-writer"].secrets


def test_limits_are_those_of_the_dating_apps_table(exporters):
    world, _ = exporters("postgres")
    limits = {
        one.label("dockyard.service"): (one.inputs["memory"], one.inputs["memoryReservation"])
        for one in world.containers
        if not one.name.endswith("-writer")
    }
    assert limits == {"node-exporter": (128, 64), "cadvisor": (256, 128), "postgres-exporter": (128, 64)}


def test_the_postgres_exporter_collects_what_alerts_rest_on_and_is_off_by_default(exporters):
    world, _ = exporters("postgres")
    assert set(world["x-postgres-exporter"].inputs["command"]) == {
        "--collector.database_wraparound",
        "--collector.postmaster",
        "--collector.stat_checkpointer",
    }
