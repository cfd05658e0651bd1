"""The programs of a private Docker engine: those on PATH, else unpacked from Debian's packages beside the system.

Nothing is installed: the packages are downloaded through apt as it is configured, unpacked into the cache, and found
there through PATH and LD_LIBRARY_PATH. No service starts, and removing the folder removes everything.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.lock import locked
from toolchain.progress import SetupError

Say = Callable[[str], None]

NEEDED = ("dockerd", "containerd", "runc", "docker-proxy", "iptables", "ip")
WANTED = ("docker.io", "iptables", "iproute2")
OWN = ("docker.io", "containerd", "runc", "tini", "iptables", "iproute2")
"""Unpacked even where the system has them installed; of what else they need, only what the system lacks."""

CHOICE = "DOCKYARD_ENGINE_PROGRAMS"
"""`unpacked` leaves the programs on PATH aside."""

SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where administrators' programs lie; not on every person's PATH."""


@dataclass(frozen=True)
class Programs:
    """Where the engine's programs are."""

    origin: str
    folders: tuple[Path, ...] = ()
    libraries: tuple[Path, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment that finds these programs first, and what the system has after them."""
        inherited = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
        path = [*map(str, self.folders), *inherited, *(part for part in SYSTEM_PATH if part not in inherited)]
        known = [part for part in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part]
        libraries = [*map(str, self.libraries), *known]
        found = {**os.environ, **self.extra, "PATH": os.pathsep.join(path)}
        return {**found, "LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else found

    def which(self, name: str) -> str | None:
        """Return the path of a program, or None."""
        return shutil.which(name, path=self.environment()["PATH"])


def is_debian() -> bool:
    """Say whether this is Debian or of its family, with apt."""
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def find_programs(cache: Path, say: Say) -> Programs:
    """Return the programs on PATH when none is missing, else those unpacked from Debian's packages.

    Raises SetupError when they cannot be downloaded or this is not Debian.
    """
    system = Programs("from PATH")
    missing = [name for name in NEEDED if system.which(name) is None]
    if not missing and os.environ.get(CHOICE) != "unpacked":
        return system
    if not is_debian():
        raise SetupError(
            f"a private Docker engine needs {', '.join(missing)}, and this is not Debian",
            "install and start Docker (https://docs.docker.com/engine/install/)",
        )
    home = cache / f"engine-{_release()}-{platform.machine()}"
    with locked(cache / "engine.lock", say):
        if not home.is_dir():
            _unpack(home, say)
    libraries = sorted({*home.glob("usr/lib/*-linux-gnu*"), *home.glob("lib/*-linux-gnu*")})
    extensions = [folder / "xtables" for folder in libraries if (folder / "xtables").is_dir()]
    return Programs(
        "unpacked from Debian's packages",
        (home / "dockyard-bin", home / "usr/sbin", home / "usr/bin", home / "sbin", home / "bin"),
        tuple(libraries),
        {"XTABLES_LIBDIR": str(extensions[0])} if extensions else {},
    )


def _release() -> str:
    """Return e.g. `debian-12`: packages of one release do not run on another."""
    said = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if re.match(r"[A-Z_]+=", line)
    )
    name = [said.get(key, "").strip('"') for key in ("ID", "VERSION_ID")]
    return "-".join(part for part in (*name, said.get("VERSION_CODENAME", "").strip('"')) if part)


def _apt(arguments: list[str], folder: Path) -> str:
    """Run apt-get in `folder`. Raises SetupError with its first error line."""
    # Without a person to ask, without the system's locks (another apt may be at work), and with its own cache.
    options = ["-o", f"Dir::Cache={folder}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    finished = subprocess.run(
        ["apt-get", "-q", "-y", *options, *arguments],
        cwd=folder,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        errors = re.findall(r"^E: (.*)$", finished.stderr, re.MULTILINE) or ["it said nothing"]
        raise SetupError(
            f"apt-get cannot get a Docker engine: {errors[0]}",
            "check /etc/apt and the network, or install and start Docker",
        )
    return finished.stdout


def _unpack(home: Path, say: Say) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as folder:
        debs, unpacked = Path(folder) / "debs", Path(folder) / "engine"
        debs.mkdir()
        unpacked.mkdir()
        say("downloading a Docker engine from Debian's packages")
        try:
            _download([], debs)
        except SetupError:
            # No package lists, or lists so old that the packages are gone. Ours are private: the system's stay.
            say("fetching apt's package lists")
            lists = Path(folder) / "lists"
            (lists / "partial").mkdir(parents=True)
            own_lists = ["-o", f"Dir::State::lists={lists}"]
            _apt([*own_lists, "update"], debs)
            _download(own_lists, debs)
        for deb in sorted(debs.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(deb), str(unpacked)], check=True, capture_output=True)
        _link_iptables(unpacked)
        unpacked.rename(home)


def _download(options: list[str], folder: Path) -> None:
    """Download the engine's packages and those they need that the system does not have."""
    said = _apt([*options, "install", "--simulate", "--no-install-recommends", *WANTED], folder)
    # `Inst NAME (VERSION …)` is new; `Inst NAME [OLD] (VERSION …)` would update what the system has: left out.
    new = set(re.findall(r"^Inst (\S+) \(", said, re.MULTILINE))
    _apt([*options, "download", *sorted(new | set(OWN))], folder)


def _link_iptables(unpacked: Path) -> None:
    """Link `iptables` to the variant that this kernel takes; on a Debian system a post-install script would."""
    links = unpacked / "dockyard-bin"
    links.mkdir()
    for variant in ("xtables-nft-multi", "xtables-legacy-multi"):
        for found in unpacked.glob(f"**/sbin/{variant}"):
            libraries = os.pathsep.join(map(str, unpacked.glob("usr/lib/*-linux-gnu*")))
            # Without its extensions it cannot even list rules that another engine has left, and would seem unfit.
            extensions = next(map(str, unpacked.glob("usr/lib/*-linux-gnu*/xtables")), "")
            probe = subprocess.run(
                [str(found), "iptables", "-t", "nat", "-S"],
                env={**os.environ, "LD_LIBRARY_PATH": libraries, "XTABLES_LIBDIR": extensions},
                capture_output=True,
                check=False,
            )
            if probe.returncode == 0:
                for name in ("iptables", "ip6tables"):
                    (links / name).symlink_to(Path("..") / found.relative_to(unpacked))
                return
