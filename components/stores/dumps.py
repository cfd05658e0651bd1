"""Dumps of Postgres before its schema changes."""

from __future__ import annotations

import pulumi

from components.common import textfile_mounts, textfile_ready
from components.stores.connection import STORE_USER, Connection
from components.stores.postgres import PGDATA, client_env
from runtime.base import Job, all_ready
from runtime.context import StackContext
from runtime.spec import Attachment, ContainerSpec, Mount, Volume
from settings.container import Limits
from settings.names import METRICS_FOLDER

FOLDER = PGDATA
"""The one folder of the image that its user may write to: root would own a volume mounted elsewhere."""

DUMPS_PER_WORKLOAD = 5

METRICS = f"{METRICS_FOLDER}/backup-postgres-before-release.prom"
"""One file for the dumps of all workloads: they dump the same database, and a series may be in only one file."""

# A dump gets its final name only when it is complete, so that an interrupted one is not mistaken for a dump. The
# outcome is reported in any case; after a failure the time and size of the last good dump are kept.
_SCRIPT = f"""\
set -eu
began=$(date +%s) whole='' target=''
told() {{
    set +e
    [ -d {METRICS_FOLDER} ] || return
    now=$(date +%s) said='{{kind="before-release",store="postgres"}}'
    {{
        echo "dockyard_backup_last_attempt_timestamp_seconds$said $now"
        echo "dockyard_backup_duration_seconds$said $((now - began))"
        if [ -n "$whole" ]; then
            echo "dockyard_backup_success$said 1"
            echo "dockyard_backup_last_success_timestamp_seconds$said $now"
            echo "dockyard_backup_size_bytes$said $(wc -c < "$target")"
        else
            grep -E '^dockyard_backup_(last_success_timestamp_seconds|size_bytes)[{{]' {METRICS}
            echo "dockyard_backup_success$said 0"
        fi
    }} > {METRICS}."$WORKLOAD" 2>/dev/null && mv -f {METRICS}."$WORKLOAD" {METRICS} ||
        echo "its metrics could not be written to {METRICS}" >&2
}}
trap told EXIT
target="{FOLDER}/before-$WORKLOAD-$(date -u +%Y%m%dT%H%M%SZ).dump"
rm -f {FOLDER}/.partial-"$WORKLOAD"
pg_dump -Fc -f {FOLDER}/.partial-"$WORKLOAD"
mv {FOLDER}/.partial-"$WORKLOAD" "$target"
whole=yes
echo "dumped $PGDATABASE to $target: $(wc -c < "$target") bytes"
ls -1t {FOLDER}/before-"$WORKLOAD"-*.dump | tail -n +{DUMPS_PER_WORKLOAD + 1} | xargs -r rm -f
"""


class Dumps:
    """A data volume with dumps taken before each new image of a migrating workload; the last five of each are kept."""

    def __init__(
        self, name: str, context: StackContext, store: Connection, image: str, parent: pulumi.Resource
    ) -> None:
        self._name, self._context, self._store, self._image, self._parent = name, context, store, image, parent
        self.volume: Volume = context.data_volume(f"{name}-dumps", parent)

    def before(self, workload: str, image: str, *, skip: bool) -> Job:
        """Dump the database (`pg_dump -Fc`, Pivotal Flow's document) once for each image of a workload."""
        context, store = self._context, self._store
        return context.job(
            f"{self._name}-dump-before-{workload}",
            ContainerSpec(
                role=f"dump-before-{workload}",
                image=self._image,
                user=STORE_USER,
                entrypoint=("/bin/sh", "-c"),
                command=(_SCRIPT,),
                env={
                    "WORKLOAD": workload,
                    # The script does not read it: a new image changes the job's inputs, so that it runs again.
                    "BEFORE_IMAGE": image,
                    **client_env(store),
                },
                limits=Limits.of("256MB"),
                networks=(Attachment(context.app_network),),
                mounts=(Mount(self.volume.name, FOLDER, read_only=False), *store.admin, *textfile_mounts(context)),
                tmpfs=("/tmp",),
            ),
            pulumi.ResourceOptions(parent=self._parent, depends_on=all_ready(textfile_ready(context), store.ready)),
            skip=skip,
        )
