"""Data stores, monitoring and the containers that back them up, as the program registers them, and an S3 server."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import pulumi
from docker.models.containers import Container

from components.app.services import AppServices
from components.backups.restic import BackupSet
from components.monitoring.stack import MonitoringStack
from runtime.docker import DockerRuntime
from runtime.textfile import metrics_folder
from settings.container import Docker
from settings.monitoring import Monitoring
from settings.product import Product
from tests.backups.cheap_keys import cheapened
from tests.backups.repository import Repository
from tests.backups.s3 import BUCKET, CREDENTIALS, S3Server
from tests.support.component_stage import NO_CONTENT
from tests.support.containers import inside, make_container, remove_all, run_job, succeeded, wait_in
from tests.support.recording import RecordedProgram, RecordedResource, record

LABEL = "backup-test"
IMAGES = ("busybox", "postgres", "redis", "restic", "prometheus", "grafana")
STORES = ("postgres", "redis", "monitoring")
SERVICES = ("postgres", "redis", "prometheus", "grafana")
COPIES = "/backups/copies"  # where tests put copies of repositories, on the same volume
ROWS = (
    "select string_agg(format('%s=%s', c.oid::regclass, md5(query_to_xml(format('select * from %s it order by"
    " it::text', c.oid::regclass), true, true, '')::text)), ' ' order by c.oid::regclass::text collate \"C\")"
    " from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'v', 'm')"
    " and n.nspname !~ '^(pg_|information)'"
)


@dataclass
class BackupStage:
    """Everything of a product with backups, and one backup of each store by the product's own scripts, also in S3."""

    engine: docker.DockerClient
    images: Mapping[str, str]
    s3: S3Server
    mark: str = field(default_factory=lambda: f"{LABEL}-{uuid.uuid4().hex[:10]}")
    run: dict[str, Container] = field(default_factory=dict)  # role → container
    original_costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Store → key file of the repository as the product made it."""

    def world(self) -> RecordedProgram:
        s3 = {"endpoint": f"http://host.docker.internal:{self.s3.port}", "bucket": BUCKET}
        s3 |= {"access_key": "s3-id", "secret_key": "s3-key"}
        keep = {"daily": 1, "weekly": 0, "monthly": 0}
        postgres = {"database": "shop", "user": "shop", "shared_buffers": "32MB", "limits": {"memory": "256MB"}}
        settings = {
            "name": "shop",
            "services": {"api": {"image": "demo", "health": {"command": ["true"]}}},
            "postgres": postgres,
            "redis": {"maxmemory": "32MB", "limits": {"memory": "128MB"}},
            "backups": {"enabled": True, "keep": keep, "s3": s3},
        }
        product = Product.model_validate(settings)

        def program() -> None:
            network = pulumi.Output.from_input(self.mark)
            parts = (network, network, lambda name: self.images.get(name, name))
            plain = DockerRuntime("shop", "development", Docker(), False, *parts)
            context = replace(plain, metrics=metrics_folder("metrics", self.images["busybox"], plain))
            app = AppServices("a", context, product=product, edge=None)
            settings = Monitoring.model_validate({"logs": {"enabled": False}})
            monitoring = MonitoringStack("m", context, monitoring=settings, snapshots=True, **NO_CONTENT)
            BackupSet("b", context, product=product, connections=app.connections, monitoring=monitoring)

        return record(program, stack=self.mark, secrets=CREDENTIALS)

    def up(self) -> None:
        """Make everything, wait until the stores answer, fill them, and make the first backup of each."""
        self.engine.networks.create(self.mark, labels={LABEL: self.mark})
        world = self.world()
        made = {container.label("dockyard.service"): container for container in world.containers}
        for job in (container for container in world.containers if not container.inputs["mustRun"]):
            code, output = run_job(self.make(job))
            assert code == 0, f"{job.name}: {output}"
        for role in (*SERVICES, *(f"backup-{store}" for store in STORES)):
            self.run[role] = self.make(made[role])
            self.run[role].start()
        self.s3.wait()
        for role in SERVICES:
            container, check = self.run[role], made[role].inputs["healthcheck"]["tests"][1:]
            wait_in(container, lambda one=container, do=check: one.exec_run(do)[0] == 0, f"{role} is healthy", 90)
        self.sql((Path(__file__).parent / "odd.sql").read_text())
        self.redis("set good yes")
        self.redis("rpush list a b c")
        made_folder = self.run["backup-postgres"].exec_run(["mkdir", "-m", "1777", COPIES], user="0:0")
        assert made_folder.exit_code == 0, made_folder.output.decode()
        for store in STORES:
            repository = self.shared(store)
            if store == "postgres":
                expected = repository.metrics("scheduled")
                assert set(expected) == {"expected_timestamp_seconds"}, "a backup is expected before the first is made"
            succeeded(repository.back_up())
            self._cheapen_keys(store)

    def make(self, made: RecordedResource) -> Container:
        return make_container(self.engine, made, self.mark, {LABEL: self.mark})

    def shared(self, store: str) -> Repository:
        """Return the repository that the product itself uses. Tests read it."""
        return Repository(self, store, f"/backups/{store}", f"shop/{self.mark}/{store}")

    def repository(self, store: str, *, s3: bool = False) -> Repository:
        """Return a copy of a store's repository, for one test; `s3` copies what lies in S3 too."""
        mine, shared = f"{store}-{uuid.uuid4().hex[:8]}", self.shared(store)
        copy = Repository(self, store, f"{COPIES}/{mine}", mine if s3 else "")
        succeeded(self.inside(f"backup-{store}", f"cp -r {shared.folder} {copy.folder}"))
        if s3:
            self.s3.copy(shared.prefix, copy.prefix)
        return copy

    def _cheapen_keys(self, store: str) -> None:
        """Replace a repository's keys, which must have restic's own cost, by cheap ones: here and in S3."""
        password = succeeded(self.inside(f"backup-{store}", "cat /run/secrets/backup-key"))
        shared, role = self.shared(store), f"backup-{store}"
        keys = f"{shared.folder}/keys"
        listed = succeeded(self.inside(role, f"ls {keys}"))
        (old,) = listed.split()
        _, content = self.inside(role, f"cat {keys}/{old}")
        self.original_costs[store] = json.loads(content)
        name, cheap = cheapened(content.encode(), password.strip())
        succeeded(self.inside(role, f'printf %s "$KEY" >{keys}/{name} && rm -f {keys}/{old}', KEY=cheap.decode()))
        for key, secret in self.s3.objects(f"{shared.prefix}/keys/").items():
            name, cheap = cheapened(secret, password.strip())
            self.s3.write(f"{shared.prefix}/keys/{name}", cheap)
            self.s3.delete(key)

    def inside(self, role: str, command: str, **env: str) -> tuple[int, str]:
        return inside(self.run[role], command, **env)

    def delete_copies(self) -> None:
        """Delete the copies of repositories. Each store's container owns its own."""
        for store in STORES:
            succeeded(self.inside(f"backup-{store}", f"rm -rf {COPIES}/{store}-*"))

    def redis(self, command: str) -> str:
        answer = succeeded(
            self.inside("redis", f'REDISCLI_AUTH="$(cat /run/secrets/redis-password)" redis-cli {command}')
        )
        return answer.strip()

    def sql(self, statement: str, database: str = "shop") -> str:
        code, answer = self.run["postgres"].exec_run(
            ["psql", "-h", "127.0.0.1", "-U", "shop", "-XAtqc", statement, database],
            environment={"PGPASSFILE": "/run/secrets/pgpass", "PGHOST": ""},
        )
        assert code == 0, answer.decode()
        return answer.decode().strip()

    def all_rows(self, database: str) -> str:
        """Return a digest of every row of each table and view, made in another way than the manifest's."""
        return self.sql(ROWS, database)

    def databases(self) -> set[str]:
        listed = self.sql("select datname from pg_database where not datistemplate", "postgres")
        return set(listed.split()) - {"postgres"}

    def drop(self, *names: str) -> None:
        for name in names:
            self.sql(f'drop database "{name}" with (force)', "postgres")

    def remains_of_restores(self) -> str:
        """Return files and servers that a restore or a drill has left; there should be none."""
        return succeeded(self.inside("backup-postgres", "ls -A /scratch; pidof postgres; true"))

    def down(self) -> None:
        self.s3.stop()
        remove_all(self.engine, f"{LABEL}={self.mark}", self.mark)


@contextmanager
def running_backups(engine: docker.DockerClient, images: Mapping[str, str]) -> Iterator[BackupStage]:
    stage = BackupStage(engine, images, S3Server())
    try:
        stage.up()
        yield stage
    finally:
        stage.down()
