"""Configuration files in a volume, written by a one-shot container, so that services can mount them read-only."""

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
    """How a running service is told to read its files again, as those of Prometheus' family are.

    `/-/healthy` answers 2xx where it runs; where it does not, it reads the new files when it starts. `/-/reload` takes
    a POST.
    """

    network: pulumi.Input[str]
    addresses: Sequence[str]
    """Host and port of each instance, on `network`."""


class ConfigVolume:
    """A volume that holds exactly the given files.

    The writer stages the files, runs `check` on them, moves each into place in one step (owner and mode set
    before it is visible), removes what is no longer there, and tells the service to reload. A changed file
    replaces the writer and nothing else. Files are mode 0400: some of them are secrets. A key of `files` is a path
    in the volume, folders included.

    `owner` is a user, or user:group, by number or by name. A name is known in the service's own image alone: then
    that is the `image` to give, which must have sh, cp, chown, chmod, mv, mkdir and find. A user without a group gets
    the files and leaves their group alone: mode 0400 grants it nothing.

    `volume` is one that is there already, where something mounts it before the files can be known.

    `packed` are further files, which travel as one compressed archive: half a megabyte of dashboards in the state costs
    each preview a second, and nobody reads their diff. Then the `image` must have base64, bunzip2 and tar too.
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
                # The image's own user could not give files to another; the volume belongs to root.
                user="0:0",
                # Staged files live in the container's own layer: a read-only root takes no uploads.
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
        """For `ContainerSpec.content` of a service that reads its files only when it starts.

        It tells contents apart and no more: of eight digits no secret can be guessed.
        """
        text: pulumi.Output[str] = pulumi.Output.json_dumps(self._files)
        return pulumi.Output.unsecret(text.apply(lambda content: hashlib.sha256(content.encode()).hexdigest()[:8]))

    @property
    def ready(self) -> pulumi.Output[Sequence[pulumi.Resource]]:
        """For `depends_on`: the files are there."""
        return self._writer.done

    def mounted_at(self, target: str) -> Mount:
        """Return the read-only mount of these files."""
        return Mount(self.volume.name, target)


def pack(files: Mapping[str, str]) -> str:
    """Return an archive of files as text, the same for the same files on every machine.

    By bzip2, whose one implementation has not changed since 2019; that of gzip differs from one build of Python to the
    next, and so would the archive.
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
    # find takes its paths for patterns.
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
