"""ExporterSet: exporters of metrics for the host, the containers, the data stores and the probes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import yaml

from components.common import NOBODY
from components.monitoring.blackbox import BLACKBOX, MODULES
from components.stores.connection import Connection
from runtime.base import Instance, all_ready
from runtime.context import ScrapeTarget, StackContext
from runtime.health import wget
from runtime.secret_files import SECRETS_FOLDER
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck, Mount, Reload
from runtime.textfile import readable
from settings.container import Limits
from settings.monitoring import Exporters
from settings.names import STORES, TOOLS

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
    f"--port={TOOLS['cadvisor']}",
    "--housekeeping_interval=15s",
    "--store_container_labels=false",
    # `network` is the host's: without Docker cAdvisor cannot assign traffic to containers. All other groups would add
    # some 600 series, and file system sizes, which node_exporter exports already.
    "--enable_metrics=cpu,memory,network",
    "--docker_only=true",
    # Without Docker it cannot find out which control groups are containers (cgroup v1 with cgroupfs, v2 with systemd).
    "--raw_cgroup_prefix_whitelist=/docker/,/system.slice/docker-",
)


class ExporterSet(pulumi.ComponentResource):
    """Runs an exporter for the host, for the containers, for each data store, and for probes.

    None is published or mounts the Docker socket: cAdvisor reads control groups. `connections` are the data stores by
    kind, and `inventory` is the mount of the folder with the inventory's textfile metrics. `probes` are the targets of
    the blackbox exporter, which runs only if there are any.
    """

    targets: list[ScrapeTarget]
    containers: dict[str, Instance]

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        exporters: Exporters,
        connections: Mapping[str, Connection],
        inventory: Mount,
        probes: Sequence[ScrapeTarget] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:exporter_set:ExporterSet", name, None, opts)
        self._name, self._context = name, context
        self.targets, self.containers = [], {}
        host = Mount("/", "/host", host=True)
        textfiles = (readable(context.metrics),) if context.metrics else ()
        self._run("node-exporter", exporters.node, "/", command=NODE_FLAGS, mounts=(host, inventory, *textfiles))
        self._run(
            "cadvisor",
            exporters.cadvisor,
            "/healthz",
            command=CADVISOR_FLAGS,
            user="0:0",
            mounts=(Mount("/", "/rootfs", host=True), Mount("/sys", "/sys", host=True)),
        )
        if store := connections.get("postgres"):
            self._postgres(store, exporters.postgres)
        if store := connections.get("redis"):
            self._redis(store, exporters.redis)
        if probes:
            self._blackbox(exporters.blackbox)
            self.targets.extend(probes)
        self.register_outputs({"targets": [target.address for target in self.targets]})

    def _run(
        self,
        role: str,
        limits: Limits,
        health_path: str,
        *,
        user: str = NOBODY,
        secrets: Mapping[str, pulumi.Output[str]] | None = None,
        after: Sequence[pulumi.Input[Sequence[pulumi.Resource]]] = (),
        **options: Any,
    ) -> None:
        """Run an exporter that reads `secrets` from files; `options` are further fields of its ContainerSpec."""
        context, port = self._context, TOOLS[role]
        if secrets:
            file_set = FileSet(files=secrets, owner=user, image=context.image("busybox"))
            files = context.files(f"{self._name}-{role}-secrets", file_set, self)
            options |= {"mounts": (files.mounted_at(SECRETS_FOLDER),), "content": files.fingerprint}
            after = [*after, files.ready]
        defaults = {
            "networks": (Attachment(context.monitoring_network, (role,)),),
            "health": wget(port, health_path),
        }
        spec = ContainerSpec(role=role, image=context.image(role), user=user, limits=limits, **{**defaults, **options})
        resource_options = pulumi.ResourceOptions(parent=self, depends_on=all_ready(*after))
        self.containers[role] = context.service(f"{self._name}-{role}", spec, resource_options)
        job = role.removesuffix("-exporter")
        # The node exporter also exposes textfile metrics, which are about other services.
        self.targets.append(ScrapeTarget(job, f"{role}:{port}", honor_labels=job == "node"))

    def _postgres(self, store: Connection, limits: Limits) -> None:
        if "exporter-uri" in store.files:
            secrets = {part: store.files[f"exporter-{part}"] for part in ("uri", "user", "password")}
            env = {
                "DATA_SOURCE_URI_FILE": f"{SECRETS_FOLDER}/uri",
                "DATA_SOURCE_USER_FILE": f"{SECRETS_FOLDER}/user",
            }
        else:
            secrets = {"password": store.files["database-password"]}
            env = {
                "DATA_SOURCE_URI": f"postgres:{STORES['postgres']}/{store.env['DATABASE_NAME']}?sslmode=disable",
                "DATA_SOURCE_USER": store.env["DATABASE_USER"],
            }
        self._run(
            "postgres-exporter",
            limits,
            "/",
            command=POSTGRES_FLAGS,
            env={**env, "DATA_SOURCE_PASS_FILE": f"{SECRETS_FOLDER}/password"},
            secrets=secrets,
            after=[store.ready],
            reaches_host=store.reaches_host,
        )

    def _redis(self, store: Connection, limits: Limits) -> None:
        address = f"redis://{store.env['REDIS_HOST']}:{store.env['REDIS_PORT']}"
        env, secrets = {"REDIS_ADDR": address}, None
        if password := store.files.get("redis-password"):
            env["REDIS_PASSWORD_FILE"] = f"{SECRETS_FOLDER}/passwords.json"
            secrets = {"passwords.json": password.apply(lambda text: json.dumps({address: text}))}
        self._run(
            "redis-exporter",
            limits,
            "/health",
            user=REDIS_EXPORTER_USER,
            env=env,
            secrets=secrets,
            after=[store.ready],
            reaches_host=store.reaches_host,
        )

    def _blackbox(self, limits: Limits) -> None:
        """Run the prober. It is on both networks, to reach the product."""
        context, role = self._context, "blackbox-exporter"
        config_files = context.files(
            f"{self._name}-blackbox-config",
            FileSet(
                files={"config.yml": yaml.safe_dump({"modules": MODULES}, sort_keys=False)},
                owner=NOBODY,
                image=context.image(role),
                check="blackbox_exporter --config.file=config.yml --config.check",
                reload=Reload(context.monitoring_network, [BLACKBOX]),
            ),
            self,
        )
        self._run(
            role,
            limits,
            "/-/healthy",
            command=(
                "--config.file=/etc/blackbox_exporter/config.yml",
                # Else each redirect that is not followed logs a warning, and some probes expect redirects.
                "--log.prober=error",
                # It probes any address that a client asks for. Its name resolves to its address on the monitoring
                # network, and it listens only there: no service can use it to reach what it cannot reach itself.
                f"--web.listen-address={BLACKBOX}",
            ),
            networks=(Attachment(context.monitoring_network, (role,)), Attachment(context.app_network)),
            mounts=(config_files.mounted_at("/etc/blackbox_exporter"),),
            health=HealthCheck(("wget", "-q", "-T", "4", "-O", "/dev/null", f"http://{BLACKBOX}/-/healthy")),
            after=[config_files.ready],
            # With two containers of this name, it might resolve to the other one's address.
            exclusive=True,
        )
