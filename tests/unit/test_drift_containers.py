"""Every field of a container is compared, by what it means and not by how the engine spells it."""

from copy import deepcopy

import pytest

from ops.drift.container_fields import FIELDS, NOT_READ
from ops.drift.containers import compare, made_anew, missing
from ops.drift.declared import plain
from ops.drift.findings import Repair, Secret
from tests.support.drift import ID, INSPECTED, SCHEMA, changed, container, declared

CONFIG, HOST = "Config", "HostConfig"


def findings(found: dict, inputs: dict | None = None, **more) -> dict:
    said = declared(inputs)
    return {one.field: one for one in compare(said, container(said, found, **more))}


def test_an_unchanged_container_has_no_finding():
    assert findings(INSPECTED) == {}


def test_every_input_of_the_provider_is_compared_or_has_a_reason():
    fields = SCHEMA["docker:index/container:Container"]["fields"]
    inputs = {name for name, said in fields.items() if not said.get("output")}
    compared = {name for field in FIELDS for name in field.inputs}
    assert inputs - compared - NOT_READ.keys() == set()
    assert (compared | NOT_READ.keys()) - inputs == set()
    assert compared & NOT_READ.keys() == set()


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("name", changed("Name", to="/other")),
        ("image", changed("Image", to="sha256:" + "bb" * 32)),
        ("command", changed(CONFIG, "Cmd", to=["serve", "--debug"])),
        ("entrypoint", changed(CONFIG, "Entrypoint", to=["/bin/sh"])),
        ("env.PORT", changed(CONFIG, "Env", to=["PORT=8001", "PATH=/bin"])),
        ("env.DEBUG", changed(CONFIG, "Env", to=["PORT=8000", "PATH=/bin", "DEBUG=1"])),
        ("env.PATH", changed(CONFIG, "Env", to=["PORT=8000"])),
        ("labels.dockyard.stack", changed(CONFIG, "Labels", to={"maintainer": "them"})),
        ("user", changed(CONFIG, "User", to="0:0")),
        ("working_dir", changed(CONFIG, "WorkingDir", to="/srv")),
        ("hostname", changed(CONFIG, "Hostname", to="other")),
        ("domain", changed(CONFIG, "Domainname", to="example.org")),
        ("tty", changed(CONFIG, "Tty", to=True)),
        ("stdin", changed(CONFIG, "OpenStdin", to=True)),
        ("health_check.test", changed(CONFIG, "Healthcheck", "Test", to=["CMD", "false"])),
        ("health_check.interval", changed(CONFIG, "Healthcheck", "Interval", to=10**9)),
        ("stop_signal", changed(CONFIG, "StopSignal", to="SIGKILL")),
        ("stop_timeout", changed(CONFIG, "StopTimeout", to=1)),
        ("exposed", changed(CONFIG, "ExposedPorts", to={"8000/tcp": {}})),
        ("init", changed(HOST, "Init", to=None)),
        ("runtime", changed(HOST, "Runtime", to="kata")),
        ("privileged", changed(HOST, "Privileged", to=True)),
        ("capabilities.add", changed(HOST, "CapAdd", to=["CAP_CHOWN", "CAP_SYS_ADMIN"])),
        ("capabilities.drop", changed(HOST, "CapDrop", to=None)),
        ("security_options", changed(HOST, "SecurityOpt", to=["seccomp=unconfined"])),
        ("masked_paths", changed(HOST, "MaskedPaths", to=[])),
        ("read_only", changed(HOST, "ReadonlyRootfs", to=False)),
        ("devices./dev/kvm", changed(HOST, "Devices", to=[{"PathOnHost": "/dev/kvm", "PathInContainer": "/dev/kvm"}])),
        ("device_rules", changed(HOST, "DeviceCgroupRules", to=["c 1:3 rwm"])),
        ("device_requests", changed(HOST, "DeviceRequests", to=[{"Count": -1}])),
        ("groups", changed(HOST, "GroupAdd", to=["docker"])),
        ("namespaces.pid", changed(HOST, "PidMode", to="host")),
        ("namespaces.ipc", changed(HOST, "IpcMode", to="host")),
        ("namespaces.user", changed(HOST, "UsernsMode", to="host")),
        ("namespaces.uts", changed(HOST, "UTSMode", to="host")),
        ("sysctls.net.core.somaxconn", changed(HOST, "Sysctls", to={"net.core.somaxconn": "1024"})),
        ("ulimits.nofile", changed(HOST, "Ulimits", to=[{"Name": "nofile", "Soft": 1, "Hard": 2}])),
        ("memory", changed(HOST, "Memory", to=512 << 20)),
        ("memory_swap", changed(HOST, "MemorySwap", to=-1)),
        ("memory_reservation", changed(HOST, "MemoryReservation", to=0)),
        ("cpus", changed(HOST, "NanoCpus", to=10**9)),
        ("cpu_set", changed(HOST, "CpusetCpus", to="0-1")),
        ("cpu_shares", changed(HOST, "CpuShares", to=512)),
        ("pids", changed(HOST, "PidsLimit", to=100)),
        ("cpu_set_memory", changed(HOST, "CpusetMems", to="0")),
        ("block_io_weight", changed(HOST, "BlkioWeight", to=10)),
        ("out_of_memory.adjust", changed(HOST, "OomScoreAdj", to=-500)),
        ("out_of_memory.disabled", changed(HOST, "OomKillDisable", to=True)),
        ("throttle.WriteBps./dev/sda", changed(HOST, "BlkioDeviceWriteBps", to=[{"Path": "/dev/sda", "Rate": 1}])),
        ("shared_memory", changed(HOST, "ShmSize", to=1 << 30)),
        ("mounts./run/secrets", changed("Mounts", to=[])),
        ("tmpfs./tmp", changed(HOST, "Tmpfs", to={"/tmp": "rw,exec"})),
        ("storage.size", changed(HOST, "StorageOpt", to={"size": "1G"})),
        ("networks.app", changed("NetworkSettings", "Networks", to={})),
        ("aliases.app", changed("NetworkSettings", "Networks", "app", "Aliases", to=[ID[:12]])),
        ("addresses.app", changed("NetworkSettings", "Networks", "app", "IPAMConfig", to={"IPv4Address": "10.0.0.9"})),
        ("network_mode", changed(HOST, "NetworkMode", to="host")),
        ("ports.8000/tcp", changed("NetworkSettings", "Ports", to={})),
        ("ports.9000/tcp", changed("NetworkSettings", "Ports", "9000/tcp", to=[{"HostIp": "", "HostPort": "9000"}])),
        ("publish_all", changed(HOST, "PublishAllPorts", to=True)),
        (
            "hosts.bank.example",
            changed(HOST, "ExtraHosts", to=["host.docker.internal:host-gateway", "bank.example:::1"]),
        ),
        ("dns.servers", changed(HOST, "Dns", to=["192.0.2.53"])),
        ("dns.options", changed(HOST, "DnsOptions", to=["ndots:5"])),
        ("dns.search", changed(HOST, "DnsSearch", to=["example.org"])),
        ("restart", changed(HOST, "RestartPolicy", to={"Name": "no"})),
        ("removed_at_end", changed(HOST, "AutoRemove", to=True)),
        ("log.driver", changed(HOST, "LogConfig", "Type", to="none")),
        ("log.options.max-file", changed(HOST, "LogConfig", "Config", to={"max-file": "1"})),
        ("cgroup_parent", changed(HOST, "CgroupParent", to="/other")),
        ("state", changed("State", "Status", to="paused")),
        ("state", changed("State", "Status", to="exited")),
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
    said = declared()
    names = {one.field for one in compare(said, container(said, INSPECTED, image=None))}
    assert names == set()
    wrong = changed(CONFIG, "Env", to=["PORT=1", "PATH=/bin"])
    wrong["Config"].update(Cmd=["other"], Entrypoint=["/other"])
    assert {one.field for one in compare(said, container(said, wrong, image=None))} == {"env.PORT", "command"}


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [("exited", 0, None), ("exited", 3, "exit code 3"), ("running", 0, "running"), ("created", 0, "created")],
)
def test_a_job_is_as_declared_once_it_has_ended_well(status, code, told):
    found = changed("State", to={"Status": status, "ExitCode": code, "Running": status == "running"})
    found["NetworkSettings"]["Ports"] = INSPECTED["NetworkSettings"]["Ports"]
    said = findings(found, {"mustRun": False})
    assert (said["state"].found if told else said) == (told or {})


def test_each_kind_of_difference_has_its_repair():
    repairs = {
        field: findings(found)[field].repair
        for field, found in {
            "memory": changed(HOST, "Memory", to=1 << 20),
            "restart": changed(HOST, "RestartPolicy", to={"Name": "always"}),
            "env.PORT": changed(CONFIG, "Env", to=["PORT=1", "PATH=/bin"]),
            "state": changed("State", "Status", to="paused"),
            "networks.app": changed("NetworkSettings", "Networks", to={}),
            # There is no way to take a limit away but to make the container anew.
            "cpu_shares": changed(HOST, "CpuShares", to=2),
        }.items()
    }
    assert repairs == {
        "memory": Repair.UPDATE,
        "restart": Repair.UPDATE,
        "env.PORT": Repair.REPLACE,
        "state": Repair.UNPAUSE,
        "networks.app": Repair.RECONNECT,
        "cpu_shares": Repair.REPLACE,
    }


def test_a_moved_tag_is_repaired_by_nobody():
    found = changed("Image", to="sha256:" + "bb" * 32)
    moved = findings(found)["image"]
    assert moved.repair is Repair.NOBODY
    assert "docker tag" in moved.remedy
    other = deepcopy(found)
    other["Config"]["Image"] = "evil"
    assert findings(other)["image"].repair is Repair.REPLACE


def test_a_container_made_again_by_hand_is_recreated():
    said = declared(identity="gone")
    found = changed(HOST, "Privileged", to=True)
    told = {one.field: one.repair for one in made_anew(said, container(said, found))}
    assert told == {"id": Repair.RECREATE, "privileged": Repair.RECREATE}


def test_a_container_that_is_gone_is_reported():
    assert (missing(declared()).field, missing(declared()).found) == ("state", "gone")


def test_a_secret_is_never_printed():
    secret = plain(
        {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": '["A=hunter2"]'}
    )
    assert isinstance(secret[0], Secret)
    found = changed(CONFIG, "Env", to=["A=other", "API_TOKEN=hunter3", "URL=postgres://u:hunter4@db/x", "PATH=/bin"])
    shown = " ".join(f"{one.declared} {one.found}" for one in findings(found, {"envs": secret}).values())
    assert "hunter" not in shown
    assert "(secret)" in shown
    assert "postgres://u:***@db/x" in shown
