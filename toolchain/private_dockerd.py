"""A private dockerd: runs from a folder, recovers after a kill, and is removed without leaving anything behind.

It shares nothing with other Docker engines on the machine: it has its own data, run-time files, containerd, bridge,
address range and firewall chains. It needs root.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import DockerException

from machine import processes
from machine.lock import locked
from machine.progress import Say, SetupError
from machine.workdir import WorkDir
from toolchain.dockerd_network import DockerdNetwork, choose_pool, routed_networks
from toolchain.dockerd_programs import Programs, find_programs

RUN = Path("/run/dockyard")
"""Folder of sockets and run-time files: empty after a reboot; short, as a socket's path has at most 107 characters."""
DOCKER0 = Path("/sys/class/net/docker0")
DISK_BYTES = 3 << 30
"""Free disk space, in bytes, that a start requires: the dev stack's images and volumes take about 2 GB."""
START_SECONDS = 60.0
HALF_STARTED_SECONDS = 20.0
"""Time to wait for a dockerd that runs but does not answer, before it is replaced."""
STOP_SECONDS = 30.0
"""dockerd gives containers 10 s to stop, unless they configure more."""


def answers(host: str, seconds: int = 5) -> bool:
    """Tell whether a Docker engine answers at `host` within `seconds`."""
    try:
        with contextlib.closing(docker.DockerClient(base_url=host, timeout=seconds, version="auto")) as client:
            return bool(client.ping())
    except (DockerException, OSError, ValueError):
        return False


class PrivateDockerd:
    """The private dockerd whose data is in `root`; the same folder and name always mean the same dockerd.

    `cache` is the folder into which its programs are unpacked when the system lacks them.
    """

    def __init__(self, root: Path, name: str = "dockyard", cache: Path | None = None) -> None:
        self.root = root.resolve()
        self.cache = cache or WorkDir().cache
        self.id = hashlib.sha256(f"{name}\n{self.root}".encode()).hexdigest()[:8]
        self.run = RUN / self.id
        self.socket = self.run / "docker.sock"
        self.data = self.root / "data"
        self.log = self.root / "dockerd.log"

    @property
    def host(self) -> str:
        """Its address, for DOCKER_HOST."""
        return f"unix://{self.socket}"

    @property
    def bridge(self) -> str:
        """The name of its bridge and of its firewall chains."""
        return f"dy-{self.id}"

    def is_running(self) -> bool:
        """Tell whether it answers."""
        return self.socket.exists() and answers(self.host)

    def start(self, say: Say = lambda _: None, programs: Programs | None = None) -> None:
        """Start it unless it runs, after cleaning up what a killed or half-started dockerd left.

        Raises SetupError when not root, when the disk is full, when programs are missing, or with dockerd's last error.
        """
        if os.geteuid() != 0:
            raise SetupError("a private Docker engine needs root", "run as root, or start Docker and set DOCKER_HOST")
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / "engine.lock", say):
            programs = programs or find_programs(self.cache, say)
            if self._dockerd() and self._wait_for_answer(HALF_STARTED_SECONDS):
                self._network(programs).ensure()
                return
            self._clean_up(STOP_SECONDS)
            if (free := shutil.disk_usage(self.root).free) < DISK_BYTES:
                raise SetupError(
                    f"the disk of {self.root} has {free / (1 << 30):.1f} GB free, and a Docker engine needs 3 GB",
                    "free some space, or clone to another disk",
                )
            say(f"starting a private one ({programs.origin})")
            self._start(programs)

    def stop(self) -> None:
        """Stop it with all its containers, and remove its bridges and firewall rules. Its data stays."""
        if not self.root.exists() and not self.run.exists():
            return
        with locked(self.root / "engine.lock", lambda _: None):
            self._clean_up(STOP_SECONDS)
            if (self.root / "network").exists():
                self._network(find_programs(self.cache, lambda _: None)).remove()
            shutil.rmtree(self.run, ignore_errors=True)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def _network(self, programs: Programs) -> DockerdNetwork:
        env = programs.environment()
        pool = choose_pool(self.bridge, self.root / "network", routed_networks(env))
        return DockerdNetwork(self.bridge, pool, env)

    def _dockerd(self) -> list[int]:
        return processes.find("dockerd", f"--data-root {self.data} ")

    def _start(self, programs: Programs) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        self.run.chmod(0o711)
        network = self._network(programs)
        network.ensure()
        containerd = self.run / "containerd.sock"
        (self.run / "containerd.toml").write_text(self._containerd_settings(containerd))
        # A dockerd with its own address pool, without live restore, and with a default bridge from an earlier start
        # first deletes the interface docker0, even another engine's (moby, daemon_unix.go, configureNetworking). In
        # that case, enable live restore for the start and disable it right after: left on, it would keep containers
        # alive after a stop and refuse Swarm. An engine that is in a Swarm cannot start with live restore: start it
        # without the pool, which only new networks would have used. Otherwise live restore stays off, because after a
        # reload of its settings dockerd 28 no longer knows the address of `host-gateway`.
        endangers_docker0 = (self.data / "network/files/local-kv.db").exists() and DOCKER0.exists()
        in_swarm = (self.data / "swarm/docker-state.json").exists()
        live_restore = endangers_docker0 and not in_swarm
        pool = [] if endangers_docker0 and in_swarm else ["--default-address-pool", f"base={network.pool},size=24"]
        # Without a separate file, dockerd would read /etc/docker/daemon.json, which is for the system's engine.
        settings = self.run / "daemon.json"
        settings.write_text(json.dumps({"live-restore": live_restore}))
        env = programs.environment()
        self.log.unlink(missing_ok=True)
        # Always start a private containerd: by default, dockerd would share the system's if one runs.
        first = processes.spawn(["containerd", "--config", str(self.run / "containerd.toml")], self.log, env)
        self._wait(containerd.exists, first, "containerd")
        command = [
            "dockerd",
            *("--data-root", str(self.data)),
            *("--exec-root", str(self.run / "exec")),
            *("--host", self.host),
            *("--pidfile", str(self.run / "dockerd.pid")),
            *("--config-file", str(self.run / "daemon.json")),
            *("--containerd", str(containerd)),
            *("--bridge", self.bridge),
            *pool,
            "--iptables=false",  # see toolchain.dockerd_network
            "--ip6tables=false",
            "--ip-masq=false",
            "--userland-proxy=true",
        ]
        for option, name in (("--userland-proxy-path", "docker-proxy"), ("--init-path", "docker-init")):
            if program := programs.which(name):
                command += [option, program]
        second = processes.spawn(command, self.log, env)
        self._wait(self.is_running, second, "dockerd")
        if live_restore:
            settings.write_text(json.dumps({"live-restore": False}))
            second.send_signal(signal.SIGHUP)

    def _containerd_settings(self, socket: Path) -> str:
        # `opt` is disabled because it would create /opt/containerd, `nri` because it would create /run/nri; the others
        # are for Kubernetes. containerd 1 and 2 both read version 2, and ignore names of plugins they do not have.
        names = ("cri.v1.images", "cri.v1.runtime", "grpc.v1.cri", "internal.v1.opt", "nri.v1.nri")
        disabled = [f"io.containerd.{name}" for name in (*names, "podsandbox.controller.v1.podsandbox")]
        return (
            "version = 2\n"
            f"root = {json.dumps(str(self.root / 'containerd'))}\n"
            f"state = {json.dumps(str(self.run / 'containerd'))}\n"
            f"disabled_plugins = {json.dumps(disabled)}\n"
            f"[grpc]\n  address = {json.dumps(str(socket))}\n"
        )

    def _wait(self, ready: Callable[[], bool], process: subprocess.Popen[bytes], name: str) -> None:
        processes.wait_until(lambda: ready() or process.poll() is not None, START_SECONDS)
        if not ready():
            problem = "ended" if process.poll() is not None else f"does not answer after {START_SECONDS:.0f} s"
            words = self._last_error()
            self._clean_up(5.0)
            raise SetupError(f"{name} {problem}: {words}", f"the full log is in {self.log}")

    def _last_error(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line and line[0] != "$"]
        telling = [line for line in lines if re.search(r"failed to start|level=(fatal|error)|^containerd: ", line)]
        last = (telling or lines or ["it printed nothing"])[-1]
        message = re.search(r'msg="((?:[^"\\]|\\.)*)"', last)
        return message[1] if message else last

    def _wait_for_answer(self, seconds: float) -> bool:
        processes.wait_until(lambda: self.is_running() or not self._dockerd(), seconds)
        return self.is_running()

    def _clean_up(self, patience: float) -> None:
        """Stop every process of this dockerd, and undo the mounts that a killed one left."""
        processes.stop(self._dockerd(), patience)
        # Then stop what a killed dockerd left: containers first, then the shims that watch them, then containerd.
        shims = processes.find("containerd-shim", str(self.run))
        processes.stop([pid for shim in shims for pid in processes.descendants(shim)], 2.0)
        processes.stop(processes.find("containerd-shim", str(self.run)), 2.0)
        processes.stop(processes.find("containerd", "--config", f"{self.run}/"), 5.0)
        processes.stop(processes.find("docker-proxy", "-container-ip", self._proxy_argument()), 2.0)
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        for mount in reversed([line.split()[4].replace("\\040", " ") for line in lines]):
            if mount.startswith((f"{self.run}/", f"{self.root}/")):
                subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        shutil.rmtree(self.run, ignore_errors=True)

    def _proxy_argument(self) -> str:
        """Return the part of a command line that identifies this dockerd's port proxies: its address prefix."""
        file = self.root / "network"
        return f"-container-ip {file.read_text().split('.0.0/')[0]}." if file.exists() else "-container-ip nowhere"
