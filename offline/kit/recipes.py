"""The recipe of each image of the kit: Debian's packages, arranged and run by the official images' conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from offline.kit.layers import PATH, Owner, Runtime

NOBODY = 65534

STABLE = "trixie"
NEWEST = "sid"
"""The suite with the releases of the Prometheus family that the official tags name."""


@dataclass(frozen=True)
class Recipe:
    """One image: packages of a suite on top of that suite's base layer."""

    runtime: Runtime
    suite: str = STABLE
    """Debian suite. Empty for an image of one static program, without base layer: neither shell nor C library."""

    packages: Sequence[str] = ()
    without: Sequence[str] = ()
    """Dependencies that the image does not need because only maintainer scripts use them."""

    carries: str = ""
    """The package whose upstream version the image's label states; by default the first of `packages`."""

    moves: Mapping[str, str] = field(default_factory=dict)
    """Debian's path → the official image's path."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the image → file of offline/kit/files."""

    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic link in the image → its target."""

    users: Mapping[str, int] = field(default_factory=dict)
    """Users of the image besides root and nobody → user id; each has a group with the same id."""

    owners: Mapping[str, Owner] = field(default_factory=dict)
    """Paths with an owner or mode of their own; folders that no package contains are created."""

    drops: Sequence[str] = ()
    """Paths, or patterns of paths, to remove."""

    locales: Sequence[str] = ()
    """Locales to compile, besides C.UTF-8, from the sources in Debian's package `locales`."""

    compiles: Sequence[str] = ()
    """Folders whose Python files are compiled to bytecode."""

    checks: Sequence[Sequence[str]] = ()
    """Commands that must succeed on the finished files, as proof that no library is missing."""

    on: str = ""
    """The kit's image to build this one on, instead of the suite's base layer."""

    program: str = ""
    """Folder of offline/kit with a program. A Go module is built into `program_folder`; a Python program is copied
    with its libraries to /usr/share/<its name>; from a folder that only pins Node.js, npm is copied."""

    program_folder: str = "/usr/bin"
    stamps: Mapping[str, str] = field(default_factory=dict)
    """Go variable → string that the linker sets in the program."""


def _prometheus_server(name: str, port: int, storage_option: str, **fields: Any) -> Recipe:
    """Return the recipe of a server of the Prometheus family: one configuration file and one volume, run as nobody."""
    config = f"/etc/{name}/{name}.yml"
    return Recipe(
        suite=NEWEST,
        files={config: f"{name}.yml"},
        owners={f"/{name}": Owner(NOBODY), f"/etc/{name}": Owner(NOBODY), config: Owner(NOBODY, 0o644)},
        runtime=Runtime(
            entrypoint=[f"/bin/{name}"],
            cmd=[f"--config.file={config}", f"{storage_option}=/{name}"],
            user="nobody",
            workdir=f"/{name}",
            volumes=[f"/{name}"],
            ports=[port],
        ),
        **fields,
    )


def _exporter(name: str, folder: str, runtime: Runtime, **fields: Any) -> Recipe:
    """Return the recipe of an exporter, whose program is in `folder` under the name of the official image."""
    program = f"{folder}/{name.replace('-', '_')}"
    return Recipe(
        suite=NEWEST,
        packages=[f"prometheus-{name}"],
        moves={f"/usr/bin/prometheus-{name}": program, **fields.pop("moves", {})},
        checks=[[program, "--version"]],
        runtime=runtime,
        **fields,
    )


def _victoria(folder: str, program: str, version: str, port: int) -> Recipe:
    """Return the recipe of a program of VictoriaMetrics: nothing else is in the image, and it runs as root."""
    return Recipe(
        suite="",
        program=folder,
        program_folder="/",
        stamps={"github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version": version},
        links={f"/{program}-prod": program},
        owners={"/tmp": Owner(0, 0o1777)},  # noqa: S108 - of the image
        checks=[[f"/{program}", "-version"]],
        runtime=Runtime(entrypoint=[f"/{program}-prod"], ports=[port]),
    )


RECIPES: dict[str, Recipe] = {
    "busybox": Recipe(carries="busybox-static", runtime=Runtime(cmd=["sh"])),
    "prometheus": _prometheus_server(
        "prometheus",
        9090,
        "--storage.tsdb.path",
        packages=["prometheus", "promtool"],
        checks=[["/usr/bin/prometheus", "--version"], ["/usr/bin/promtool", "--version"]],
    ),
    "alertmanager": _prometheus_server(
        "alertmanager",
        9093,
        "--storage.path",
        packages=["prometheus-alertmanager"],
        moves={"/usr/bin/prometheus-alertmanager": "/usr/bin/alertmanager"},
        # Debian's build reads its default templates from /usr/share/prometheus; the official build embeds them.
        drops=["/etc/prometheus"],
        checks=[["/usr/bin/alertmanager", "--version"], ["/usr/bin/amtool", "--version"]],
    ),
    "node-exporter": _exporter(
        "node-exporter", "/usr/bin", Runtime(entrypoint=["/bin/node_exporter"], user="nobody", ports=[9100])
    ),
    "postgres-exporter": _exporter(
        "postgres-exporter", "/usr/bin", Runtime(entrypoint=["/bin/postgres_exporter"], user="nobody", ports=[9187])
    ),
    "redis-exporter": _exporter(
        "redis-exporter", "", Runtime(entrypoint=["/redis_exporter"], user="59000:59000", ports=[9121])
    ),
    "blackbox-exporter": _exporter(
        "blackbox-exporter",
        "/usr/bin",
        Runtime(
            entrypoint=["/bin/blackbox_exporter"],
            cmd=["--config.file=/etc/blackbox_exporter/config.yml"],
            ports=[9115],
        ),
        without=["libcap2-bin"],
        moves={"/etc/prometheus/blackbox.yml": "/etc/blackbox_exporter/config.yml"},
    ),
    "cadvisor": Recipe(
        program="cadvisor",
        checks=[["/usr/bin/cadvisor", "--version"]],
        runtime=Runtime(entrypoint=["/usr/bin/cadvisor", "-logtostderr"], ports=[8080]),
    ),
    # The first build takes 5 minutes of processor time: no other image shares its modules.
    "traefik": Recipe(
        program="traefik",
        program_folder="/usr/local/bin",
        stamps={"github.com/traefik/traefik/v3/pkg/version.Version": "3.3.4"},
        files={"/entrypoint.sh": "traefik-entrypoint.sh"},
        owners={"/entrypoint.sh": Owner(0, 0o755)},
        checks=[["/usr/local/bin/traefik", "version"]],
        runtime=Runtime(entrypoint=["/entrypoint.sh"], cmd=["traefik"], ports=[80]),
    ),
    "victorialogs": _victoria("victorialogs", "victoria-logs", "victoria-logs-v1.52.1", 9428),
    "vmalert": _victoria("vmalert", "vmalert", "vmalert-v1.151.0", 8880),
    # Contains only the official image's components that Dockyard configures, and therefore no default configuration.
    "otel-collector": Recipe(
        program="collector",
        program_folder="/",
        stamps={"main.version": "0.159.0"},
        checks=[["/otelcol-contrib", "--version"]],
        runtime=Runtime(
            entrypoint=["/otelcol-contrib"],
            cmd=["--config", "/etc/otelcol-contrib/config.yaml"],
            user="10001:10001",
            ports=[4317, 4318, 55679],
        ),
    ),
    "postgres": Recipe(
        packages=["postgresql-17", "gosu", "bash", "tzdata", "locales"],
        without=["postgresql-common", "postgresql-client-common", "ssl-cert", "libllvm19"],
        users={"postgres": 999},
        locales=["en_US.utf8"],
        files={"/usr/local/bin/docker-entrypoint.sh": "postgres-entrypoint.sh"},
        owners={
            "/usr/local/bin/docker-entrypoint.sh": Owner(0, 0o755),
            "/docker-entrypoint-initdb.d": Owner(0, 0o755),
            "/var/lib/postgresql": Owner(999, 0o1777),
            "/var/lib/postgresql/data": Owner(999, 0o1777),
            "/run/postgresql": Owner(999, 0o3777),
        },
        # Just-in-time compilation needs LLVM, six times the size of the rest; Postgres works without it.
        drops=["/usr/lib/postgresql/17/lib/bitcode", "/usr/lib/postgresql/17/lib/llvmjit*", "/etc/pam.d"],
        checks=[["/usr/lib/postgresql/17/bin/postgres", "--version"], ["/usr/lib/postgresql/17/bin/psql", "--version"]],
        runtime=Runtime(
            entrypoint=["docker-entrypoint.sh"],
            cmd=["postgres"],
            env={
                "PATH": f"{PATH}:/usr/lib/postgresql/17/bin",
                "LANG": "en_US.utf8",
                "PG_MAJOR": "17",
                "PGDATA": "/var/lib/postgresql/data",
            },
            volumes=["/var/lib/postgresql/data"],
            ports=[5432],
            stop_signal="SIGINT",
        ),
    ),
    "redis": Recipe(
        packages=["redis-server", "gosu"],
        users={"redis": 999},
        files={"/usr/local/bin/docker-entrypoint.sh": "redis-entrypoint.sh"},
        owners={"/usr/local/bin/docker-entrypoint.sh": Owner(0, 0o755), "/data": Owner(999)},
        drops=["/etc/redis"],
        checks=[["/usr/bin/redis-server", "--version"], ["/usr/bin/redis-cli", "--version"]],
        runtime=Runtime(
            entrypoint=["docker-entrypoint.sh"],
            cmd=["redis-server"],
            workdir="/data",
            volumes=["/data"],
            ports=[6379],
        ),
    ),
    "python": Recipe(
        # With venv, for images that use this one as base: the official image has pip.
        packages=["python3.13", "python3.13-venv", "tzdata", "netbase"],
        without=["media-types"],
        links={f"/usr/local/bin/{name}": "/usr/bin/python3.13" for name in ("python", "python3", "python3.13")},
        compiles=["/usr/lib/python3.13"],
        checks=[["/usr/bin/python3.13", "-c", "import ssl, sqlite3, ctypes, lzma, bz2, readline, uuid, ensurepip"]],
        runtime=Runtime(cmd=["python3"], env={"LANG": "C.UTF-8"}),
    ),
    "node": Recipe(
        packages=["nodejs", "dumb-init"],
        # corepack downloads package managers; templates/ install the one they need with npm.
        without=["node-corepack"],
        # npm derives its global folder from the location of the node program.
        moves={"/usr/bin/node": "/usr/local/bin/node"},
        program="npm",
        files={"/usr/local/bin/docker-entrypoint.sh": "node-entrypoint.sh"},
        links={
            "/usr/local/bin/nodejs": "node",
            "/usr/local/bin/npm": "../lib/node_modules/npm/bin/npm-cli.js",
            "/usr/local/bin/npx": "../lib/node_modules/npm/bin/npx-cli.js",
        },
        users={"node": 1000},
        owners={"/usr/local/bin/docker-entrypoint.sh": Owner(0, 0o755), "/home/node": Owner(1000)},
        drops=["/usr/bin/nodejs"],
        # Node.js loads parts of itself from /usr/share/nodejs: outside the image only --version works.
        checks=[["/usr/local/bin/node", "--version"]],
        runtime=Runtime(entrypoint=["docker-entrypoint.sh"], cmd=["node"]),
    ),
    "nginx": Recipe(
        packages=["nginx"],
        without=["iproute2"],
        files={
            "/docker-entrypoint.sh": "nginx-entrypoint.sh",
            "/etc/nginx/nginx.conf": "nginx.conf",
            "/etc/nginx/conf.d/default.conf": "nginx-default.conf",
        },
        links={"/var/log/nginx/access.log": "/dev/stdout", "/var/log/nginx/error.log": "/dev/stderr"},
        users={"nginx": 101},
        owners={
            "/docker-entrypoint.sh": Owner(0, 0o755),
            "/docker-entrypoint.d": Owner(),
            "/var/cache/nginx": Owner(101),
        },
        drops=["/etc/nginx/sites-*", "/etc/nginx/modules-*", "/etc/nginx/snippets", "/etc/ufw", "/var/lib/nginx"],
        checks=[["/usr/sbin/nginx", "-V"]],
        runtime=Runtime(
            entrypoint=["/docker-entrypoint.sh"],
            cmd=["nginx", "-g", "daemon off;"],
            ports=[80],
            stop_signal="SIGQUIT",
        ),
    ),
    # The first build takes 2 minutes of processor time.
    "restic": Recipe(
        program="restic",
        checks=[["/usr/bin/restic", "version"]],
        runtime=Runtime(entrypoint=["/usr/bin/restic"]),
    ),
    # cloudflared's double, see offline/kit/cloudflared. The official image has no shell either.
    "cloudflared": Recipe(
        suite="",
        program="cloudflared",
        program_folder="/usr/local/bin",
        stamps={"main.version": "2025.8.1"},
        users={"nonroot": 65532},
        owners={"/home/nonroot": Owner(65532, 0o700), "/tmp": Owner(0, 0o1777)},  # noqa: S108 - of the image
        checks=[["/usr/local/bin/cloudflared", "--version"]],
        runtime=Runtime(
            entrypoint=["cloudflared", "--no-autoupdate"],
            cmd=["version"],
            user="65532:65532",
            workdir="/home/nonroot",
        ),
    ),
    # Grafana's double, see offline/kit/grafana.
    "grafana": Recipe(
        on="python",
        program="grafana",
        users={"grafana": 472},
        owners={
            "/var/lib/grafana": Owner(472),
            "/etc/grafana": Owner(472),
            "/etc/grafana/provisioning": Owner(472),
            "/etc/grafana/provisioning/datasources": Owner(472),
            "/etc/grafana/provisioning/dashboards": Owner(472),
        },
        compiles=["/usr/share/grafana-double"],
        runtime=Runtime(
            entrypoint=["python", "-m", "grafana_double"],
            user="472",
            env={
                "LANG": "C.UTF-8",
                "PYTHONPATH": "/usr/share/grafana-double:/usr/share/grafana-double/site-packages",
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            workdir="/usr/share/grafana-double",
            ports=[3000],
        ),
    ),
}
