"""Make every image of a stack available in Docker: pulled, taken from a mirror, or built by the image kit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import docker
from docker.errors import DockerException
from pydantic import ValidationError

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from offline.kit.build import Kit
from offline.registry import ensure_registry
from settings.build import Build
from settings.images import Image, ImageTable, load_images
from toolchain.builds import bases_of, ensure_built
from toolchain.demo_image import ensure_demo
from toolchain.packaged_image import ensure_packaged
from toolchain.pulling import LocalImages, PullError, digest_now, has_registry, pull, reachable

SUBSTITUTES = {"loki": ("victorialogs", ("victorialogs", "vmalert"))}
"""Image that the kit must not build (AGPL) → the log store to run instead when it cannot be pulled, and its images."""

AT_ONCE = 3
"""Number of images pulled in parallel; each pulls its layers in parallel as well."""


def ensure_images(
    work: WorkDir,
    progress: Progress,
    docker_host: str,
    names: Sequence[str],
    mirror: str | None,
    builds: Mapping[str, Build] | None = None,
) -> dict[str, str]:
    """Make sure that Docker has the images of `names`: keys of components/images.yaml, full references, or `builds`.

    Each image is taken from the first of these sources that has it: Docker itself, the official registry, the mirror
    (`host[:port][/prefix]`), the image kit. Each registry is asked once, and only when an image is missing. Exception:
    a full reference with a tag and no digest is resolved each time, since a tag can move.
    The images of `builds` (name → build settings) are built here unless they exist.

    Returns name → reference to run, for names whose reference differs from the one of the table and the mirror.
    References to a tag, a mirror or the kit's registry are pinned to the digest that was pulled.
    When an image cannot be pulled and another program replaces it (SUBSTITUTES), the result contains the images of that
    program instead.
    Raises SetupError when an image is not available, naming every source that was tried.
    """
    return _Images(work, progress, docker_host, mirror).ensure(names, builds or {})


def ensure_references(work: WorkDir, progress: Progress, docker_host: str, references: Sequence[str]) -> None:
    """Make sure that Docker has exactly these images: those of an earlier release.

    Raises SetupError naming the first image that is no longer available.
    """
    if references:
        _Images(work, progress, docker_host, None).ensure_references(references)


def substitute_log_store(requested: Sequence[str], images: Mapping[str, str]) -> str | None:
    """Return the log store that replaces the requested one, None when the requested one is available.

    `images` is the result of `ensure_images`.
    """
    return next(
        (store for name, (store, needed) in SUBSTITUTES.items() if name in requested and {*needed} <= {*images}), None
    )


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

    def ensure(self, names: Sequence[str], builds: Mapping[str, Build]) -> dict[str, str]:
        """See `ensure_images`."""
        built = {name: builds[name] for name in names if name in builds}
        bases = {name: bases_of(self.work.checkout, build, self.table.images) for name, build in built.items()}
        images = {name: image for name in names if name not in built and (image := self._image(name))}
        pulled = {name: image for name, image in images.items() if not image.build}
        under = {image.base for image in images.values() if image.base}
        for base in under | {base for needed in bases.values() for base in needed}:
            pulled.setdefault(base, self.table.images[base])
        moving = {
            name: image for name, image in pulled.items() if name not in self.table.images and image.digest is None
        }
        references = self._ensure_pulled({name: image for name, image in pulled.items() if name not in moving})
        references |= self._resolve_tags(moving)
        for name, image in images.items():
            if image.build and image.base:
                folder = self.work.checkout / image.build
                make = ensure_demo if (folder / "requirements.txt").exists() else ensure_packaged
                references[name] = make(self.work, self.progress, self.client, name, folder, references[image.base])
        for name, build in built.items():
            base_references = {base: references[base] for base in bases[name]}
            references[name] = ensure_built(self.work, self.progress, self.client, name, build, base_references)
        substitutes = {
            substitute
            for name in images
            if name in SUBSTITUTES and name not in references
            for substitute in SUBSTITUTES[name][1]
        }
        return {
            name: reference
            for name, reference in references.items()
            if name in built
            or ((name in images or name in substitutes) and reference != self.table.reference(name, self.mirror))
        }

    def ensure_references(self, references: Sequence[str]) -> None:
        """See the module's function `ensure_references`."""
        local = LocalImages.of(self.client)
        for reference in sorted({reference for reference in references if not local.has(reference)}):
            if not has_registry(reference):
                raise SetupError(
                    f"The image {reference} of that release was built here and is gone from the engine",
                    "Return its sources to what they were, and run `up`.",
                )
            if reference.startswith("127.0.0.1:"):
                ensure_registry(self.work, self.progress)
            with self.progress.step(f"Image {reference}") as step:
                try:
                    pull(self.client, reference, step.say)
                except PullError as error:
                    raise SetupError(
                        f"The image {reference} of that release cannot be had: {error}",
                        f"Bring it to the engine in another way, or return to another release: {_log_in(reference)}.",
                    ) from error
                step.outcome = "pulled"

    def _image(self, name: str) -> Image | None:
        """Return the image of a name in the table or of a full reference; None for a name that only Docker knows."""
        if name in self.table.images:
            return self.table.images[name]
        reference, _, digest = name.partition("@")
        try:
            return Image(image=reference, digest=digest or None)
        except ValidationError:
            return None

    def _resolve_tags(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Return name → reference, pinned to the digest that its tag has at the registry now.

        An image that was built or loaded here and is at no registry keeps its tag. When no registry can be reached,
        the image that Docker has is used.
        """
        local = LocalImages.of(self.client)
        references = {name: name for name in images if not has_registry(name) and local.has(name)}
        remote = {name: images[name] for name in images if name not in references}
        reasons = self._unreachable(remote.values())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(lambda name: self._resolve_tag(name, remote[name], reasons, local), remote)
            outcomes = dict(zip(remote, results, strict=True))
        for name, outcome in outcomes.items():
            references[name] = (
                outcome if isinstance(outcome, str) else self._local_reference(name, remote[name], outcome, local)
            )
        return references

    def _resolve_tag(self, name: str, image: Image, reasons: Mapping[str, str], local: LocalImages) -> str | list[str]:
        tried = []
        for host, reference in self._candidates(image):
            if reasons[host]:
                tried.append(f"{host} cannot be reached: {reasons[host]}")
                continue
            try:
                pinned = f"{reference}@{digest_now(self.client, reference)}"
                if not local.has(pinned):
                    with self.progress.step(f"Image {name}") as step:
                        pinned = pull(self.client, reference, step.say)
                        step.outcome = f"pulled {pinned}"
                return pinned
            except PullError as error:
                tried.append(f"{reference}: {error}")
        return tried

    def _local_reference(self, name: str, image: Image, tried: Sequence[str], local: LocalImages) -> str:
        """Return the reference of the image that Docker has for a tag that no registry serves.

        Raises SetupError when Docker does not have it.
        """
        for _, reference in self._candidates(image):
            if local.has(reference):
                digests = self.client.images.get(reference).attrs["RepoDigests"]
                digest = next((entry.partition("@")[2] for entry in digests if local.is_of(entry, reference)), "")
                self.progress.line(f"  ! {'; '.join(tried)}: the {name} that the engine has is used", "yellow")
                return f"{reference}@{digest}" if digest else reference
        raise SetupError(
            f"The image {name} cannot be had: {'; '.join(tried)}",
            f"Correct its name, see to its registry ({_log_in(name)}), or give docker.mirror in the stack file.",
        )

    def _candidates(self, image: Image) -> list[tuple[str, str]]:
        """Return host and reference of every registry that may have an image, the official one first."""
        reference = image.reference if has_registry(image.reference) else f"docker.io/{image.reference}"
        candidates = [(reference.split("/", 1)[0], reference)]
        if self.mirror:
            mirrored = f"{self.mirror}/{reference.partition('@')[0].split('/', 1)[1]}"
            candidates += [(self.mirror, f"{mirrored}@{image.digest}")] if image.digest else []
            # A mirror with one architecture, or with its own builds, has other digests: pin what is pulled.
            candidates += [(self.mirror, mirrored)]
        return candidates

    def _ensure_pulled(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Return name → reference in Docker, for images that come from a registry; pull those that are missing."""
        local = LocalImages.of(self.client)
        remembered = self._remembered()
        references, missing = {}, {}
        for name, image in images.items():
            before = self._remembered_reference(name, image, remembered.get(name))
            if local.has(image.reference):
                references[name] = image.reference
            elif before and local.has(before):
                references[name] = before
            else:
                missing[name] = image
        if missing:
            fetched = self._fetch(missing)
            # The images of a replacement are remembered under their own names by the call that fetched them.
            requested = {name: reference for name, reference in fetched.items() if name in missing}
            self._remember({name: (missing[name], reference) for name, reference in requested.items()})
            references |= fetched
        return references

    def _fetch(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Pull the images that a registry has and build the others with the image kit."""
        reasons = self._unreachable(images.values())
        for host, reason in reasons.items():
            if reason:
                self.progress.line(f"  · {host} cannot be reached: {reason}", style="yellow")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(lambda name: self._pull_first(name, images[name], reasons), images)
            outcomes = dict(zip(images, results, strict=True))
        pulled = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, str)}
        missing = {name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, str)}
        return pulled | self._from_kit(missing)

    def _unreachable(self, images: Iterable[Image]) -> dict[str, str]:
        """Return host → why it cannot be reached, empty when it can, for every registry that may have an image."""
        hosts = sorted({host for image in images for host, _ in self._candidates(image)})
        # A remote Docker, or one behind a proxy, reaches other registries than this machine: let it try all of them.
        return reachable(hosts) if hosts and self._shares_our_network() else dict.fromkeys(hosts, "")

    def _shares_our_network(self) -> bool:
        if not self.docker_host.startswith(("unix:", "npipe:")):
            return False
        about = self.client.info()
        return not (about.get("HttpProxy") or about.get("HttpsProxy"))

    def _pull_first(self, name: str, image: Image, reasons: Mapping[str, str]) -> str | list[str]:
        """Pull an image from the first registry that has it; return its reference, or the reason of each failure."""
        tried = []
        for host, reference in self._candidates(image):
            if reasons[host]:
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
        stood_in = {
            name: SUBSTITUTES[name] for name in missing if name in SUBSTITUTES and not self.kit.has_recipe(name)
        }
        if stood_in:
            for name, (store, _) in stood_in.items():
                self.progress.line(f"  · {name} cannot be had here: {store} runs in its place", style="yellow")
            substitutes = {image for _, images in stood_in.values() for image in images}
            rest = {name: tried for name, tried in missing.items() if name not in stood_in}
            pulled = self._ensure_pulled({name: self.table.images[name] for name in sorted(substitutes)})
            return pulled | self._from_kit(rest)
        for name, tried in missing.items():
            if not self.kit.has_recipe(name):
                raise SetupError(
                    f"The image {name} cannot be had: {'; '.join(tried)}; the image kit has no recipe for it",
                    "Give a registry that has it: docker.mirror in the stack file.",
                )
        registry = ensure_registry(self.work, self.progress)
        return self.kit.build(list(missing), registry, self._pull_from_kit)

    def _pull_from_kit(self, name: str, reference: str) -> None:
        with self.progress.step(f"Image {name}") as step:
            try:
                pull(self.client, reference, step.say)
            except PullError as error:
                raise SetupError(
                    f"The engine at {self.docker_host} cannot pull {reference}: {error}",
                    "The image kit's registry listens on this machine's loopback; the engine must run here too.",
                ) from error
            step.outcome = f"from the image kit: {reference.partition('@')[0]}"

    def _remembered_reference(self, name: str, image: Image, answer: Mapping[str, str] | None) -> str | None:
        """Return the reference remembered from an earlier run, None when image, mirror or recipe has changed since."""
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


def _log_in(reference: str) -> str:
    host = reference.split("/", 1)[0] if has_registry(reference) else ""
    return f"docker login {host}".strip()
