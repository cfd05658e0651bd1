"""ExporterSet: exporters of metrics for the host, the containers, the data stores and the probes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import yaml

from components.monitoring.blackbox import BLACKBOX, MODULES
from components.stores.connection import Connection
from runtime.base import Files, Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.health import wget
from runtime.secret_files import SECRETS_FOLDER
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck, Mount, Reload
from runtime.textfile import readable
from settings.monitoring import Exporters

NOBODY_UID = "65534:65534"
REDIS_EXPORTER_USER = "59000:59000"
"""The official image's own user."""

TEXTFILES = "--collector.textfile.directory=/metrics/*"
"""The folders of textfile metrics, one for each writer."""

POSTGRES_FLAGS = (
    "--collector.database_wraparound",
    "--collector.postmaster",
    # For Postgres 17 and later; skipped for older versions.
    "--collector.stat_checkpointer",
)
"""Collectors that are off by default and that alerts need."""

COLLECTORS = (
    *("cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "pressure", "stat", "textfile", "time"),
    *("timex", "uname", "vmstat"),
)
"""Collectors of node_exporter that rules and dashboards read. Those of the network (netdev, netstat, conntrack …) are
left out: the exporter has its own network namespace, and would report that one."""

NODE_FLAGS = (
    *("--path.rootfs=/host", "--path.procfs=/host/proc", "--path.sysfs=/host/sys"),
    TEXTFILES,
    "--collector.disable-defaults",
    *(f"--collector.{name}" for name in COLLECTORS),
    # Exclude file systems without data of their own. An overlay may be the host's root; containers' are left out.
    "--collector.filesystem.fs-types-exclude=^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs"
    "|fuse.lxcfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|proc|procfs|pstore|ramfs|rpc_pipefs|securityfs|selinuxfs|squashfs"
    "|sysfs|tmpfs|tracefs)$",
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|run|sys|var/lib/(docker|containerd|containers)/.+)($|/)"
    "|/overlay2/",
)

CADVISOR_FLAGS = (
    "--port=8080",
    "--housekeeping_interval=15s",
    "--store_container_labels=false",
    # `network` is the host's: without Docker cAdvisor cannot assign traffic to containers. All other groups would add
    # some 600 series, and file system sizes, which node_exporter exports already.
    "--enable_metrics=cpu,memory,network",
    "--docker_only=true",
    # Without Docker it cannot find out which control groups are containers (cgroup v1 with cgroupfs, v2 with systemd).
    "--raw_cgroup_prefix_whitelist=/docker/,/system.slice/docker-",
)


@dataclass(frozen=True)
class ExporterSetArgs:
    """Arguments of ExporterSet."""

    exporters: Exporters
    context: StackContext
    connections: Mapping[str, Connection]
    """Kind → data store; each gets an exporter."""

    inventory: Mount
    """Mount of the folder with the inventory's textfile metrics."""

    probes: Sequence[ScrapeTarget] = ()
    """Targets of the blackbox exporter, which runs only if there are any."""


class ExporterSet(pulumi.ComponentResource):
    """Runs an exporter for the host, for the containers, for each data store, and for probes.

    None is published or mounts the Docker socket: cAdvisor reads control groups.
    """

    targets: list[ScrapeTarget]
    containers: dict[str, Instance]

    def __init__(self, name: str, args: ExporterSetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:exporter_set:ExporterSet", name, None, opts)
        self._name, self._args = name, args
        self.targets = []
        self.containers = {}
        self._run(self._node(), 9100)
        self._run(self._cadvisor(), 8080)
        if store := args.connections.get("postgres"):
            self._postgres(store)
        if store := args.connections.get("redis"):
            self._redis(store)
        if args.probes:
            self._run(*self._blackbox())
            self.targets.extend(args.probes)
        self.register_outputs({"targets": [target.address for target in self.targets]})

    def _run(
        self, spec: ContainerSpec, port: int, after: pulumi.Output[Sequence[pulumi.Resource]] | None = None
    ) -> None:
        options = pulumi.ResourceOptions(parent=self, depends_on=after)
        self.containers[spec.role] = self._args.context.service(f"{self._name}-{spec.role}", spec, options)
        job = spec.role.removesuffix("-exporter")
        # The node exporter also exposes textfile metrics, which are about other services.
        self.targets.append(ScrapeTarget(job, f"{spec.role}:{port}", honor_labels=job == "node"))

    def _on_network(self, role: str) -> tuple[Attachment, ...]:
        return (Attachment(self._args.context.monitoring_network, (role,)),)

    def _node(self) -> ContainerSpec:
        return ContainerSpec(
            role="node-exporter",
            image=self._args.context.image("node-exporter"),
            user=NOBODY_UID,
            command=NODE_FLAGS,
            limits=self._args.exporters.node,
            networks=self._on_network("node-exporter"),
            mounts=(Mount("/", "/host", host=True), self._args.inventory, *self._metrics_mounts()),
            health=wget(9100, "/"),
        )

    def _metrics_mounts(self) -> tuple[Mount, ...]:
        folder = self._args.context.metrics
        return (readable(folder),) if folder else ()

    def _cadvisor(self) -> ContainerSpec:
        return ContainerSpec(
            role="cadvisor",
            image=self._args.context.image("cadvisor"),
            command=CADVISOR_FLAGS,
            user="0:0",
            limits=self._args.exporters.cadvisor,
            networks=self._on_network("cadvisor"),
            mounts=(
                Mount("/", "/rootfs", host=True),
                Mount("/sys", "/sys", host=True),
            ),
            health=wget(8080, "/healthz"),
        )

    def _postgres(self, store: Connection) -> None:
        if "exporter-uri" in store.files:
            files = {part: store.files[f"exporter-{part}"] for part in ("uri", "user", "password")}
            env = {
                "DATA_SOURCE_URI_FILE": f"{SECRETS_FOLDER}/uri",
                "DATA_SOURCE_USER_FILE": f"{SECRETS_FOLDER}/user",
            }
        else:
            files = {"password": store.files["database-password"]}
            env = {
                "DATA_SOURCE_URI": f"postgres:5432/{store.env['DATABASE_NAME']}?sslmode=disable",
                "DATA_SOURCE_USER": store.env["DATABASE_USER"],
            }
        secrets = self._secrets("postgres-exporter", files, NOBODY_UID)
        spec = ContainerSpec(
            role="postgres-exporter",
            image=self._args.context.image("postgres-exporter"),
            user=NOBODY_UID,
            command=POSTGRES_FLAGS,
            env={**env, "DATA_SOURCE_PASS_FILE": f"{SECRETS_FOLDER}/password"},
            limits=self._args.exporters.postgres,
            networks=self._on_network("postgres-exporter"),
            mounts=(secrets.mounted_at(SECRETS_FOLDER),),
            health=wget(9187, "/"),
            content=secrets.fingerprint,
            reaches_host=store.reaches_host,
        )
        self._run(spec, 9187, _after(secrets, store))

    def _redis(self, store: Connection) -> None:
        address = f"redis://{store.env['REDIS_HOST']}:{store.env['REDIS_PORT']}"
        spec = ContainerSpec(
            role="redis-exporter",
            image=self._args.context.image("redis-exporter"),
            user=REDIS_EXPORTER_USER,
            env={"REDIS_ADDR": address},
            limits=self._args.exporters.redis,
            networks=self._on_network("redis-exporter"),
            health=wget(9121, "/health"),
            reaches_host=store.reaches_host,
        )
        if "redis-password" not in store.files:
            self._run(spec, 9121)
            return
        passwords = store.files["redis-password"].apply(lambda password: json.dumps({address: password}))
        secrets = self._secrets("redis-exporter", {"passwords.json": passwords}, REDIS_EXPORTER_USER)
        with_password = replace(
            spec,
            env={**spec.env, "REDIS_PASSWORD_FILE": f"{SECRETS_FOLDER}/passwords.json"},
            mounts=(secrets.mounted_at(SECRETS_FOLDER),),
            content=secrets.fingerprint,
        )
        self._run(with_password, 9121, _after(secrets, store))

    def _blackbox(self) -> tuple[ContainerSpec, int, pulumi.Output[Sequence[pulumi.Resource]]]:
        """Return the prober: its spec, its port, and its dependency. It is on both networks, to reach the product."""
        context, image = self._args.context, self._args.context.image("blackbox-exporter")
        host, port = BLACKBOX.split(":")
        config_files = context.files(
            f"{self._name}-blackbox-config",
            FileSet(
                files={"config.yml": yaml.safe_dump({"modules": MODULES}, sort_keys=False)},
                owner=NOBODY_UID,
                image=image,
                check="blackbox_exporter --config.file=config.yml --config.check",
                reload=Reload(context.monitoring_network, [BLACKBOX]),
            ),
            self,
        )
        spec = ContainerSpec(
            role=host,
            image=image,
            user=NOBODY_UID,
            command=(
                "--config.file=/etc/blackbox_exporter/config.yml",
                # Else each redirect that is not followed logs a warning, and some probes expect redirects.
                "--log.prober=error",
                # It probes any address that a client asks for. Its name resolves to its address on the monitoring
                # network, and it listens only there: no service can use it to reach what it cannot reach itself.
                f"--web.listen-address={BLACKBOX}",
            ),
            limits=self._args.exporters.blackbox,
            networks=(*self._on_network(host), Attachment(context.app_network)),
            mounts=(config_files.mounted_at("/etc/blackbox_exporter"),),
            health=HealthCheck(("wget", "-q", "-T", "4", "-O", "/dev/null", f"http://{BLACKBOX}/-/healthy")),
            # With two containers of this name, it might resolve to the other one's address.
            exclusive=True,
        )
        return spec, int(port), config_files.ready

    def _secrets(self, role: str, files: Mapping[str, pulumi.Output[str]], owner: str) -> Files:
        return self._args.context.files(
            f"{self._name}-{role}-secrets",
            FileSet(
                files=files,
                owner=owner,
                image=self._args.context.image("busybox"),
            ),
            self,
        )


def _after(secrets: Files, store: Connection) -> pulumi.Output[Sequence[pulumi.Resource]]:
    return secrets.ready.apply(lambda ready: [*ready, *([store.ready] if store.ready else [])])
