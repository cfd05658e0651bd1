"""Volumes with configuration files, written by a one-shot container, which services mount read-only."""

from __future__ import annotations

import base64
import bz2
import io
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pulumi

from runtime.base import Files
from runtime.context import StackContext
from runtime.manifest import FILE_MODE, TARGET, StagedFiles
from runtime.spec import FileSet, Mount, Reload, writer_spec
from settings.names import PACKED, STAGE


def write_files(context: StackContext, name: str, file_set: FileSet, parent: pulumi.Resource) -> Files:
    """Create a volume that contains exactly the files of a FileSet, and the job that writes them.

    The writer container stages the files, runs `check` on them, moves each into place atomically (with owner and mode
    already set), deletes files that are no longer declared, and makes the service reload. A changed file replaces only
    the writer.
    """
    packed, reload = file_set.packed, file_set.reload
    contents = dict(sorted({**file_set.files, **packed}.items()))
    volume = file_set.volume or context.config_volume(name, parent)
    uploads = {f"{STAGE}/{path}": content for path, content in file_set.files.items()}
    writer = context.job(
        f"{name}-writer",
        writer_spec(
            f"{name}-writer",
            file_set.image,
            reload.network if reload else context.monitoring_network,
            [_script(list(contents), file_set.owner, file_set.check, reload, unpack=bool(packed))],
            [Mount(volume.name, TARGET, read_only=False)],
            # Files are staged in the container's own layer, and uploads fail on a read-only root.
            read_only=False,
        ),
        pulumi.ResourceOptions(parent=parent),
        StagedFiles({**uploads, **({PACKED: pack(packed)} if packed else {})}, file_set.owner),
    )
    return Files(volume, writer.done, contents)


def pack(files: Mapping[str, str]) -> str:
    """Return an archive of files as text, which is deterministic on every machine.

    The compression is bzip2, whose only implementation has not changed since 2019. The output of gzip differs between
    builds of Python.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in sorted(files.items()):
            data = content.encode()
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return base64.b64encode(bz2.compress(archive.getvalue())).decode()


def _script(paths: Sequence[str], owner: str, check: str, reload: Reload | None, *, unpack: bool) -> str:
    """Return the writer's shell script. `check` runs in the staging folder."""
    unpacking = [f"base64 -d {PACKED} | bunzip2 -c | tar -x -f - -C {STAGE}"] if unpack else []
    lines = [*unpacking, f"cd {STAGE}", check]
    for path in paths:
        staged, final = f"{STAGE}/{path}", f"{TARGET}/{path}"
        draft = shlex.quote(f"{final}.new")
        lines += [
            f"mkdir -p {shlex.quote(str(PurePosixPath(final).parent))}",
            f"cp {shlex.quote(staged)} {draft}",
            f"chown -- {shlex.quote(owner)} {draft}",
            f"chmod {FILE_MODE} {draft}",
            f"mv {draft} {shlex.quote(final)}",
        ]
    # The arguments of find's -path are patterns, so special characters are escaped.
    patterns = (re.sub(r"([\\\\*?\[\]])", r"\\\1", f"{TARGET}/{path}") for path in paths)
    keep = " ".join(f"! -path {shlex.quote(path)}" for path in patterns)
    lines += [f"find {TARGET} -type f {keep} -exec rm -f {{}} +", f"chmod 0755 {TARGET}"]
    for address in reload.addresses if reload else ():
        lines += [
            f"if wget -q -T 3 -O /dev/null http://{address}/-/healthy; then",
            f"  wget -q -T 20 -O /dev/null --post-data= http://{address}/-/reload",
            "fi",
        ]
    return "\n".join(lines)
