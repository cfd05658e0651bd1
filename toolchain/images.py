"""Make every image of a stack available in Docker: pulled, taken from a mirror, or built by the image kit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import docker
from docker.errors import DockerException
from pydantic import ValidationError

from machine.files import write_file
from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from offline.kit.build import Kit
from offline.registry import ensure_registry
from settings.images import Image, ImageTable, load_images
from settings.workload import Build
from toolchain.builds import bases_of, ensure_built
from toolchain.folder_image import ensure_folder_image
from toolchain.pulling import LocalImages, PullError, digest_now, has_registry, local_digest, pull, reachable

SUBSTITUTES = {"loki": ("victorialogs", ("victorialogs", "vmalert"))}
"""Image that the kit must not build (AGPL) → the log store to run instead when it cannot be pulled, and its images."""

AT_ONCE = 3
"""Number of images pulled in parallel; each pulls its layers in parallel as well."""


def substitute_log_store(requested: Sequence[str], images: Mapping[str, str]) -> str | None:
    """Return the log store that replaces the requested one, None when the requested one is available.

    `images` is the result of `Images.ensure`.
    """
    return next(
        (store for name, (store, needed) in SUBSTITUTES.items() if name in requested and {*needed} <= {*images}), None
    )


@dataclass
class Images:
    """The images of a checkout in the Docker engine at `docker_host`; `mirror` is `host[:port][/prefix]`.

    Raises SetupError when the engine does not answer.
    """

    work: WorkDir
    progress: Progress
    docker_host: str
    mirror: str | None = None
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
        """Make sure that Docker has the images of `names`: keys of components/images.yaml, references, or `builds`.

        Each image is taken from the first of these sources that has it: Docker itself, the official registry, the
        mirror, the image kit. Each registry is asked once, and only when an image is missing. Exception: a reference
        with a tag and no digest is resolved each time, since a tag can move. The images of `builds` (name → build
        settings) are built here unless they exist.

        Returns name → reference to run, for names whose reference differs from the one of the table and the mirror.
        References to a tag, a mirror or the kit's registry are pinned to the digest that was pulled. When an image
        cannot be pulled and another program replaces it (SUBSTITUTES), the result has the images of that program.
        Raises SetupError when an image is not available, naming every source that was tried.
        """
        built = {name: builds[name] for name in names if name in builds}
        bases = {name: bases_of(self.work.checkout, build, self.table.images) for name, build in built.items()}
        images = {name: image for name in names if name not in built and (image := self._image(name))}
        pulled = {name: image for name, image in images.items() if not image.build}
        base_names = {image.base for image in images.values() if image.base}.union(*bases.values())
        pulled |= {base: self.table.images[base] for base in sorted(base_names - pulled.keys())}
        moving = {
            name: image for name, image in pulled.items() if name not in self.table.images and image.digest is None
        }
        references = self._ensure_pulled({name: image for name, image in pulled.items() if name not in moving})
        references |= self._resolve_tags(moving)
        for name, image in images.items():
            if image.build and image.base:
                folder, base = self.work.checkout / image.build, references[image.base]
                references[name] = ensure_folder_image(self.work, self.progress, self.client, name, folder, base)
        for name, build in built.items():
            base_references = {base: references[base] for base in bases[name]}
            references[name] = ensure_built(self.work, self.progress, self.client, name, build, base_references)
        replaced = images.keys() & SUBSTITUTES.keys() - references.keys()
        requested = images.keys() | {substitute for name in replaced for substitute in SUBSTITUTES[name][1]}
        return {
            name: reference
            for name, reference in references.items()
            if name in built or (name in requested and reference != self.table.reference(name, self.mirror))
        }

    def ensure_references(self, references: Sequence[str]) -> None:
        """Make sure that Docker has exactly these images: those of an earlier release.

        Raises SetupError naming the first image that is no longer available.
        """
        local = LocalImages.of(self.client)
        for reference in sorted({reference for reference in references if not local.has(reference)}):
            if not has_registry(reference):
                raise SetupError(
                    f"The image {reference} of that release was built here and is no longer in the engine",
                    "Restore its sources as they were, then run `up`.",
                )
            if reference.startswith("127.0.0.1:"):
                ensure_registry(self.work, self.progress)
            failure = f"The image {reference} of that release is not available"
            remedy = f"Load it, log in to its registry ({_log_in(reference)}), or return to another release."
            self._pull_or_fail(reference, reference, "pulled", failure, remedy)

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

        def resolve(name: str, reference: str) -> str:
            pinned = f"{reference}@{digest_now(self.client, reference)}"
            return pinned if local.has(pinned) else self._pull(name, reference, "pulled {pinned}")

        resolved, failures = self._ask_registries(remote, self._unreachable(remote.values()), resolve)
        references |= resolved
        for name, reasons in failures.items():
            references[name] = self._local_reference(name, remote[name], reasons, local)
        return references

    def _local_reference(self, name: str, image: Image, reasons: Sequence[str], local: LocalImages) -> str:
        """Return the reference of the image that Docker has for a tag that no registry serves.

        Raises SetupError when Docker does not have it.
        """
        for _, reference in self._candidates(image):
            if local.has(reference):
                digest = local_digest(self.client, reference)
                self.progress.line(f"  ! {'; '.join(reasons)}: using the {name} that the engine has", "yellow")
                return f"{reference}@{digest}" if digest else reference
        raise SetupError(
            f"The image {name} is not available: {'; '.join(reasons)}",
            f"Correct its name, log in to its registry ({_log_in(name)}), or set docker.mirror in the stack file.",
        )

    def _ensure_pulled(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Return name → reference in Docker, for images that come from a registry; pull those that are missing."""
        local = LocalImages.of(self.client)
        remembered = self._remembered()
        references, missing = {}, {}
        for name, image in images.items():
            candidates = (image.reference, self._remembered_reference(name, image, remembered.get(name)))
            if available := [reference for reference in candidates if reference and local.has(reference)]:
                references[name] = available[0]
            else:
                missing[name] = image
        if missing:
            fetched = self._fetch(missing)
            # The images of a replacement are remembered under their own names by the call that fetched them.
            self._remember({name: (missing[name], fetched[name]) for name in missing if name in fetched})
            references |= fetched
        return references

    def _fetch(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Pull the images that a registry has and build the others with the image kit."""
        unreachable = self._unreachable(images.values())
        for sentence in filter(None, unreachable.values()):
            self.progress.line(f"  · {sentence}", style="yellow")

        def fetch(name: str, reference: str) -> str:
            try:
                pinned = self._pull(name, reference, "pulled {reference}")
            except PullError as error:
                self.progress.line(f"  · {reference} cannot be pulled: {error}", style="yellow")
                raise
            return reference if reference == images[name].reference else pinned

        # Why a registry cannot be reached has been printed.
        short = {host: sentence.partition(": ")[0] for host, sentence in unreachable.items()}
        pulled, failures = self._ask_registries(images, short, fetch)
        return pulled | self._from_kit(failures)

    def _ask_registries(
        self, images: Mapping[str, Image], unreachable: Mapping[str, str], fetch: Callable[[str, str], str]
    ) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Try the registries that may have an image in turn, for several images in parallel.

        `fetch` is called with the name and a reference, and returns the reference to run or raises PullError.
        Returns name → reference, and for the images that no registry has, name → reasons.
        """

        def ask(name: str) -> str | list[str]:
            reasons: dict[str, None] = {}
            for host, reference in self._candidates(images[name]):
                if unreachable[host]:
                    reasons[unreachable[host]] = None
                    continue
                try:
                    return fetch(name, reference)
                except PullError as error:
                    reasons[f"{reference}: {error}"] = None
            return [*reasons]

        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = dict(zip(images, pool.map(ask, images), strict=True))
        references = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, str)}
        return references, {name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, str)}

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

    def _unreachable(self, images: Iterable[Image]) -> dict[str, str]:
        """Return host → why it cannot be reached, empty when it can, for every registry that may have an image."""
        hosts = sorted({host for image in images for host, _ in self._candidates(image)})
        # A remote Docker, or one behind a proxy, reaches other registries than this machine: let it try all of them.
        reasons = reachable(hosts) if hosts and self._shares_our_network() else dict.fromkeys(hosts, "")
        return {host: reason and f"{host} cannot be reached: {reason}" for host, reason in reasons.items()}

    def _shares_our_network(self) -> bool:
        if not self.docker_host.startswith(("unix:", "npipe:")):
            return False
        about = self.client.info()
        return not (about.get("HttpProxy") or about.get("HttpsProxy"))

    def _from_kit(self, missing: Mapping[str, Sequence[str]]) -> dict[str, str]:
        if not missing:
            return {}
        without_recipe = [name for name in missing if not self.kit.has_recipe(name)]
        for name in without_recipe:
            if name not in SUBSTITUTES:
                raise SetupError(
                    f"The image {name} is not available: {'; '.join(missing[name])}; the image kit has no recipe",
                    "Set docker.mirror in the stack file to a registry that has it.",
                )
            self.progress.line(f"  · {name} is not available here: {SUBSTITUTES[name][0]} runs instead", "yellow")
        substitutes = {image for name in without_recipe for image in SUBSTITUTES[name][1]}
        references = self._ensure_pulled({name: self.table.images[name] for name in sorted(substitutes)})
        if buildable := [name for name in missing if name not in without_recipe]:
            registry = ensure_registry(self.work, self.progress)
            references |= self.kit.build(buildable, registry, self._pull_from_kit)
        return references

    def _pull_from_kit(self, name: str, reference: str) -> None:
        failure = f"The engine at {self.docker_host} cannot pull {reference}"
        remedy = "The image kit's registry listens on this machine's loopback; the engine must run here too."
        self._pull_or_fail(name, reference, f"from the image kit: {reference.partition('@')[0]}", failure, remedy)

    def _pull(self, title: str, reference: str, outcome: str) -> str:
        """Pull an image as a step; return its pinned reference. Raises PullError."""
        with self.progress.step(f"Image {title}") as step:
            pinned = pull(self.client, reference, step.say)
            step.outcome = outcome.format(reference=reference, pinned=pinned)
        return pinned

    def _pull_or_fail(self, title: str, reference: str, outcome: str, failure: str, remedy: str) -> None:
        """Pull an image as a step that fails with a SetupError."""
        with self.progress.step(f"Image {title}") as step:
            try:
                pull(self.client, reference, step.say)
            except PullError as error:
                raise SetupError(f"{failure}: {error}", remedy) from error
            step.outcome = outcome

    def _remembered_reference(self, name: str, image: Image, answer: Mapping[str, str] | None) -> str | None:
        """Return the reference remembered from an earlier run, None when image, mirror or recipe has changed since."""
        same = answer and answer["of"] == image.reference and answer["mirror"] == (self.mirror or "")
        # Only a record of the kit needs the kit's digest, which needs dpkg.
        current = answer and same and (not answer["kit"] or answer["kit"] == self.kit.digest(name))
        return answer["reference"] if answer and current else None

    def _remembered(self) -> dict[str, dict[str, str]]:
        try:
            return dict(json.loads((self.work.root / "images.json").read_text()))
        except (OSError, ValueError):
            return {}

    def _remember(self, fetched: Mapping[str, tuple[Image, str]]) -> None:
        entries = self._remembered()
        for name, (image, reference) in fetched.items():
            digest = self.kit.digest(name) if reference.startswith("127.0.0.1:") else None
            entries[name] = {
                "of": image.reference,
                "mirror": self.mirror or "",
                "kit": digest if digest and reference.endswith(digest) else "",
                "reference": reference,
            }
        write_file(self.work.root / "images.json", json.dumps(entries, indent=1))


def _log_in(reference: str) -> str:
    host = reference.split("/", 1)[0] if has_registry(reference) else ""
    return f"docker login {host}".strip()
