"""Restores a Redis backup. Redis has no second database to restore into, so it is stopped and its files replaced."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import docker
from docker.models.containers import Container

from machine.progress import Progress, SetupError
from ops.backups.containers import BackupContainer, owner_of, tar_stream
from ops.backups.listing import RESTIC, S3, Backup

FILE = "dump.rdb"
DATA = "/data"
HEALTHY_SECONDS = 300.0
"""How long Redis may take to load the restored data."""

# Redis loads its append-only files if there are any, otherwise dump.rdb. The backup replaces both: as the base file of
# a new append-only series (Redis 7 and later), and, hard-linked, as dump.rdb.
_CHANGE = """\
set -eu
cd {data}
mkdir {kept}
for old in appendonlydir dump.rdb; do [ ! -e "$old" ] || mv "$old" {kept}/; done
mkdir appendonlydir
head -c {end} {new} >{new}.cut
mv {new}.cut {new}
echo 'file appendonly.aof.1.base.rdb seq 1 type b' >appendonlydir/appendonly.aof.manifest
ln {new} dump.rdb
mv {new} appendonlydir/appendonly.aof.1.base.rdb
"""
_OFFSET = re.compile(r"^\[offset (\d+)\]", re.MULTILINE)
_UNDO = """\
set -eu
cd {data}
rm -rf appendonlydir dump.rdb
mv {kept}/* .
rmdir {kept}
"""


def restore_redis(
    client: docker.DockerClient,
    backup_container: BackupContainer,
    redis: Container,
    backup: Backup,
    place: str,
    progress: Progress,
) -> None:
    """Replace the content of Redis by a backup; the old files stay in a folder of its data volume.

    The backup is fetched and checked before Redis stops. Raises SetupError, with nothing changed, if the backup is
    incomplete or damaged, and, with the old files put back, where Redis does not start with it.
    """
    now = datetime.now(UTC)
    new, old_folder = f".restoring-{now:%Y%m%dT%H%M%SZ}", f"before-{now:%Y%m%dT%H%M%SZ}"
    names: dict[str, object] = {"data": DATA, "new": new, "kept": old_folder, "end": 0}
    try:
        with progress.step(f"Fetch {backup.name}") as step:
            content = _content(backup_container, backup, place)
            redis.put_archive(DATA, tar_stream(new, backup.size, owner_of(redis), content))
            names["end"] = _end_of_rdb(redis, f"{DATA}/{new}")
            step.outcome = f"{backup.size} bytes, complete"
        with progress.step("Stop Redis, replace its files, start it") as step:
            redis.stop(timeout=60)
            try:
                _run_on_volume(client, redis, _CHANGE.format(**names))
                redis.start()
                _wait(redis)
            except SetupError as error:
                redis.stop(timeout=60)
                _run_on_volume(client, redis, f"[ ! -d {DATA}/{old_folder} ] || {{ {_UNDO.format(**names)} }}")
                raise SetupError(
                    f"Redis did not start with the backup: {error}", "its previous files were put back"
                ) from error
            finally:
                redis.start()
            step.outcome = f"its previous files are kept in {DATA}/{old_folder}"
    finally:
        redis.exec_run(["rm", "-f", f"{DATA}/{new}", f"{DATA}/{new}.cut"])


def _end_of_rdb(redis: Container, file: str) -> int:
    """Return the offset at which the RDB data ends. Raises SetupError if the file is damaged.

    An RDB file fetched by redis-cli ends with the 40-byte end mark of the transfer. Redis ignores these bytes in
    dump.rdb, but reads them as commands in the base file of an append-only series, and then does not start.
    """
    code, output = redis.exec_run(["redis-check-rdb", file])
    text = output.decode(errors="replace").strip() if isinstance(output, bytes) else ""
    offsets = _OFFSET.findall(text)
    if code or not offsets:
        last_line = text.splitlines()[-1] if text else "redis-check-rdb gave no reason"
        raise SetupError(
            f"the backup is damaged: {last_line}", "nothing was changed; choose another: ./dockyard backups STACK"
        )
    return int(offsets[-1])


def _content(backup_container: BackupContainer, backup: Backup, place: str) -> Iterator[bytes]:
    """Yield the backup while restic reads it: never all of it is in memory. Raises SetupError if it is cut short."""
    repository = backup_container.variables["BACKUP_S3_REPOSITORY" if place == S3 else "RESTIC_REPOSITORY"]
    read = 0
    command = [RESTIC, "dump", "--no-lock", "--quiet", backup.ids[place], f"/{FILE}"]
    for chunk in backup_container.stream(*command, environment={"RESTIC_REPOSITORY": repository}):
        read += len(chunk)
        yield chunk
    if read != backup.size:
        message = f"the backup is incomplete: {read} of {backup.size} bytes"
        raise SetupError(message, "nothing was changed; choose another")


def _run_on_volume(client: docker.DockerClient, redis: Container, script: str) -> None:
    """Run a script on the volumes of the stopped Redis container. Raises SetupError if it fails."""
    attrs: dict[str, Any] = redis.attrs
    try:
        client.containers.run(
            attrs["Image"],
            entrypoint=["/bin/sh", "-c"],
            command=[script],
            user=attrs["Config"]["User"],
            volumes_from=[str(redis.id)],
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            remove=True,
        )
    except docker.errors.ContainerError as error:
        raise SetupError(f"the files of Redis could not be changed: {error.stderr!r}") from error


def _wait(redis: Container) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    while time.monotonic() < deadline:
        redis.reload()
        state = redis.attrs["State"]
        if not state["Running"] or state.get("Restarting"):
            raise SetupError(f"it exited: {redis.logs(tail=3).decode(errors='replace').strip()}")
        if (state.get("Health") or {}).get("Status", "healthy") == "healthy":
            return
        time.sleep(0.3)
    raise SetupError(f"it was not healthy within {HEALTHY_SECONDS:.0f} s")
