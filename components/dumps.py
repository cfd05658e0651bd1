"""Dumps of Postgres before its schema changes."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from components.connection import SECRETS_FOLDER, Connection
from components.context import StackContext
from components.data_stores import PGDATA, STORE_USER
from components.job import OneShotJob
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import data_volume
from settings.container import Limits

FOLDER = PGDATA
"""The one folder of the image that its user may write to: a volume mounted elsewhere would belong to root."""

KEPT = 5

# A dump that was interrupted must not pass for one: it gets its name when it is whole.
_SCRIPT = f"""\
set -eu
target="{FOLDER}/before-$WORKLOAD-$(date -u +%Y%m%dT%H%M%SZ).dump"
rm -f {FOLDER}/.partial-"$WORKLOAD"
pg_dump -Fc -f {FOLDER}/.partial-"$WORKLOAD"
mv {FOLDER}/.partial-"$WORKLOAD" "$target"
echo "dumped $PGDATABASE to $target: $(wc -c < "$target") bytes"
ls -1t {FOLDER}/before-"$WORKLOAD"-*.dump | tail -n +{KEPT + 1} | xargs -r rm -f
"""


class Dumps:
    """A data volume with a dump from before each new image of what migrates the database, the last five of each."""

    def __init__(
        self, name: str, store: Connection, *, image: str, context: StackContext, parent: pulumi.Resource
    ) -> None:
        self._name, self._store, self._image = name, store, image
        self._context, self._parent = context, parent
        self._volume: docker.Volume = data_volume(f"{name}-dumps", context, parent)

    def before(self, workload: str, image: str, *, frozen: bool) -> OneShotJob:
        """Dump the database (`pg_dump -Fc`, Pivotal Flow's document) once for each image of a workload."""
        return OneShotJob(
            f"{self._name}-dump-before-{workload}",
            ContainerSpec(
                role=f"dump-before-{workload}",
                image=self._image,
                user=STORE_USER,
                entrypoint=("/bin/sh", "-c"),
                command=(_SCRIPT,),
                env={
                    "WORKLOAD": workload,
                    # Not read by the script: another image is another dump.
                    "BEFORE_IMAGE": image,
                    "PGHOST": self._store.env["DATABASE_HOST"],
                    "PGUSER": self._store.env["DATABASE_USER"],
                    "PGDATABASE": self._store.env["DATABASE_NAME"],
                    "PGPASSFILE": f"{SECRETS_FOLDER}/pgpass",
                },
                limits=Limits.model_validate({"memory": "256MB"}),
                networks=(Attachment(self._context.app_network),),
                mounts=(Mount(self._volume.name, FOLDER, read_only=False), *self._store.admin),
                tmpfs=("/tmp",),
            ),
            self._context,
            pulumi.ResourceOptions(parent=self._parent, depends_on=self._store.ready),
            frozen=frozen,
        )
