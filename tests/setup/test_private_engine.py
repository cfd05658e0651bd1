"""Private Docker engines, for real: started, healed, side by side, stopped without a trace. Needs root on Debian."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

import docker
import pytest

from tests.setup.helpers import Words
from toolchain import engine_programs, private_engine, processes
from toolchain.engine import ensure_engine, stop_engine
from toolchain.engine_network import choose_pool
from toolchain.environment import environment
from toolchain.golang import ensure_go
from toolchain.private_engine import Engine, answers
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

CACHE = WorkDir().cache

SERVER = """\
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Serves on port 8000; with an argument it connects there instead, and says so.
func main() {
	if len(os.Args) > 1 {
		conn, err := net.DialTimeout("tcp", os.Args[1], 2*time.Second)
		if err != nil {
			fmt.Println("no")
			os.Exit(1)
		}
		conn.Close()
		fmt.Println("yes")
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() { <-end; os.Exit(0) }()
	listener, err := net.Listen("tcp", ":8000")
	if err != nil {
		panic(err)
	}
	for {
		if conn, err := listener.Accept(); err == nil {
			conn.Close()
		}
	}
}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An image that needs no network: one small static program, as a tar of its file system."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "go.mod").write_text("module server\n\ngo 1.25\n")
    (folder / "main.go").write_text(SERVER)
    go = ensure_go(WorkDir(), "1.25", lambda _: None)
    env = {**go.environment(), "GOFLAGS": "-buildvcs=false"}
    subprocess.run([str(go.program), "build", "-o", "server", "."], cwd=folder, env=env, check=True)
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder / "server", "server")
    return buffer.getvalue()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path / "other", cache=CACHE)
    yield made
    made.remove()


def client(engine: Engine, image: bytes) -> docker.DockerClient:
    made = docker.DockerClient(base_url=engine.host)
    if not made.images.list("server"):
        made.api.import_image_from_data(image, repository="server", tag="latest", changes=['ENTRYPOINT ["/server"]'])
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def connects(port: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def dockerd(engine: Engine) -> int:
    return int((engine.run / "dockerd.pid").read_text())


class Traces(NamedTuple):
    processes: list[str]
    interfaces: list[str]
    rules: list[str]
    mounts: list[str]


def ask(*command: str) -> list[str]:
    """The lines that one of the engine's own programs prints, wherever it is on this machine."""
    env = engine_programs.find_programs(CACHE, lambda _: None).environment()
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()


def traces(engine: Engine) -> Traces:
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


def interfaces_and_rules_of_others(*engines: Engine) -> list[str]:
    """The interfaces and firewall rules that are not of these engines."""
    names = [line.split()[0] for line in ask("ip", "-br", "link") if line.startswith(("docker0", "eth", "lo"))]
    rules = ask("iptables", "-S")
    return sorted(names) + [line for line in rules if "DOCKER" in line and not any(e.bridge in line for e in engines)]


def test_an_engine_starts_and_a_second_start_finds_it_running(engine: Engine) -> None:
    said: list[str] = []
    engine.start(said.append)
    first = dockerd(engine)
    engine.start(said.append)
    assert dockerd(engine) == first
    assert answers(engine.host)
    assert len([line for line in said if "starting" in line]) == 1


def test_the_engine_outlives_the_command_that_started_it(engine: Engine) -> None:
    code = (
        "import sys; from pathlib import Path; from toolchain.private_engine import Engine;"
        "Engine(Path(sys.argv[1]), cache=Path(sys.argv[2])).start()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(engine.root), str(CACHE)],
        cwd=WorkDir().checkout,
        start_new_session=True,
    )
    assert process.wait(60) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGHUP)  # what a closed terminal sends finds nobody there
    assert engine.is_running()


def test_containers_reach_each_other_by_name_and_the_host_by_published_ports(engine: Engine, image: bytes) -> None:
    engine.start()
    docked, port = client(engine, image), free_port()
    one, two = docked.networks.create("one"), docked.networks.create("two")
    web = docked.containers.run(
        "server", network="one", hostname="web", name="web", detach=True, ports={"8000/tcp": ("127.0.0.1", port)}
    )
    assert connects(port)
    assert docked.containers.run("server", "web:8000", network="one", remove=True) == b"yes\n"
    web.reload()
    address = web.attrs["NetworkSettings"]["Networks"]["one"]["IPAddress"]
    with pytest.raises(docker.errors.ContainerError, match="exit status 1"):
        docked.containers.run("server", f"{address}:8000", network="two", remove=True)
    pool = IPv4Network((engine.root / "network").read_text().strip())
    for network in (one, two):
        network.reload()
        assert IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"]).subnet_of(pool)


def test_a_killed_engine_is_healed_with_its_containers(engine: Engine, image: bytes) -> None:
    engine.start()
    docked, port = client(engine, image), free_port()
    restart = {"Name": "unless-stopped"}
    docked.networks.create("net")
    docked.containers.run(
        "server", network="net", detach=True, restart_policy=restart, ports={"8000/tcp": ("127.0.0.1", port)}
    )
    assert connects(port)
    os.kill(dockerd(engine), signal.SIGKILL)
    engine.start()
    assert connects(port), "the container, its network and its published port are back"


def test_an_engine_whose_run_files_are_gone_is_healed(engine: Engine) -> None:
    """As after a reboot: /run is empty, the data is there; and a pid file may name somebody else by then."""
    engine.start()
    engine.stop()
    engine.run.mkdir(parents=True)
    (engine.run / "dockerd.pid").write_text(str(os.getpid()))
    engine.start()
    assert dockerd(engine) != os.getpid()
    assert answers(engine.host)


def test_an_engine_that_hangs_is_replaced(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_engine, "HALF_STARTED_SECONDS", 1.0)
    monkeypatch.setattr(private_engine, "STOP_SECONDS", 1.0)
    engine.start()
    frozen = dockerd(engine)
    os.kill(frozen, signal.SIGSTOP)  # it is there, and answers nobody
    engine.start()
    assert dockerd(engine) != frozen
    assert not processes.is_alive(frozen)
    assert answers(engine.host)


def test_two_engines_run_side_by_side_and_leave_everybody_elses_network_alone(
    engine: Engine, other: Engine, image: bytes
) -> None:
    before = interfaces_and_rules_of_others(engine, other)
    engine.start()
    docked, port = client(engine, image), free_port()
    docked.containers.run("server", detach=True, ports={"8000/tcp": ("127.0.0.1", port)})
    other.start()
    os.kill(dockerd(other), signal.SIGKILL)
    other.start()  # a second start is when dockerd would delete another engine's docker0
    assert (engine.root / "network").read_text() != (other.root / "network").read_text()
    assert connects(port)
    assert client(other, image).containers.list(all=True) == []
    other.stop()
    assert answers(engine.host)
    assert connects(port)
    assert interfaces_and_rules_of_others(engine, other) == before


def test_stopping_leaves_no_process_bridge_rule_or_mount_behind(engine: Engine, image: bytes) -> None:
    engine.start()
    docked = client(engine, image)
    docked.networks.create("net")
    docked.containers.run("server", network="net", detach=True, restart_policy={"Name": "always"})
    running = traces(engine)
    assert len(running.processes) >= 3
    assert len(running.interfaces) == 2
    assert any("MASQUERADE" in rule for rule in running.rules)
    engine.stop()
    assert traces(engine) == Traces([], [], [], [])
    assert engine.data.is_dir(), "its data stays"


def test_stopping_cleans_up_after_a_killed_engine_too(engine: Engine, image: bytes) -> None:
    engine.start()
    client(engine, image).containers.run("server", detach=True)
    os.kill(dockerd(engine), signal.SIGKILL)
    engine.stop()
    assert traces(engine) == Traces([], [], [], [])


def test_an_engine_works_from_packages_that_are_not_installed(
    engine: Engine, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKYARD_ENGINE_PROGRAMS", "unpacked")
    said: list[str] = []
    engine.start(said.append)
    assert any("unpacked from Debian's packages" in line for line in said)
    program = Path(f"/proc/{dockerd(engine)}/exe").resolve()
    assert program.is_relative_to(CACHE.resolve())
    docked = client(engine, image)
    docked.networks.create("net")
    docked.containers.run("server", network="net", name="web", detach=True, init=True)
    assert docked.containers.run("server", "web:8000", network="net", remove=True) == b"yes\n"
    engine.stop()
    assert traces(engine) == Traces([], [], [], [])


def test_a_full_disk_is_told_before_anything_starts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_engine, "DISK_BYTES", 1 << 60)
    with pytest.raises(SetupError, match=r"GB free, and a Docker engine needs 3 GB\. free some space"):
        engine.start()
    assert not engine.data.exists()


def test_what_dockerd_says_last_is_told_when_it_ends(engine: Engine) -> None:
    engine.root.mkdir(parents=True)
    engine.data.write_text("a file where a folder should be")
    with pytest.raises(SetupError, match=r"dockerd ended: .*points to a file"):
        engine.start()
    engine.data.unlink()
    engine.start()
    assert answers(engine.host)


def test_without_root_one_line_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="needs root"):
        engine.start()


def test_elsewhere_than_on_debian_the_missing_programs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_programs, "NEEDED", ("dockerd-of-nowhere",))
    monkeypatch.setattr(engine_programs, "is_debian", lambda: False)
    with pytest.raises(SetupError, match="needs dockerd-of-nowhere, and this is not Debian"):
        engine_programs.find_programs(tmp_path, lambda _: None)


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
    monkeypatch.setattr("toolchain.engine._reachable", lambda own: "")
    work = WorkDir(tmp_path / "checkout")
    yield work
    Engine(work.engine, cache=CACHE).remove()


def test_a_checkout_gets_a_private_engine_where_none_answers_and_keeps_it(
    alone: WorkDir, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ensure_engine(alone, words.progress)
    assert answers(host)
    assert environment(alone)["DOCKER_HOST"] == host
    monkeypatch.setattr("toolchain.engine._reachable", lambda own: "unix:///another/that/came/later.sock")
    assert ensure_engine(alone, words.progress) == host, "its containers are there"
    # A shell that has taken over `./dockyard env` names this very engine; stopped, it must come up again.
    monkeypatch.setenv("DOCKER_HOST", host)
    stop_engine(alone, words.progress)
    assert not answers(host)
    assert ensure_engine(alone, words.progress) == host
    stop_engine(alone, words.progress)
    assert not answers(host)


def test_the_engine_that_docker_host_names_is_used(
    alone: WorkDir, words: Words, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.start()
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
