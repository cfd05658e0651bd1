"""Every field of a container is compared, by what it means and not by how the engine spells it."""

from copy import deepcopy

import pytest

from ops.drift.docker import resources
from ops.drift.docker.fields import CONTAINER_FIELDS, NOT_READ
from ops.drift.findings import Repair
from runtime.pulumi_state import MARK, MARKED_SECRET, Secret, plain
from tests.support.drift import INSPECTED, SCHEMA, changed, container, declared

CONFIG, HOST = "Config", "HostConfig"


def findings(found: dict, inputs: dict | None = None, **more) -> dict:
    said = declared(inputs)
    return {finding.field: finding for finding in resources.container(said, container(said, found, **more))}


def test_an_unchanged_container_has_no_finding():
    assert findings(INSPECTED) == {}


def test_every_input_of_the_provider_is_compared_or_has_a_reason():
    fields = SCHEMA["docker:index/container:Container"]["fields"]
    inputs = {name for name, said in fields.items() if not said.get("output")}
    compared = {name for field in CONTAINER_FIELDS for name in field.inputs}
    assert inputs - compared - NOT_READ.keys() == set()
    assert (compared | NOT_READ.keys()) - inputs == set()
    assert compared & NOT_READ.keys() == set()


@pytest.mark.parametrize(
    ("field", "found"),
    # Beside those that tests/products/test_drift.py changes on containers that run.
    [
        ("entrypoint", changed(CONFIG, "Entrypoint", to=["/bin/sh"])),
        ("env.DEBUG", changed(CONFIG, "Env", to=["PORT=8000", "PATH=/bin", "DEBUG=1"])),
        ("env.PATH", changed(CONFIG, "Env", to=["PORT=8000"])),
        ("hostname", changed(CONFIG, "Hostname", to="other")),
        ("domain", changed(CONFIG, "Domainname", to="example.org")),
        ("tty", changed(CONFIG, "Tty", to=True)),
        ("stdin", changed(CONFIG, "OpenStdin", to=True)),
        ("health_check.interval", changed(CONFIG, "Healthcheck", "Interval", to=10**9)),
        ("exposed", changed(CONFIG, "ExposedPorts", to={"8000/tcp": {}})),
        ("runtime", changed(HOST, "Runtime", to="kata")),
        ("devices./dev/kvm", changed(HOST, "Devices", to=[{"PathOnHost": "/dev/kvm", "PathInContainer": "/dev/kvm"}])),
        ("device_rules", changed(HOST, "DeviceCgroupRules", to=["c 1:3 rwm"])),
        ("device_requests", changed(HOST, "DeviceRequests", to=[{"Count": -1}])),
        ("groups", changed(HOST, "GroupAdd", to=["docker"])),
        ("namespaces.ipc", changed(HOST, "IpcMode", to="host")),
        ("namespaces.user", changed(HOST, "UsernsMode", to="host")),
        ("namespaces.uts", changed(HOST, "UTSMode", to="host")),
        ("memory_reservation", changed(HOST, "MemoryReservation", to=0)),
        ("cpu_set_memory", changed(HOST, "CpusetMems", to="0")),
        ("block_io_weight", changed(HOST, "BlkioWeight", to=10)),
        ("out_of_memory.adjust", changed(HOST, "OomScoreAdj", to=-500)),
        ("out_of_memory.disabled", changed(HOST, "OomKillDisable", to=True)),
        ("throttle.WriteBps./dev/sda", changed(HOST, "BlkioDeviceWriteBps", to=[{"Path": "/dev/sda", "Rate": 1}])),
        ("shared_memory", changed(HOST, "ShmSize", to=1 << 30)),
        ("mounts./run/secrets", changed("Mounts", to=[])),
        ("storage.size", changed(HOST, "StorageOpt", to={"size": "1G"})),
        ("addresses.app", changed("NetworkSettings", "Networks", "app", "IPAMConfig", to={"IPv4Address": "10.0.0.9"})),
        ("network_mode", changed(HOST, "NetworkMode", to="host")),
        ("ports.8000/tcp", changed("NetworkSettings", "Ports", to={})),
        ("ports.9000/tcp", changed("NetworkSettings", "Ports", "9000/tcp", to=[{"HostIp": "", "HostPort": "9000"}])),
        ("publish_all", changed(HOST, "PublishAllPorts", to=True)),
        ("dns.options", changed(HOST, "DnsOptions", to=["ndots:5"])),
        ("dns.search", changed(HOST, "DnsSearch", to=["example.org"])),
        ("removed_at_end", changed(HOST, "AutoRemove", to=True)),
        ("log.driver", changed(HOST, "LogConfig", "Type", to="none")),
        ("cgroup_parent", changed(HOST, "CgroupParent", to="/other")),
        ("state", changed("State", "Status", to="restarting")),
        ("health", changed("State", "Health", "Status", to="unhealthy")),
    ],
)
def test_a_difference_is_named_and_nothing_else(field, found):
    assert set(findings(found)) == {field}


def test_fields_that_the_engine_chooses_are_ignored():
    found = changed(HOST, "CgroupnsMode", to="private")
    found["HostConfig"]["IpcMode"] = "shareable"
    assert findings(found) == {}


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({"cpus": None, "cpuPeriod": 100_000, "cpuQuota": 50_000}, INSPECTED),
        ({"cpuSet": "0-2"}, changed(HOST, "CpusetCpus", to="0,1,2")),
        ({"capabilities": {"drops": ["all"], "adds": ["CHOWN"]}}, INSPECTED),
        ({"stopSignal": "15"}, INSPECTED),
        ({"memorySwap": None}, changed(HOST, "MemorySwap", to=512 << 20)),
        ({"entrypoints": ["/bin/sh"], "command": None}, changed(CONFIG, "Cmd", to=None) | {}),
        ({"ports": [{"internal": 8000}]}, INSPECTED),
    ],
)
def test_another_spelling_of_the_same_value_is_no_finding(inputs, found):
    found = deepcopy(found)
    if inputs.get("entrypoints"):
        found["Config"]["Entrypoint"] = inputs["entrypoints"]
    assert findings(found, inputs) == {}


def test_swap_is_ignored_where_the_engine_cannot_limit_it():
    found = changed(HOST, "MemorySwap", to=-1)
    assert findings(found, engine={"DefaultRuntime": "runc", "SwapLimit": False}) == {}


def test_only_declared_values_are_compared_where_the_image_is_gone():
    assert findings(INSPECTED, image=None) == {}
    wrong = changed(CONFIG, "Env", to=["PORT=1", "PATH=/bin"])
    wrong["Config"].update(Cmd=["other"], Entrypoint=["/other"])
    assert findings(wrong, image=None).keys() == {"env.PORT", "command"}


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [("exited", 0, None), ("exited", 3, "exit code 3"), ("running", 0, "running"), ("created", 0, "created")],
)
def test_a_job_is_as_declared_once_it_has_ended_well(status, code, told):
    found = changed("State", to={"Status": status, "ExitCode": code, "Running": status == "running"})
    found["NetworkSettings"]["Ports"] = INSPECTED["NetworkSettings"]["Ports"]
    said = findings(found, {"mustRun": False})
    assert (said["state"].actual if told else said) == (told or {})


@pytest.mark.parametrize(
    ("field", "found", "repair"),
    [
        ("memory", changed(HOST, "Memory", to=1 << 20), Repair.UPDATE),
        ("restart", changed(HOST, "RestartPolicy", to={"Name": "always"}), Repair.UPDATE),
        ("env.PORT", changed(CONFIG, "Env", to=["PORT=1", "PATH=/bin"]), Repair.REPLACE),
        ("state", changed("State", "Status", to="paused"), Repair.UNPAUSE),
        ("networks.app", changed("NetworkSettings", "Networks", to={}), Repair.RECONNECT),
        # There is no way to take a limit away but to make the container anew.
        ("cpu_shares", changed(HOST, "CpuShares", to=2), Repair.REPLACE),
    ],
)
def test_a_difference_is_repaired_with_as_little_as_will_do(field, found, repair):
    assert findings(found)[field].repair is repair


def test_a_moved_tag_is_repaired_by_nobody():
    found = changed("Image", to="sha256:" + "bb" * 32)
    moved = findings(found)["image"]
    assert moved.repair is Repair.MANUAL
    assert "docker tag" in moved.remedy
    other = deepcopy(found)
    other["Config"]["Image"] = "evil"
    assert findings(other)["image"].repair is Repair.REPLACE


def test_a_container_made_again_by_hand_is_recreated():
    said = declared(id="gone")
    found = changed(HOST, "Privileged", to=True)
    told = {finding.field: finding.repair for finding in resources.recreated_container(said, container(said, found))}
    assert told == {"id": Repair.RECREATE, "privileged": Repair.RECREATE}


def test_a_secret_is_never_printed():
    secret = plain({MARK: MARKED_SECRET, "plaintext": '["A=hunter2"]'})
    assert isinstance(secret[0], Secret)
    found = changed(CONFIG, "Env", to=["A=other", "API_TOKEN=hunter3", "URL=postgres://u:hunter4@db/x", "PATH=/bin"])
    shown = " ".join(f"{one.declared} {one.actual}" for one in findings(found, {"envs": secret}).values())
    assert "hunter" not in shown
    assert "(secret)" in shown
    assert "postgres://u:***@db/x" in shown
