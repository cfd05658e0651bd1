"""Private Docker engines, for real: started, healed, side by side, stopped without a trace. Needs root on Debian."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pytest
from docker.models.containers import Container

from machine import processes
from machine.progress import SetupError
from machine.workdir import WorkDir
from tests.support.busybox import import_busybox
from tests.support.engine import watched
from tests.support.ports import free_port
from tests.support.progress import Words
from tests.support.waiting import wait_until
from toolchain import dockerd_programs, private_dockerd
from toolchain.docker_engine import ensure_engine, stop_engine
from toolchain.dockerd_network import choose_pool
from toolchain.environment import environment
from toolchain.private_dockerd import PrivateDockerd, answers

CACHE = WorkDir().cache


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateDockerd]:
    made = PrivateDockerd(tmp_path_factory.mktemp("engine"), cache=CACHE)
    with watched(made):
        yield made
    made.remove()


@pytest.fixture
def engine(shared: PrivateDockerd) -> PrivateDockerd:
    """An engine that runs, with nothing on it. A test may kill or stop it."""
    shared.start()
    docked = docker.DockerClient(base_url=shared.host)
    for container in docked.containers.list(all=True):
        container.remove(force=True)
    docked.networks.prune()
    docked.close()
    return shared


@pytest.fixture
def other(tmp_path: Path) -> Iterator[PrivateDockerd]:
    """A second engine, which was never started."""
    made = PrivateDockerd(tmp_path / "other", cache=CACHE)
    yield made
    made.remove()


def client(engine: PrivateDockerd) -> docker.DockerClient:
    made = docker.DockerClient(base_url=engine.host)
    import_busybox(made, "busybox")
    return made


def serve(docked: docker.DockerClient, port: int | None = None, **options: Any) -> Container:
    """Start a web server on port 8000, published on `port` of this machine."""
    published = {"8000/tcp": ("127.0.0.1", port)} if port else None
    container = docked.containers.run(
        "busybox", ["httpd", "-f", "-p", "8000", "-h", "/etc"], detach=True, ports=published, **options
    )
    assert isinstance(container, Container)
    return container


def can_reach(docked: docker.DockerClient, address: str, network: str) -> bool:
    """Say whether a container of a network can connect to the web server at an address or a name."""
    command = ["sh", "-c", f"nc -w 2 {address} 8000 </dev/null >/dev/null && echo yes || echo no"]
    return docked.containers.run("busybox", command, network=network, remove=True) == b"yes\n"


def wait_connected(port: int) -> None:
    wait_until(
        lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True,
        f"port {port} is served",
        30,
        ignoring=(OSError,),
    )


def dockerd(engine: PrivateDockerd) -> int:
    return int((engine.run / "dockerd.pid").read_text())


class Traces(NamedTuple):
    processes: list[str]
    interfaces: list[str]
    rules: list[str]
    mounts: list[str]


def ask(*command: str) -> list[str]:
    """The lines that one of the engine's own programs prints, wherever it is on this machine."""
    env = dockerd_programs.find_programs(CACHE, lambda _: None).environment()
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()


def traces(engine: PrivateDockerd) -> Traces:
    """What of an engine is to be seen on the machine, its data aside."""
    interfaces = ask("ip", "-br", "address")
    pool = (engine.root / "network").read_text().removesuffix(".0.0/16\n") if engine.root.exists() else "no pool"
    rules = [*ask("iptables", "-t", "filter", "-S"), *ask("iptables", "-t", "nat", "-S")]
    return Traces(
        [processes.command_line(pid) for pid in processes.find(str(engine.run))],
        [line for line in interfaces if engine.bridge in line or f" {pool}." in line],
        [line for line in rules if engine.bridge in line],
        [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(engine.root) in line],
    )


def interfaces_and_rules_of_others(*engines: PrivateDockerd) -> list[str]:
    """The interfaces and firewall rules that are not of these engines."""
    names = [line.split()[0] for line in ask("ip", "-br", "link") if line.startswith(("docker0", "eth", "lo"))]
    rules = ask("iptables", "-S")
    return sorted(names) + [line for line in rules if "DOCKER" in line and not any(e.bridge in line for e in engines)]


def test_a_second_start_finds_the_engine_running(engine: PrivateDockerd) -> None:
    said: list[str] = []
    first = dockerd(engine)
    engine.start(said.append)
    assert dockerd(engine) == first
    assert answers(engine.host)
    assert said == []


def test_the_engine_outlives_the_command_that_started_it(other: PrivateDockerd) -> None:
    code = (
        "import sys; from pathlib import Path; from toolchain.private_dockerd import PrivateDockerd;"
        "PrivateDockerd(Path(sys.argv[1]), cache=Path(sys.argv[2])).start()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(other.root), str(CACHE)], cwd=WorkDir().checkout, start_new_session=True
    )
    assert process.wait(60) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGHUP)  # what a closed terminal sends finds nobody there
    assert other.is_running()


def test_containers_reach_each_other_by_name_and_the_host_by_published_ports(engine: PrivateDockerd) -> None:
    docked, port = client(engine), free_port()
    networks = docked.networks.create("one"), docked.networks.create("two")
    web = serve(docked, port, network="one", name="web", init=True)
    wait_connected(port)
    assert can_reach(docked, "web", "one")
    web.reload()
    address = web.attrs["NetworkSettings"]["Networks"]["one"]["IPAddress"]
    assert can_reach(docked, address, "one")
    assert not can_reach(docked, address, "two")
    pool = IPv4Network((engine.root / "network").read_text().strip())
    for network in networks:
        network.reload()
        assert IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"]).subnet_of(pool)


def test_a_killed_engine_is_healed_with_its_containers(engine: PrivateDockerd) -> None:
    docked, port = client(engine), free_port()
    docked.networks.create("net")
    serve(docked, port, network="net", restart_policy={"Name": "unless-stopped"})
    wait_connected(port)
    os.kill(dockerd(engine), signal.SIGKILL)
    engine.start()
    wait_connected(port)


def test_an_engine_whose_run_files_are_gone_is_healed(engine: PrivateDockerd) -> None:
    """As after a reboot: /run is empty, the data is there; and a pid file may name somebody else by then."""
    engine.stop()
    engine.run.mkdir(parents=True)
    (engine.run / "dockerd.pid").write_text(str(os.getpid()))
    engine.start()
    assert dockerd(engine) != os.getpid()
    assert answers(engine.host)


def test_an_engine_that_hangs_is_replaced(other: PrivateDockerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_dockerd, "HALF_STARTED_SECONDS", 1.0)
    monkeypatch.setattr(private_dockerd, "STOP_SECONDS", 1.0)
    other.start()
    frozen = dockerd(other)
    os.kill(frozen, signal.SIGSTOP)  # it is there, and answers nobody
    other.start()
    assert dockerd(other) != frozen
    assert not processes.is_alive(frozen)
    assert answers(other.host)


def test_two_engines_run_side_by_side_and_leave_everybody_elses_network_alone(
    engine: PrivateDockerd, other: PrivateDockerd
) -> None:
    before = interfaces_and_rules_of_others(engine, other)
    docked, port = client(engine), free_port()
    serve(docked, port)
    other.start()
    os.kill(dockerd(other), signal.SIGKILL)
    other.start()  # a second start is when dockerd would delete another engine's docker0
    assert (engine.root / "network").read_text() != (other.root / "network").read_text()
    wait_connected(port)
    assert client(other).containers.list(all=True) == []
    other.stop()
    assert answers(engine.host)
    wait_connected(port)
    assert interfaces_and_rules_of_others(engine, other) == before


@pytest.mark.parametrize("killed", [False, True])
def test_a_stopped_engine_leaves_no_process_bridge_rule_or_mount(engine: PrivateDockerd, killed: bool) -> None:
    docked = client(engine)
    docked.networks.create("net")
    serve(docked, network="net", restart_policy={"Name": "always"})
    running = traces(engine)
    assert len(running.processes) >= 3
    assert len(running.interfaces) == 2
    assert any("MASQUERADE" in rule for rule in running.rules)
    if killed:
        os.kill(dockerd(engine), signal.SIGKILL)
    engine.stop()
    assert traces(engine) == Traces([], [], [], [])
    assert engine.data.is_dir(), "its data stays"


def test_an_engine_works_from_packages_that_are_not_installed(
    other: PrivateDockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKYARD_ENGINE_PROGRAMS", "unpacked")
    said: list[str] = []
    other.start(said.append)
    assert any("unpacked from Debian's packages" in line for line in said)
    program = Path(f"/proc/{dockerd(other)}/exe").resolve()
    assert program.is_relative_to(CACHE.resolve())
    assert client(other).containers.run("busybox", ["echo", "yes"], init=True, remove=True) == b"yes\n"


def test_a_full_disk_is_told_before_anything_starts(other: PrivateDockerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_dockerd, "DISK_BYTES", 1 << 60)
    with pytest.raises(SetupError, match=r"GB free, and a Docker engine needs 3 GB\. free some space"):
        other.start()
    assert not other.data.exists()


def test_what_dockerd_says_last_is_told_when_it_ends(other: PrivateDockerd) -> None:
    other.root.mkdir(parents=True)
    other.data.write_text("a file where a folder should be")
    with pytest.raises(SetupError, match=r"dockerd ended: .*points to a file"):
        other.start()
    other.data.unlink()
    other.start()
    assert answers(other.host)


def test_without_root_one_line_says_so(other: PrivateDockerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="needs root"):
        other.start()


def test_an_address_range_in_use_is_not_taken(tmp_path: Path) -> None:
    free = choose_pool("name", tmp_path / "free", [])
    assert choose_pool("name", tmp_path / "free", [free]) == free, "what was chosen once stays"
    vpn = choose_pool("name", tmp_path / "vpn", [IPv4Network("10.0.0.0/8")])
    assert vpn.subnet_of(IPv4Network("172.16.0.0/12"))
    with pytest.raises(SetupError, match="no private address range is free"):
        choose_pool("name", tmp_path / "none", [IPv4Network("0.0.0.0/0")])


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkDir]:
    """A checkout on a machine where nothing but DOCKER_HOST could lead to an engine."""
    monkeypatch.setattr("toolchain.docker_engine._reachable", lambda own: "")
    work = WorkDir(tmp_path / "checkout")
    yield work
    PrivateDockerd(work.engine, cache=CACHE).remove()


def test_a_checkout_gets_a_private_engine_where_none_answers_and_keeps_it(
    alone: WorkDir, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ensure_engine(alone, words.progress)
    assert answers(host)
    assert environment(alone)["DOCKER_HOST"] == host
    monkeypatch.setattr("toolchain.docker_engine._reachable", lambda own: "unix:///another/that/came/later.sock")
    assert ensure_engine(alone, words.progress) == host, "its containers are there"
    # A shell that has taken over `./dockyard env` names this very engine; stopped, it must come up again.
    monkeypatch.setenv("DOCKER_HOST", host)
    stop_engine(alone, words.progress)
    assert not answers(host)
    assert ensure_engine(alone, words.progress) == host
    stop_engine(alone, words.progress)
    assert not answers(host)


def test_the_engine_that_docker_host_names_is_used(
    alone: WorkDir, words: Words, engine: PrivateDockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    assert ensure_engine(alone, words.progress) == engine.host
    assert not alone.engine.exists()
    stop_engine(alone, words.progress)
    assert answers(engine.host), "an engine that is not ours is never stopped"


def test_a_docker_host_that_does_not_answer_is_an_error_not_a_reason_to_start_another(
    alone: WorkDir, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(SetupError, match="no Docker engine answers at DOCKER_HOST=unix:///nowhere"):
        ensure_engine(alone, words.progress)
    assert not alone.engine.exists()


def test_where_no_engine_can_be_had_one_line_says_so(
    alone: WorkDir, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="no Docker engine answers, and only root on Debian"):
        ensure_engine(alone, words.progress)
