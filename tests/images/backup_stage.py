"""Data stores, monitoring and the containers that back them up, as the program registers them, and an S3 server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import docker
import pulumi
from docker.models.containers import Container

from components.app_services import AppServices, AppServicesConfig
from components.backups import BackupsConfig, BackupSet
from components.context import StackContext
from components.metrics_files import metrics_folder
from components.monitoring_stack import MonitoringStack, MonitoringStackConfig
from settings.docker import Docker
from settings.monitoring import Monitoring
from settings.product import Product
from tests.images.edge_stage import wait
from tests.images.making import make_container, remove_all, run_job
from tests.unit.world import Made, World, build

LABEL = "backup-test"
BUCKET = "shop-backups"
SECRETS = {"s3-id": "the-id", "s3-key": "the-key"}
IMAGES = ("busybox", "postgres", "redis", "restic", "prometheus", "grafana")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104 - only to learn its number
        return int(taken.getsockname()[1])


@dataclass
class BackupStage:
    """Everything of a product with backups; the stack's name is the stage's own."""

    engine: docker.DockerClient
    images: Mapping[str, str]
    port: int = field(default_factory=free_port)
    """Of the S3 server, on the host."""

    mark: str = field(default_factory=lambda: f"backup-test-{uuid.uuid4().hex[:10]}")
    server: subprocess.Popen[bytes] | None = None
    run: dict[str, Container] = field(default_factory=dict)
    """Role → container."""

    def world(self) -> World:
        """Return what the program registers."""
        product = Product.model_validate(
            {
                "name": "shop",
                "services": {"api": {"image": "demo", "health": {"command": ["true"]}}},
                "postgres": {
                    "database": "shop",
                    "user": "shop",
                    "shared_buffers": "32MB",
                    "limits": {"memory": "256MB"},
                },
                "redis": {"maxmemory": "32MB", "limits": {"memory": "128MB"}},
                "backups": {
                    "enabled": True,
                    "keep": {"daily": 1, "weekly": 0, "monthly": 0},
                    "s3": {
                        "endpoint": f"http://host.docker.internal:{self.port}",
                        "bucket": BUCKET,
                        "access_key": "s3-id",
                        "secret_key": "s3-key",
                    },
                },
            }
        )

        def program() -> None:
            network = pulumi.Output.from_input(self.mark)
            plain = StackContext("shop", "development", Docker(), False, network, network)
            folder = metrics_folder("metrics", self.images["busybox"], plain)
            context = StackContext("shop", "development", Docker(), False, network, network, folder)

            def image(name: str) -> str:
                return self.images.get(name, name)

            app = AppServices("a", AppServicesConfig(product, context, image, None))
            told: Any = ([], [], {}, {}, "http://127.0.0.1:3000", False, True)
            monitoring = MonitoringStack("m", MonitoringStackConfig(Monitoring(), context, image, *told))
            BackupSet("b", BackupsConfig(product, context, image, app.connections, monitoring))

        return build(program, stack=self.mark, secrets=SECRETS)

    def up(self) -> None:
        """Make everything, and wait until the stores answer."""
        self.serve()
        self.engine.networks.create(self.mark, labels={LABEL: self.mark})
        world = self.world()
        wanted = ("postgres", "redis", "prometheus", "grafana", "backup-postgres", "backup-redis", "backup-monitoring")
        made = {one.label("dockyard.service"): one for one in world.containers}
        jobs = [one for one in world.containers if not one.inputs["mustRun"]]
        for job in jobs:
            code, said = run_job(self.make(job))
            assert code == 0, f"{job.name}: {said}"
        for role in wanted:
            self.run[role] = self.make(made[role])
            self.run[role].start()
        for role in ("postgres", "redis", "prometheus", "grafana"):
            check = made[role].inputs["healthcheck"]["tests"][1:]
            container = self.run[role]
            wait(
                lambda container=container, check=check: container.exec_run(check)[0] == 0,
                lambda container=container: container.logs().decode(),
                90,
            )

    def make(self, made: Made) -> Container:
        """Make a container as the inputs of its resource say."""
        return make_container(self.engine, made, self.mark, {LABEL: self.mark})

    def serve(self) -> None:
        """Run the S3 server, with a bucket in it."""
        self.server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(self.port)],  # noqa: S104 - containers ask
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait(self._listens, lambda: "the S3 server does not listen", 60)
        self.s3().create_bucket(Bucket=BUCKET)

    def _listens(self) -> bool:
        with socket.socket() as asked:
            asked.settimeout(1)
            return asked.connect_ex(("127.0.0.1", self.port)) == 0

    def s3(self) -> Any:
        """Return a client of the S3 server."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="the-id",
            aws_secret_access_key="the-key",
        )

    def unserve(self) -> None:
        """Stop the S3 server; its buckets go with it."""
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server = None

    def inside(self, role: str, command: str, **env: str) -> tuple[int, str]:
        """Run a shell command in a container."""
        code, said = self.run[role].exec_run(["sh", "-c", command], environment=env)
        return code, said.decode()

    def back_up(self, store: str, **env: str) -> tuple[int, str]:
        """Make a backup as somebody does by hand."""
        return self.inside(f"backup-{store}", f"sh /run/backup/backup-{store}.sh", **env)

    def restic(self, store: str, arguments: str) -> str:
        """Ask restic in a store's container; fails where it does."""
        code, said = self.inside(
            f"backup-{store}", f"PATH=$PATH:/tools restic --no-cache --no-lock {arguments} 2>/tmp/said || cat /tmp/said"
        )
        assert code == 0, said
        return said

    def snapshots(self, store: str, tag: str, where: str = "") -> list[dict[str, Any]]:
        """Return the snapshots with a tag."""
        found: list[dict[str, Any]] = json.loads(self.restic(store, f"{where} snapshots --json --tag {tag}"))
        return found

    def metrics(self, store: str, kind: str) -> dict[str, float]:
        """Return what is told of backups: metric without its prefix → value."""
        holder = "backup-postgres" if store in ("postgres", "redis") else "backup-monitoring"
        code, text = self.inside(holder, f"cat /metrics/written/backup-{kind}-{store}.prom")
        assert code == 0, text
        found = {}
        for line in text.splitlines():
            series, value = line.rsplit(" ", 1)
            name, labels = series.split("{", 1)
            assert labels == f'kind="{kind}",store="{store}"}}'
            assert name not in found, f"{name} stands there twice"
            found[name.removeprefix("dockyard_backup_")] = float(value)
        return found

    def sql(self, statement: str) -> str:
        """Ask Postgres."""
        code, said = self.run["postgres"].exec_run(
            ["psql", "-h", "127.0.0.1", "-U", "shop", "-XAtqc", statement, "shop"],
            environment={"PGPASSFILE": "/run/secrets/pgpass", "PGHOST": ""},
        )
        assert code == 0, said.decode()
        return said.decode().strip()

    def down(self) -> None:
        """Remove everything."""
        self.unserve()
        remove_all(self.engine, f"{LABEL}={self.mark}", self.mark)


@contextmanager
def running_backups(engine: docker.DockerClient, images: Mapping[str, str]) -> Iterator[BackupStage]:
    """Run the stage; everything of it is gone at the end."""
    stage = BackupStage(engine, images)
    try:
        stage.up()
        yield stage
    finally:
        stage.down()
