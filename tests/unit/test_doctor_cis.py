"""The scorecard: every item of the benchmark fails where a container or the engine does what it forbids."""

import copy
from typing import Any

import pytest
import yaml

from ops.doctor.cis import ITEM_IDS, ITEMS, scorecard, waivers_not_needed
from ops.doctor.docker_snapshot import DockerSnapshot, RunningContainer
from ops.doctor.findings import ItemResult
from ops.doctor.waivers import Waiver, load_waivers
from settings.problems import SettingsError
from tests.support.checkout import SOURCE

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here
INSPECTED: dict[str, Any] = {
    "AppArmorProfile": "docker-default",
    "ProcessLabel": "system_u:system_r:container_t:s0",
    "Config": {
        "User": "1001:1001",
        "Image": "ghcr.io/shop/api:1.4.0@sha256:" + "a" * 64,
        "Healthcheck": {"Test": ["CMD", "true"]},
    },
    "HostConfig": {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "CapAdd": None,
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": 2**28,
        "NanoCpus": 10**9,
        "PidsLimit": 200,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
        "NetworkMode": "bridge",
        "IpcMode": "private",
        "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]},
    },
    "Mounts": [{"Type": "volume", "Source": "/var/lib/docker/volumes/x", "Destination": "/data", "Propagation": ""}],
    "NetworkSettings": {"Networks": {"shop-app": {}}},
}
INFO: dict[str, Any] = {
    "Driver": "overlay2",
    "LoggingDriver": "json-file",
    "LiveRestoreEnabled": True,
    "ExperimentalBuild": False,
    "Swarm": {"LocalNodeState": "inactive"},
    "SecurityOptions": ["name=apparmor", "name=selinux", "name=seccomp,profile=default"],
    "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {"docker.io": {"Secure": True}}},
    "Warnings": None,
}
BRIDGE = {"Containers": {}, "Options": {"com.docker.network.bridge.enable_icc": "true"}}


def seen(
    inspected: dict[str, Any] | None = None, programs: tuple[str, ...] | None = ("node server.js",), **changes: Any
) -> DockerSnapshot:
    """Return an engine with one container; `changes` are of the engine."""
    container = RunningContainer("api", inspected or INSPECTED, programs)
    said = {"docker_host": "unix:///var/run/docker.sock", "info": INFO, "bridge": BRIDGE, "containers": [container]}
    return DockerSnapshot(**{**said, "requested_ports": frozenset({8000}), **changes})


def with_info(**changes: Any) -> DockerSnapshot:
    return seen(info={**INFO, **changes})


def tampered(place: str, value: Any) -> DockerSnapshot:
    """Return an engine whose container differs in one value: `HostConfig.Memory`."""
    inspected = copy.deepcopy(INSPECTED)
    *path, last = place.split(".")
    target = inspected
    for part in path:
        target = target[part]
    target[last] = value
    return seen(inspected)


def failed(found: list[ItemResult]) -> set[str]:
    return {item.id for item in found if item.status == "failed"}


def statuses(engine: DockerSnapshot, environment: str = "production") -> dict[str, str]:
    """Return item → its status, without waivers."""
    return {item.id: item.status for item in scorecard(engine, (), environment)}


def bind(source: str, propagation: str = "rprivate") -> list[dict[str, Any]]:
    return [{"Type": "bind", "Source": source, "Destination": "/x", "RW": False, "Propagation": propagation}]


def binding(port: int, address: str = "127.0.0.1") -> dict[str, Any]:
    return {"1/tcp": [{"HostIp": address, "HostPort": str(port)}]}


def test_a_container_and_an_engine_of_the_benchmark_fail_nothing():
    found = scorecard(seen(), (), "production")
    assert failed(found) == set()
    assert {one.status for one in found} == {"passed", "level 2, not met"}
    assert {one.id for one in found} == ITEM_IDS


TAMPERED = [
    ({"4.1"}, "Config.User", ""),
    ({"4.1"}, "Config.User", "root"),
    ({"4.1"}, "Config.User", "0:1001"),
    ({"4.6", "5.27"}, "Config.Healthcheck", None),
    ({"4.6", "5.27"}, "Config.Healthcheck", {"Test": ["NONE"]}),
    ({"5.2"}, "AppArmorProfile", "unconfined"),
    ({"5.2"}, "AppArmorProfile", ""),
    ({"5.3"}, "ProcessLabel", ""),
    ({"5.3"}, "HostConfig.SecurityOpt", ["no-new-privileges", "label:disable"]),
    ({"5.4"}, "HostConfig.CapDrop", None),
    ({"5.4"}, "HostConfig.CapAdd", ["NET_ADMIN"]),
    ({"5.5"}, "HostConfig.Privileged", True),
    ({"5.6"}, "Mounts", bind("/")),
    ({"5.6"}, "Mounts", bind("/etc/ssl")),
    ({"5.6"}, "Mounts", bind("/sys")),
    ({"5.8", "5.9"}, "HostConfig.PortBindings", binding(443)),
    ({"5.9"}, "HostConfig.PortBindings", binding(9999)),
    ({"5.10"}, "HostConfig.NetworkMode", "host"),
    ({"5.11"}, "HostConfig.Memory", 0),
    ({"5.12"}, "HostConfig.NanoCpus", 0),
    ({"5.13"}, "HostConfig.ReadonlyRootfs", False),
    ({"5.14"}, "HostConfig.PortBindings", binding(8000, EVERYWHERE)),
    ({"5.14"}, "HostConfig.PortBindings", binding(8000, "::")),
    ({"5.14"}, "HostConfig.PortBindings", binding(8000, "")),
    ({"5.15"}, "HostConfig.RestartPolicy", {"Name": "always", "MaximumRetryCount": 0}),
    ({"5.15"}, "HostConfig.RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 6}),
    ({"5.15"}, "HostConfig.RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 0}),
    ({"5.16"}, "HostConfig.PidMode", "host"),
    ({"5.17"}, "HostConfig.IpcMode", "host"),
    ({"5.18"}, "HostConfig.Devices", [{"PathOnHost": "/dev/sda"}]),
    ({"5.19"}, "HostConfig.Ulimits", [{"Name": "nofile", "Soft": 1}]),
    ({"5.20"}, "Mounts", bind("/srv/shared", "shared")),
    ({"5.20"}, "Mounts", bind("/srv/shared", "rshared")),
    ({"5.21"}, "HostConfig.UTSMode", "host"),
    ({"5.22"}, "HostConfig.SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
    ({"5.25"}, "HostConfig.CgroupParent", "/mine"),
    ({"2.14", "5.26"}, "HostConfig.SecurityOpt", []),
    ({"2.14", "5.26"}, "HostConfig.SecurityOpt", ["no-new-privileges:false"]),
    ({"5.28"}, "Config.Image", "ghcr.io/shop/api:latest"),
    ({"5.28"}, "Config.Image", "ghcr.io:5000/shop/api"),
    ({"5.29"}, "HostConfig.PidsLimit", None),
    ({"5.29"}, "HostConfig.PidsLimit", -1),
    ({"5.30"}, "NetworkSettings.Networks", {"bridge": {}}),
    ({"5.31"}, "HostConfig.UsernsMode", "host"),
    ({"5.32"}, "Mounts", bind("/var/run/docker.sock")),
]


@pytest.mark.parametrize(("items", "place", "value"), TAMPERED)
def test_an_item_on_containers_fails_where_one_value_is_wrong(items, place, value):
    found = scorecard(tampered(place, value), (), "production")
    assert failed(found) == items
    for one in found:
        if one.status == "failed":
            assert one.remedy
            assert one.id == "2.14" or list(one.offenders) == ["api"]


OF_ENGINE = [
    ({"2.2"}, seen(bridge={**BRIDGE, "Containers": {"1": {"Name": "stray"}}})),
    ({"2.5"}, with_info(RegistryConfig={"InsecureRegistryCIDRs": ["10.0.0.0/8"]})),
    ({"2.5"}, with_info(RegistryConfig={"IndexConfigs": {"registry.lan:5000": {"Secure": False}}})),
    ({"2.6"}, with_info(Driver="aufs")),
    ({"2.7"}, with_info(Warnings=["WARNING: API is accessible on http://0.0.0.0:2375 without encryption."])),
    ({"2.15"}, with_info(LiveRestoreEnabled=False)),
    ({"2.18"}, with_info(ExperimentalBuild=True)),
    ({"5.1"}, with_info(Swarm={"LocalNodeState": "active"})),
    ({"5.7"}, seen(programs=("/usr/sbin/sshd -D",))),
    ({"5.22"}, with_info(SecurityOptions=["name=apparmor", "name=selinux"])),
]


@pytest.mark.parametrize(("items", "engine"), OF_ENGINE)
def test_an_item_on_the_engine_fails_where_it_is_set_otherwise(items, engine):
    assert failed(scorecard(engine, (), "production")) == items


def test_every_item_that_is_scored_has_a_test_in_which_it_fails():
    tested = set().union(*(items for items, *_ in [*TAMPERED, *OF_ENGINE]))
    assert tested == {item.id for item in ITEMS if item.level == 1}


def test_an_item_of_level_2_is_listed_and_not_scored():
    level_2 = ("2.9", "2.12", "2.13")
    assert {statuses(seen())[item] for item in level_2} == {"level 2, not met"}
    options = [*INFO["SecurityOptions"], "name=userns"]
    met = statuses(with_info(SecurityOptions=options, Plugins={"Authorization": ["opa"]}, LoggingDriver="journald"))
    assert {met[item] for item in level_2} == {"passed"}


@pytest.mark.parametrize(("port", "allowed"), [(443, True), (22, False)])
def test_the_edge_may_bind_the_two_ports_of_the_web(port, allowed):
    inspected = copy.deepcopy(INSPECTED)
    inspected["HostConfig"]["PortBindings"] = binding(port)
    edge = seen(containers=[RunningContainer("traefik", inspected)], requested_ports=frozenset({port}))
    assert ("5.8" not in failed(scorecard(edge, (), "production"))) is allowed


def test_an_item_that_the_engine_lacks_is_not_applicable():
    bare = tampered("AppArmorProfile", "")
    found = statuses(
        DockerSnapshot(**{**vars(bare), "info": {**INFO, "SecurityOptions": ["name=seccomp,profile=default"]}})
    )
    assert found["5.2"] == found["5.3"] == "not applicable"


def test_processes_that_the_engine_does_not_list_are_untold():
    assert statuses(seen(programs=None))["5.7"] == "untold"


def test_an_engine_without_containers_is_scored_alone():
    found = statuses(seen(containers=[]), "staging")
    assert found.keys() == {item.id for item in ITEMS if item.engine}
    assert "failed" not in found.values()
    assert found["2.14"] == "not applicable", "it is either the engine's default or each container's own"
    by_default = seen(containers=[], info={**INFO, "SecurityOptions": ["name=no-new-privileges"]})
    assert statuses(by_default, "staging")["2.14"] == "passed"


def waiver(item: str, *services: str, **more: Any) -> Waiver:
    said = {"id": item, "services": services, "reason": "It cannot be otherwise, and this is what is done instead."}
    return Waiver.model_validate({**said, **more})


@pytest.mark.parametrize(
    ("services", "status", "offenders"), [(["a*", "web"], "waived", ["api", "web"]), (["api"], "failed", ["web"])]
)
def test_a_waiver_lets_its_services_off_and_nobody_else(services, status, offenders):
    inspected = copy.deepcopy(INSPECTED)
    inspected["HostConfig"]["PidsLimit"] = 0
    engine = seen(containers=[RunningContainer("api", inspected), RunningContainer("web", inspected)])
    (item,) = [item for item in scorecard(engine, [waiver("5.29", *services)], "production") if item.id == "5.29"]
    assert (item.status, list(item.offenders)) == (status, offenders)
    assert status == "failed" or "what is done instead" in item.reason


@pytest.mark.parametrize(
    "given", [waiver("5.29", "postgres"), waiver("5.28", "api"), waiver("5.29", "api", environments=["development"])]
)
def test_a_waiver_of_another_service_item_or_environment_lets_nobody_off(given):
    assert failed(scorecard(tampered("HostConfig.PidsLimit", None), [given], "production")) == {"5.29"}


def test_a_waiver_that_nothing_needs_is_reported():
    told = waivers_not_needed(seen(), [waiver("5.29", "api", "postgres")], "production")
    assert [finding.found for finding in told] == ["5.29: api passes without a waiver"]
    assert waivers_not_needed(tampered("HostConfig.PidsLimit", 0), [waiver("5.29", "api")], "production") == []
    assert waivers_not_needed(seen(), [waiver("5.29", "postgres")], "production") == [], "it does not run here"
    assert waivers_not_needed(seen(), [waiver("2.15", "engine", environments=["development"])], "production") == []
    assert waivers_not_needed(seen(), [waiver("2.15", "engine")], "production")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda said: said.append({**said[0], "id": "5.99"}), "an item that doctor checks"),
        (lambda said: said.extend([said[0]] * 6), "at most 6"),
        (lambda said: said[0].pop("reason"), "the key is required"),
        (lambda said: said[0].update(reason="because"), "at least 40 characters"),
        (lambda said: said[0].update(services=[]), "at least 1 item"),
        (lambda said: said[0].update(until="2030"), "an unknown key"),
    ],
)
def test_a_file_of_waivers_that_is_wrong_is_refused(change, told, tmp_path):
    said = yaml.safe_load((SOURCE / "policy/cis-waivers.yaml").read_text())
    change(said)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/cis-waivers.yaml").write_text(yaml.safe_dump(said))
    with pytest.raises(SettingsError, match=told):
        load_waivers(tmp_path, ITEM_IDS)
