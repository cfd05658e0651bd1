"""Brings every image that a stack runs to the engine: pulled, from a mirror, or built by the image kit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import docker
from docker.errors import DockerException
from pydantic import ValidationError

from settings.images import Image, ImageTable, load_images
from toolchain.demo_image import ensure_demo
from toolchain.kit.build import Kit
from toolchain.progress import Progress, SetupError
from toolchain.pulling import Local, PullError, pull, reachable
from toolchain.registry import ensure_registry
from toolchain.workdir import WorkDir

AT_ONCE = 3
"""Images pulled side by side; each brings its layers side by side as well."""

BASE_OF_BUILDS = "python"
"""The image that `build` images stand on."""


def ensure_images(
    work: WorkDir, progress: Progress, docker_host: str, names: Sequence[str], mirror: str | None
) -> dict[str, str]:
    """Make sure that the engine has the images of `names`: keys of components/images.yaml, or full references.

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
        images = {name: image for name in names if (image := self._image(name))}
        pulled = {name: image for name, image in images.items() if not image.build}
        if len(pulled) < len(images):
            pulled.setdefault(BASE_OF_BUILDS, self.table.images[BASE_OF_BUILDS])
        found = self._pulled(pulled)
        for name, image in images.items():
            if image.build:
                folder = self.work.checkout / image.build
                found[name] = ensure_demo(self.work, self.progress, self.client, name, folder, found[BASE_OF_BUILDS])
        return {
            name: reference
            for name, reference in found.items()
            if name in images and reference != self.table.reference(name, self.mirror)
        }

    def _image(self, name: str) -> Image | None:
        """Return what a name of the table or a full reference stands for; None for what only the engine knows."""
        if name in self.table.images:
            return self.table.images[name]
        reference, _, digest = name.partition("@")
        try:
            return Image(image=reference, digest=digest or None)
        except ValidationError:
            return None

    def _pulled(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Return name → reference that the engine has, for images that come from a registry."""
        local = Local.of(self.client)
        remembered = self._remembered()
        found, missing = {}, {}
        for name, image in images.items():
            before = self._still_right(name, image, remembered.get(name))
            if local.has(image.reference):
                found[name] = image.reference
            elif before and local.has(before):
                found[name] = before
            else:
                missing[name] = image
        if missing:
            fetched = self._fetch(missing)
            self._remember({name: (missing[name], reference) for name, reference in fetched.items()})
            found |= fetched
        return found

    def _fetch(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Pull images from where they can be had and build the rest."""
        hosts = sorted({image.registry for image in images.values()} | ({self.mirror} if self.mirror else set()))
        # An engine elsewhere, or behind a proxy, reaches other registries than this machine does: it is simply asked.
        answers = reachable(hosts) if self._shares_our_network() else dict.fromkeys(hosts, "")
        for host, answer in answers.items():
            if answer:
                self.progress.line(f"  · {host} cannot be reached: {answer}", style="yellow")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(lambda name: self._first_of(name, images[name], answers), images)
            outcomes = dict(zip(images, results, strict=True))
        found = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, str)}
        missing = {name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, str)}
        return found | self._from_kit(missing)

    def _shares_our_network(self) -> bool:
        if not self.docker_host.startswith(("unix:", "npipe:")):
            return False
        about = self.client.info()
        return not (about.get("HttpProxy") or about.get("HttpsProxy"))

    def _first_of(self, name: str, image: Image, answers: Mapping[str, str]) -> str | list[str]:
        """Pull an image from the first registry that has it; return its reference, or why each does not."""
        ways = [(image.registry, image.reference)]
        if self.mirror:
            mirrored = f"{self.mirror}/{image.path}:{image.tag}"
            ways += [(self.mirror, f"{mirrored}@{image.digest}")] if image.digest else []
            # A mirror that holds one architecture, or builds of its own, has other digests: pinned by what comes.
            ways += [(self.mirror, mirrored)]
        tried = []
        for host, reference in ways:
            if answers[host]:
                tried += [f"{host} cannot be reached"] if f"{host} cannot be reached" not in tried else []
                continue
            try:
                with self.progress.step(f"Image {name}") as step:
                    pinned = pull(self.client, reference, step.say)
                    step.outcome = f"pulled {reference}"
                return image.reference if reference == image.reference else pinned
            except PullError as error:
                tried.append(f"{reference}: {error}")
                self.progress.line(f"  · {reference} cannot be pulled: {error}", style="yellow")
        return tried

    def _from_kit(self, missing: Mapping[str, Sequence[str]]) -> dict[str, str]:
        if not missing:
            return {}
        for name, tried in missing.items():
            if not self.kit.has_recipe(name):
                raise SetupError(
                    f"The image {name} cannot be had: {'; '.join(tried)}; the image kit has no recipe for it",
                    "Give a registry that has it: docker.mirror in the stack file.",
                )
        registry = ensure_registry(self.work, self.progress)
        references = self.kit.build(list(missing), registry)
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

    def _still_right(self, name: str, image: Image, answer: Mapping[str, str] | None) -> str | None:
        """Return the reference found by an earlier run, if the same question would find it again."""
        if not answer or answer["of"] != image.reference or answer["mirror"] != (self.mirror or ""):
            return None
        if answer["kit"] and answer["kit"] != self.kit.digest(name):
            return None
        return answer["reference"]

    def _remembered(self) -> dict[str, dict[str, str]]:
        try:
            return dict(json.loads((self.work.root / "images.json").read_text()))
        except (OSError, ValueError):
            return {}

    def _remember(self, fetched: Mapping[str, tuple[Image, str]]) -> None:
        entries = self._remembered()
        for name, (image, reference) in fetched.items():
            digest = self.kit.digest(name) if self.kit.has_recipe(name) else None
            entries[name] = {
                "of": image.reference,
                "mirror": self.mirror or "",
                "kit": digest if digest and reference.endswith(digest) else "",
                "reference": reference,
            }
        self.work.root.mkdir(parents=True, exist_ok=True)
        draft = self.work.root / "images.json.new"
        draft.write_text(json.dumps(entries, indent=1))
        draft.replace(self.work.root / "images.json")
