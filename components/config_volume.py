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
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_docker as docker

from components.context import StackContext
from components.job import OneShotJob
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import config_volume
from settings.container import Limits
from settings.names import PACKED, STAGE

TARGET = "/dockyard/volume"


@dataclass(frozen=True)
class Reload:
    """The HTTP API by which a running service reloads its files, as Prometheus and its relatives have it.

    `/-/healthy` answers 2xx if the service runs; otherwise it reads the new files at its next start. `/-/reload` is
    called by POST.
    """

    network: pulumi.Input[str]
    addresses: Sequence[str]
    """Host and port of each instance, on `network`."""


class ConfigVolume:
    """A volume that contains exactly the given files.

    The writer container stages the files, runs `check` on them, moves each into place atomically (with owner and mode
    already set), deletes files that are no longer declared, and makes the service reload. A changed file replaces only
    the writer. Files have mode 0400, since some of them are secrets. A key of `files` is a path in the volume and may
    contain folders.

    `owner` is a user or user:group, by number or by name. A name exists only in the service's own image, which must
    then be the `image` of the writer and have sh, cp, chown, chmod, mv, mkdir and find. With a user alone the files'
    group is left unchanged: mode 0400 grants it nothing.

    `volume` is an existing volume, for files that are known only after something has to mount it.

    `packed` are further files, which are sent as one compressed archive: half a megabyte of dashboards in the state
    costs each preview a second, and nobody reads their diff. The `image` must then also have base64, bunzip2 and tar.
    """

    def __init__(
        self,
        name: str,
        *,
        files: Mapping[str, pulumi.Input[str]],
        owner: str,
        image: str,
        context: StackContext,
        parent: pulumi.Resource,
        check: str = "true",
        reload: Reload | None = None,
        volume: docker.Volume | None = None,
        packed: Mapping[str, str] | None = None,
    ) -> None:
        packed = packed or {}
        self._files = dict(sorted({**files, **packed}.items()))
        self.volume = volume or config_volume(name, context, parent)
        self._writer = OneShotJob(
            f"{name}-writer",
            ContainerSpec(
                role=f"{name}-writer",
                image=image,
                # Root owns the volume, and another user could not change the owner of files.
                user="0:0",
                # Files are staged in the container's own layer, and uploads fail on a read-only root.
                read_only=False,
                capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER"),
                limits=Limits.model_validate({"memory": "64MB", "cpus": 0.5}),
                networks=(Attachment(reload.network if reload else context.monitoring_network),),
                mounts=(Mount(self.volume.name, TARGET, read_only=False),),
                entrypoint=("/bin/sh", "-ec"),
                command=(_script(sorted(self._files), owner, check, reload, unpack=bool(packed)),),
            ),
            context,
            pulumi.ResourceOptions(parent=parent),
            uploads={
                **{f"{STAGE}/{path}": content for path, content in files.items()},
                **({PACKED: pack(packed)} if packed else {}),
            },
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
            f"chmod 0400 {draft}",
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
