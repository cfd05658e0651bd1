"""The programs of a private dockerd: those on PATH, else unpacked from Debian's packages without installing them.

Docker and containerd are the newest that Debian has (from sid), because an engine that is out of support deadlocks
under health checks; programs close to the kernel and the C library (runc, iptables, iproute2) come from the machine's
own release. The packages are downloaded with apt, unpacked into the cache, and used from there through PATH and
LD_LIBRARY_PATH. No service starts, and removing the folder removes everything.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from machine.files import write_link
from machine.lock import locked
from machine.processes import last_line, run
from machine.progress import Say, SetupError
from machine.workdir import WorkDir
from offline.debian import Package, Suite

NEEDED = ("dockerd", "containerd", "runc", "docker-proxy", "iptables", "ip")

NEWEST = "sid"
NEWEST_WANTED = ("docker.io", "docker-cli", "docker-buildx", "containerd")
NEWEST_UNPACKED = (*NEWEST_WANTED, "tini", "tini-static")
"""Packages unpacked from the newest suite. All other dependencies are the machine's own."""
NEWEST_EXCLUDED = ("debconf", "systemd", "libc6", "libsystemd0", "iptables", "sysvinit-utils", "runc")

RELEASE_WANTED = ("runc", "iptables", "iproute2")
"""Packages unpacked from the machine's own release, with the dependencies that the machine lacks."""
FALLBACK_WANTED = (*RELEASE_WANTED, "docker.io", "containerd", "tini")
"""The same, when the newest engine cannot be downloaded or does not run on this machine."""

CHOICE = "DOCKYARD_ENGINE_PROGRAMS"
"""`unpacked` ignores the programs on PATH; `newest` does too, and also looks for a newer engine than the cached one."""

SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Folders of administrators' programs, which are not on every user's PATH."""


@dataclass(frozen=True)
class Programs:
    """Location of dockerd and the programs that it needs."""

    origin: str
    folders: tuple[Path, ...] = ()
    libraries: tuple[Path, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the process environment in which these programs come first on PATH, before the system's."""
        inherited = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
        path = [*map(str, self.folders), *inherited, *(part for part in SYSTEM_PATH if part not in inherited)]
        inherited_libraries = [part for part in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part]
        libraries = [*map(str, self.libraries), *inherited_libraries]
        variables = {**os.environ, **self.extra, "PATH": os.pathsep.join(path)}
        return {**variables, "LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else variables

    def which(self, name: str) -> str | None:
        """Return the path of a program, or None."""
        return shutil.which(name, path=self.environment()["PATH"])


def is_debian() -> bool:
    """Tell whether this is Debian or a derivative, with apt."""
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def find_programs(cache: Path, say: Say) -> Programs:
    """Return the programs on PATH when none is missing, else those unpacked from Debian's packages.

    An unpacked version stays in use until `DOCKYARD_ENGINE_PROGRAMS=newest` requests a newer one; each version has
    its own folder, so running engines and other checkouts keep theirs.
    Raises SetupError when the packages cannot be downloaded or this is not Debian.
    """
    choice = os.environ.get(CHOICE)
    system = Programs("from PATH")
    missing = [name for name in NEEDED if system.which(name) is None]
    if not missing and choice not in ("unpacked", "newest"):
        return system
    if not is_debian():
        raise SetupError(
            f"a private Docker engine needs {', '.join(missing)}, and this is not Debian",
            "install and start Docker (https://docs.docker.com/engine/install/)",
        )
    current = cache / f"engine-current-{_platform()}"
    with locked(cache / "engine.lock", say):
        if choice == "newest" or not current.is_dir():
            _choose(current, say)
    return _unpacked_programs(current.resolve())


def _unpacked_programs(home: Path) -> Programs:
    """Return the programs in an unpacked folder."""
    libraries = sorted({*home.glob("usr/lib/*-linux-gnu*"), *home.glob("lib/*-linux-gnu*")})
    extensions = [folder / "xtables" for folder in libraries if (folder / "xtables").is_dir()]
    version = re.search(r"docker\.io_([0-9.]+[0-9])", home.name)
    return Programs(
        f"{f'{version[1]}, ' if version else ''}unpacked from Debian's packages",
        (home / "dockyard-bin", home / "usr/sbin", home / "usr/bin", home / "sbin", home / "bin"),
        tuple(libraries),
        {"XTABLES_LIBDIR": str(extensions[0])} if extensions else {},
    )


def _platform() -> str:
    """Return for example `debian-12-bookworm-x86_64`, because packages of one release do not run on another."""
    release = platform.freedesktop_os_release()
    parts = [release.get(key, "") for key in ("ID", "VERSION_ID", "VERSION_CODENAME")]
    return "-".join(filter(None, [*parts, platform.machine()]))


def _apt(arguments: list[str], folder: Path) -> str:
    """Run apt-get in `folder`. Raises SetupError with its first error line."""
    # Non-interactive, without the system's locks (another apt may be running), and with a private cache.
    options = ["-o", f"Dir::Cache={folder}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    return run(
        ["apt-get", "-q", "-y", *options, *arguments],
        "apt-get cannot download a Docker engine",
        "check /etc/apt and the network, or install and start Docker",
        cwd=folder,
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )


def _choose(current: Path, say: Say) -> None:
    """Unpack the newest engine that runs on this machine, and point the symbolic link `current` to its folder."""
    cache = current.parent
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as temporary:
        folder = Path(temporary)
        try:
            name, tree = _unpack_newest(folder / "newest", say)
        except SetupError as error:
            say(f"{error}: using the Docker engine of this machine's own release instead")
            name, tree = _unpack_release(folder / "release", FALLBACK_WANTED, say)
        home = cache / f"engine-{name}-{_platform()}"
        if not home.is_dir():
            tree.rename(home)
        write_link(current, Path(home.name))


def _unpack_newest(folder: Path, say: Say) -> tuple[str, Path]:
    """Unpack Debian's newest engine together with the release's runc and iptables; return its name and folder.

    Raises SetupError when it cannot be fetched, or its programs do not run with this machine's C library.
    """
    say(f"downloading Docker from Debian {NEWEST}")
    # WorkDir() gives the machine-wide cache, where the package index and the packages are kept.
    fetched = Suite(WorkDir(), NEWEST).fetch(NEWEST_WANTED, without=NEWEST_EXCLUDED)
    packages = [package for package in fetched if package.name in NEWEST_UNPACKED]
    _, tree = _unpack_release(folder, RELEASE_WANTED, say)
    for package in packages:
        package.unpack(tree)
    _probe(tree)
    return _name(packages), tree


def _unpack_release(folder: Path, package_names: tuple[str, ...], say: Say) -> tuple[str, Path]:
    """Unpack packages of the machine's own release; return a name made of their versions, and their folder."""
    debs, tree = folder / "debs", folder / "tree"
    debs.mkdir(parents=True)
    tree.mkdir()
    say(f"downloading {', '.join(package_names)} from Debian's packages")
    try:
        _download([], debs, package_names)
    except SetupError:
        # There are no package lists, or the packages they name are gone. Fetch private lists; keep the system's.
        say("fetching apt's package lists")
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        own_lists = ["-o", f"Dir::State::lists={lists}"]
        _apt([*own_lists, "update"], debs)
        _download(own_lists, debs, package_names)
    fields = {deb: deb.stem.replace("%3a", ":").split("_") for deb in sorted(debs.glob("*.deb"))}
    packages = [Package(name, version, deb) for deb, (name, version, _) in fields.items()]
    for package in packages:
        package.unpack(tree)
    _link_iptables(tree)
    return _name(packages), tree


def _name(packages: list[Package]) -> str:
    """Return a folder name made of the versions of Docker and containerd among these packages."""
    versions = {package.name: package.version.split(":")[-1] for package in packages}
    return "-".join(f"{name}_{versions[name]}" for name in ("docker.io", "containerd") if name in versions)


def _probe(tree: Path) -> None:
    """Start each program once. Raises SetupError with the loader's error when one does not run on this machine."""
    programs = _unpacked_programs(tree)
    for name in ("dockerd", "containerd", "runc"):
        command = [programs.which(name) or name, "--version"]
        finished = subprocess.run(command, env=programs.environment(), capture_output=True, text=True, check=False)
        if finished.returncode:
            reason = last_line(finished.stderr) or "it printed nothing"
            raise SetupError(f"Debian {NEWEST}'s {name} does not run on this machine ({reason})")


def _download(options: list[str], folder: Path, package_names: tuple[str, ...]) -> None:
    """Download these packages, even those that the system has, and the dependencies that it lacks."""
    planned = _apt([*options, "install", "--simulate", "--no-install-recommends", *package_names], folder)
    # `Inst NAME (VERSION …)` is new; `Inst NAME [OLD] (VERSION …)` would update what the system has: left out.
    new = set(re.findall(r"^Inst (\S+) \(", planned, re.MULTILINE))
    _apt([*options, "download", *sorted(new | set(package_names))], folder)


def _link_iptables(unpacked: Path) -> None:
    """Link `iptables` to the variant that this kernel supports; normally Debian's post-install script does this."""
    links = unpacked / "dockyard-bin"
    links.mkdir()
    # Without its extensions iptables cannot even list rules left by another engine, and would seem unsupported.
    env = _unpacked_programs(unpacked).environment()
    for variant in ("xtables-nft-multi", "xtables-legacy-multi"):
        for program in unpacked.glob(f"**/sbin/{variant}"):
            command = [str(program), "iptables", "-t", "nat", "-S"]
            if subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0:
                for name in ("iptables", "ip6tables"):
                    (links / name).symlink_to(Path("..") / program.relative_to(unpacked))
                return
