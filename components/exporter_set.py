"""ExporterSet: what turns the host, the containers and the data stores into metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_docker as docker
import yaml

from components.config_volume import ConfigVolume, Reload
from components.connection import SECRETS_FOLDER, Connection
from components.container import run_service
from components.context import ScrapeTarget, StackContext
from components.health import wget
from components.metrics_files import readable
from components.probes import BLACKBOX, MODULES
from components.spec import Attachment, ContainerSpec, HealthCheck, Mount
from settings.monitoring import Exporters

NOBODY_UID = "65534:65534"
REDIS_EXPORTER_USER = "59000:59000"
"""The official image's own user."""

TEXTFILES = "--collector.textfile.directory=/metrics/*"
"""Where metrics stand in files: a folder for each of those that write them."""

POSTGRES_FLAGS = (
    "--collector.database_wraparound",
    "--collector.postmaster",
    # Of Postgres 17 and later; an older one is passed over.
    "--collector.stat_checkpointer",
)
"""Collectors that are off by default, and that alerts rest on."""

COLLECTORS = (
    *("cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "pressure", "stat", "textfile", "time"),
    *("timex", "uname", "vmstat"),
)
"""Of node_exporter, those that rules and dashboards read. Not those of the network (netdev, netstat, conntrack …): the
exporter has a network namespace of its own, and would tell of that one."""

NODE_FLAGS = (
    *("--path.rootfs=/host", "--path.procfs=/host/proc", "--path.sysfs=/host/sys"),
    TEXTFILES,
    "--collector.disable-defaults",
    *(f"--collector.{name}" for name in COLLECTORS),
    # What holds no data of its own. An overlay may be the root of the host; those of containers are left out.
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
    # `network` is the host's: without Docker it knows no container's. All else would be some 600 series more, and the
    # sizes of file systems, which node_exporter tells too.
    "--enable_metrics=cpu,memory,network",
    "--docker_only=true",
    # It has no Docker to ask which control groups are containers (cgroup v1 with cgroupfs, v2 with systemd).
    "--raw_cgroup_prefix_whitelist=/docker/,/system.slice/docker-",
)


@dataclass(frozen=True)
class ExporterSetConfig:
    """What ExporterSet is made from."""

    exporters: Exporters
    context: StackContext
    image: Callable[[str], str]
    connections: Mapping[str, Connection]
    """Data stores by kind; each gets its exporter."""

    inventory: Mount
    """Folder of metrics that other parts of the stack write."""

    probes: Sequence[ScrapeTarget] = ()
    """What the blackbox exporter is asked about; without any it does not run."""


class ExporterSet(pulumi.ComponentResource):
    """Runs an exporter for the host, for the containers, for each data store, and for what is probed from outside.

    None is published, none mounts the Docker socket: cAdvisor reads control groups.
    """

    targets: list[ScrapeTarget]
    containers: dict[str, docker.Container]

    def __init__(self, name: str, config: ExporterSetConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:exporter_set:ExporterSet", name, None, opts)
        self._name, self._config = name, config
        self.targets = []
        self.containers = {}
        self._run(self._node(), 9100)
        self._run(self._cadvisor(), 8080)
        if store := config.connections.get("postgres"):
            self._postgres(store)
        if store := config.connections.get("redis"):
            self._redis(store)
        if config.probes:
            self._run(*self._blackbox())
            self.targets.extend(config.probes)
        self.register_outputs({"targets": [target.address for target in self.targets]})

    def _run(
        self, spec: ContainerSpec, port: int, after: pulumi.Output[Sequence[pulumi.Resource]] | None = None
    ) -> None:
        options = pulumi.ResourceOptions(parent=self, depends_on=after)
        self.containers[spec.role] = run_service(f"{self._name}-{spec.role}", spec, self._config.context, options)
        job = spec.role.removesuffix("-exporter")
        # The node exporter shows files of metrics too, which tell of other services.
        self.targets.append(ScrapeTarget(job, f"{spec.role}:{port}", honor_labels=job == "node"))

    def _on_network(self, role: str) -> tuple[Attachment, ...]:
        return (Attachment(self._config.context.monitoring_network, (role,)),)

    def _node(self) -> ContainerSpec:
        return ContainerSpec(
            role="node-exporter",
            image=self._config.image("node-exporter"),
            user=NOBODY_UID,
            command=NODE_FLAGS,
            limits=self._config.exporters.node,
            networks=self._on_network("node-exporter"),
            mounts=(Mount("/", "/host", host=True), self._config.inventory, *self._metrics_mounts()),
            health=wget(9100, "/"),
        )

    def _metrics_mounts(self) -> tuple[Mount, ...]:
        folder = self._config.context.metrics
        return (readable(folder),) if folder else ()

    def _cadvisor(self) -> ContainerSpec:
        return ContainerSpec(
            role="cadvisor",
            image=self._config.image("cadvisor"),
            command=CADVISOR_FLAGS,
            user="0:0",
            limits=self._config.exporters.cadvisor,
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
            image=self._config.image("postgres-exporter"),
            user=NOBODY_UID,
            command=POSTGRES_FLAGS,
            env={**env, "DATA_SOURCE_PASS_FILE": f"{SECRETS_FOLDER}/password"},
            limits=self._config.exporters.postgres,
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
            image=self._config.image("redis-exporter"),
            user=REDIS_EXPORTER_USER,
            env={"REDIS_ADDR": address},
            limits=self._config.exporters.redis,
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
        """Return what asks on behalf of Prometheus. It is on both networks: it asks where the product is."""
        context, image = self._config.context, self._config.image("blackbox-exporter")
        host, port = BLACKBOX.split(":")
        config_files = ConfigVolume(
            f"{self._name}-blackbox-config",
            files={"config.yml": yaml.safe_dump({"modules": MODULES}, sort_keys=False)},
            owner=NOBODY_UID,
            image=image,
            context=context,
            parent=self,
            check="blackbox_exporter --config.file=config.yml --config.check",
            reload=Reload(context.monitoring_network, [BLACKBOX]),
        )
        spec = ContainerSpec(
            role=host,
            image=image,
            user=NOBODY_UID,
            command=(
                "--config.file=/etc/blackbox_exporter/config.yml",
                # Else each redirect that is not followed is a warning, and that is what some questions are about.
                "--log.prober=error",
                # It asks whatever it is told to. Its name leads to its address on the monitoring network, so that is
                # where it listens: no service can make it ask what the service itself cannot reach.
                f"--web.listen-address={BLACKBOX}",
            ),
            limits=self._config.exporters.blackbox,
            networks=(*self._on_network(host), Attachment(context.app_network)),
            mounts=(config_files.mounted_at("/etc/blackbox_exporter"),),
            health=HealthCheck(("wget", "-q", "-T", "4", "-O", "/dev/null", f"http://{BLACKBOX}/-/healthy")),
            # While two have the name, it may lead to the other one's address.
            exclusive=True,
        )
        return spec, int(port), config_files.ready

    def _secrets(self, role: str, files: Mapping[str, pulumi.Output[str]], owner: str) -> ConfigVolume:
        return ConfigVolume(
            f"{self._name}-{role}-secrets",
            files=files,
            owner=owner,
            image=self._config.image("busybox"),
            context=self._config.context,
            parent=self,
        )


def _after(secrets: ConfigVolume, store: Connection) -> pulumi.Output[Sequence[pulumi.Resource]]:
    return secrets.ready.apply(lambda ready: [*ready, *([store.ready] if store.ready else [])])
