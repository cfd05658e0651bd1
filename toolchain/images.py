"""Brings every image that a stack runs to the engine: pulled, from a mirror, or built by the image kit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import docker
from docker.errors import DockerException

from settings.images import Image, ImageTable, load_images
from toolchain.demo_image import ensure_demo
from toolchain.kit.build import Kit
from toolchain.progress import Progress, SetupError
from toolchain.pulling import Local, PullError, pull, reachable
from toolchain.registry import ensure_registry
from toolchain.workdir import WorkDir

BASE_OF_BUILDS = "python"
"""The image that `build` images stand on."""


def ensure_images(
    work: WorkDir, progress: Progress, docker_host: str, names: Sequence[str], mirror: str | None
) -> dict[str, str]:
    """Make sure that the engine has the images of `names`, keys of components/images.yaml.

    Each is taken from the first of these that has it: the engine itself, the official registry, the mirror
    (`host[:port][/prefix]`), the image kit. Registries are asked once each, and only when an image is missing.

    Returns name → reference to run, where that is not what the table and the mirror say by themselves. References
    to a mirror or to the kit's registry are pinned by what was pulled.
    Raises SetupError when an image cannot be had, naming every way that was tried.
    """
    return _Images(work, progress, docker_host, mirror).ensure(names)


@dataclass
class _Images:
    work: WorkDir
    progress: Progress
    docker_host: str
    mirror: str | None
    table: ImageTable = field(init=False)
    client: docker.DockerClient = field(init=False)
    kit: Kit = field(init=False)

    def __post_init__(self) -> None:
        self.table = load_images(self.work.checkout / "components" / "images.yaml")
        self.kit = Kit(self.work, self.progress, self.table)
        try:
            self.client = docker.DockerClient(base_url=self.docker_host, timeout=300)
        except DockerException as error:
            raise SetupError(f"The Docker engine at {self.docker_host} does not answer: {error}") from error

    def ensure(self, names: Sequence[str]) -> dict[str, str]:
        """See `ensure_images`."""
        known = [name for name in dict.fromkeys(names) if name in self.table.images]
        built = [name for name in known if self.table.images[name].build]
        wanted = [name for name in known if name not in built]
        if built and BASE_OF_BUILDS not in wanted:
            wanted.append(BASE_OF_BUILDS)
        found = self._pulled(wanted)
        for name in built:
            folder = self.work.checkout / str(self.table.images[name].build)
            found[name] = ensure_demo(self.work, self.progress, self.client, name, folder, found[BASE_OF_BUILDS])
        return {
            name: reference
            for name, reference in found.items()
            if name in names and reference != self.table.reference(name, self.mirror)
        }

    def _pulled(self, names: Sequence[str]) -> dict[str, str]:
        """Return name → reference that the engine has, for images that come from a registry."""
        local = Local.of(self.client)
        remembered = self._remembered()
        found, missing = {}, []
        for name in names:
            image = self.table.images[name]
            if local.has(image.reference):
                found[name] = image.reference
            elif (before := self._still_right(name, remembered.get(name))) and local.has(before):
                found[name] = before
            else:
                missing.append(name)
        if missing:
            found |= self._fetch(missing)
            self._remember(found)
        return found

    def _fetch(self, names: Sequence[str]) -> dict[str, str]:
        hosts = {self.table.images[name].registry for name in names}
        answers = reachable([*sorted(hosts), *([self.mirror] if self.mirror else [])])
        for host, answer in answers.items():
            if answer:
                self.progress.line(f"  · {host} cannot be reached: {answer}", style="yellow")
        found, tried = {}, {}
        for name in names:
            image = self.table.images[name]
            ways = [(image.registry, image.reference)]
            if self.mirror:
                ways.append((self.mirror, f"{self.mirror}/{image.path}:{image.tag}"))
            tried[name] = [f"{host}: {answers[host]}" for host, _ in ways if answers[host]]
            for host, reference in ways:
                if answers[host]:
                    continue
                try:
                    found[name] = self._pull(name, image, reference)
                    break
                except PullError as error:
                    tried[name].append(f"{host}: {error}")
                    self.progress.line(f"  · {reference} cannot be pulled: {error}", style="yellow")
        return found | self._from_kit([name for name in names if name not in found], tried)

    def _pull(self, name: str, image: Image, reference: str) -> str:
        with self.progress.step(f"Image {name}") as step:
            pinned = pull(self.client, reference, step.say)
            step.outcome = f"pulled {reference}"
        return image.reference if reference == image.reference else pinned

    def _from_kit(self, names: Sequence[str], tried: Mapping[str, Sequence[str]]) -> dict[str, str]:
        if not names:
            return {}
        for name in names:
            if not self.kit.has_recipe(name):
                raise SetupError(
                    f"The image {self.table.images[name].reference} cannot be had: {'; '.join(tried[name])}",
                    "The image kit has no recipe for it: give a registry that has it, docker.mirror in the stack file.",
                )
        registry = ensure_registry(self.work, self.progress)
        references = self.kit.build(names, registry)
        for name, reference in references.items():
            with self.progress.step(f"Image {name}") as step:
                try:
                    pull(self.client, reference, step.say)
                except PullError as error:
                    raise SetupError(
                        f"The engine at {self.docker_host} cannot pull {reference}: {error}",
                        "The image kit's registry listens on this machine's loopback; the engine must run here too.",
                    ) from error
                step.outcome = f"from the image kit: {reference.partition('@')[0]}"
        return references

    def _still_right(self, name: str, answer: Mapping[str, str] | None) -> str | None:
        """Return the reference found by an earlier run, if the same question would find it again."""
        if not answer or answer["of"] != self.table.images[name].reference or answer["mirror"] != (self.mirror or ""):
            return None
        if answer["kit"] and answer["kit"] != self.kit.digest(name):
            return None
        return answer["reference"]

    def _remembered(self) -> dict[str, dict[str, str]]:
        try:
            return dict(json.loads((self.work.root / "images.json").read_text()))
        except (OSError, ValueError):
            return {}

    def _remember(self, found: Mapping[str, str]) -> None:
        entries = self._remembered()
        for name, reference in found.items():
            digest = self.kit.digest(name) if self.kit.has_recipe(name) else None
            entries[name] = {
                "of": self.table.images[name].reference,
                "mirror": self.mirror or "",
                "kit": digest if digest and reference.endswith(digest) else "",
                "reference": reference,
            }
        self.work.root.mkdir(parents=True, exist_ok=True)
        draft = self.work.root / "images.json.new"
        draft.write_text(json.dumps(entries, indent=1))
        draft.replace(self.work.root / "images.json")
