"""Volumes with configuration files, written by a one-shot container, which services mount read-only."""

from __future__ import annotations

import base64
import bz2
import hashlib
import io
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pulumi

from runtime.context import StackContext
from runtime.manifest import FILE_MODE, TARGET, StagedFiles
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount, Reload
from settings.container import Limits
from settings.names import PACKED, STAGE


class ConfigVolume:
    """A volume that contains exactly the files of a FileSet.

    The writer container stages the files, runs `check` on them, moves each into place atomically (with owner and mode
    already set), deletes files that are no longer declared, and makes the service reload. A changed file replaces only
    the writer.
    """

    def __init__(self, name: str, file_set: FileSet, context: StackContext, parent: pulumi.Resource) -> None:
        packed = file_set.packed
        self._files = dict(sorted({**file_set.files, **packed}.items()))
        self.volume = file_set.volume or context.config_volume(name, parent)
        reload = file_set.reload
        script = _script(sorted(self._files), file_set.owner, file_set.check, reload, unpack=bool(packed))
        self._writer = context.job(
            f"{name}-writer",
            ContainerSpec(
                role=f"{name}-writer",
                image=file_set.image,
                # Root owns the volume, and another user could not change the owner of files.
                user="0:0",
                # Files are staged in the container's own layer, and uploads fail on a read-only root.
                read_only=False,
                capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER"),
                limits=Limits.of("64MB", cpus=0.5),
                networks=(Attachment(reload.network if reload else context.monitoring_network),),
                mounts=(Mount(self.volume.name, TARGET, read_only=False),),
                entrypoint=("/bin/sh", "-ec"),
                command=(script,),
            ),
            pulumi.ResourceOptions(parent=parent),
            StagedFiles(
                {
                    **{f"{STAGE}/{path}": content for path, content in file_set.files.items()},
                    **({PACKED: pack(packed)} if packed else {}),
                },
                file_set.owner,
            ),
        )

    @property
    def fingerprint(self) -> pulumi.Output[str]:
        """Hash of the files, for `ContainerSpec.content` of a service that reads its files only when it starts.

        It has eight digits, enough to detect a change and too few to guess a secret from.
        """
        text: pulumi.Output[str] = pulumi.Output.json_dumps(self._files)
        return pulumi.Output.unsecret(text.apply(lambda content: hashlib.sha256(content.encode()).hexdigest()[:8]))

    @property
    def ready(self) -> pulumi.Output[Sequence[pulumi.Resource]]:
        """For `depends_on`: resolves once the files are written."""
        return self._writer.done

    def mounted_at(self, target: str) -> Mount:
        """Return the read-only mount of these files."""
        return Mount(self.volume.name, target)


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
