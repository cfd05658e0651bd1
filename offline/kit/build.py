"""Build the kit's images and push them to the local registry."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from machine.files import write_file
from machine.lock import locked
from machine.progress import Progress, Say, SetupError
from machine.workdir import WorkDir
from offline.debian import Package, Suite, architecture
from offline.kit.layers import Layer, Owner, configuration, pack
from offline.kit.programs import add_program, is_compiled
from offline.kit.recipes import RECIPES, Recipe
from offline.kit.tree import BASE_OWNERS, base_tree, check, compile_python, image_tree
from offline.registry import Registry
from settings.images import ImageTable

LANES = 2
"""Number of package-based images built in parallel, next to one that is compiled: Go uses all cores by itself, while
these mostly download, unpack and pack."""

KIT = Path(__file__).parent
LAYER_CODE = ("layers.py", "programs.py", "tree.py")
"""The modules that decide which bytes a layer contains: a change of one rebuilds every image."""


@dataclass(frozen=True)
class Part:
    """A finished layer, the folder that it was packed from, and its packages."""

    layer: Layer
    tree: Path
    packages: Mapping[str, str]
    """Package → upstream version."""


@dataclass
class Kit:
    """The image kit on this machine. Its results are in the shared cache, named by the recipes' digests."""

    work: WorkDir
    progress: Progress
    table: ImageTable

    def has_recipe(self, name: str) -> bool:
        """Tell whether the kit can build this image at all."""
        return name in RECIPES

    def digest(self, name: str) -> str | None:
        """Return the digest of the image as built by the current recipe, None without a recipe or before its build."""
        record = self._record(name) if self.has_recipe(name) else None
        return record.read_text() if record and record.exists() else None

    def build(self, names: Sequence[str], registry: Registry, use: Callable[[str, str], None]) -> dict[str, str]:
        """Build the named images that are not built yet and return name → pinned reference.

        `use` is called with the name and the reference of each image as soon as it is finished, while others are built.
        If another process builds an image, this one waits for that image only.
        Raises SetupError at the first image that cannot be built; images finished by then are kept.
        """

        def provide(name: str) -> tuple[str, str]:
            image, digest = self.table.images[name], self._ensure(name, registry)
            reference = f"{registry.host}/{image.path}:{image.tag}@{digest}"
            use(name, reference)
            return name, reference

        compiled = [name for name in names if is_compiled(KIT / RECIPES[name].program)]
        packaged = [name for name in names if name not in compiled]
        with ThreadPoolExecutor(1) as compiler, ThreadPoolExecutor(LANES) as packager:
            jobs = [compiler.submit(provide, name) for name in compiled]
            jobs += [packager.submit(provide, name) for name in packaged]
            try:
                return dict(job.result() for job in as_completed(jobs))
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise

    def _ensure(self, name: str, registry: Registry) -> str:
        """Build an image unless the registry has it; return its digest."""
        if digest := self._stored_digest(name, registry):
            return digest
        lock = self.work.cache / "kit" / "images" / f"{name}.lock"
        with self.progress.step(f"Image kit: {name}") as step, locked(lock, step.say):
            if digest := self._stored_digest(name, registry):
                step.outcome = "built by another dockyard meanwhile"
                return digest
            try:
                digest, step.outcome = self._publish(name, registry, step.say)
                return digest
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                remedy = f"Free disk space below {self.work.cache}"
                raise SetupError(f"The disk is full: {name} cannot be built", remedy) from error

    def _stored_digest(self, name: str, registry: Registry) -> str | None:
        digest = self.digest(name)
        return digest if digest and registry.has(self.table.images[name].path, digest) else None

    def _publish(self, name: str, registry: Registry, say: Say) -> tuple[str, str]:
        """Build an image and push it to the registry; return its digest, and what it contains."""
        recipe, image = RECIPES[name], self.table.images[name]
        parts = self._parts(name, say)
        package = recipe.carries or next(iter(recipe.packages), "")
        version = {k: v for part in parts for k, v in part.packages.items()}.get(package, "")
        carries = f"{package} {version}".strip() or recipe.program
        labels = {
            "dockyard.kit": "built by Dockyard's image kit; not the official image",
            "dockyard.kit.stands-for": image.image or "",
            "dockyard.kit.carries": carries,
        }
        layers = [part.layer for part in parts]
        config = configuration(recipe.runtime, layers, labels, architecture())
        digest = registry.push(image.path, image.tag, config, layers)
        if all(recipe.on != name for recipe in RECIPES.values()):
            shutil.rmtree(parts[-1].tree.parent)  # it is in the registry now, and no other image is built on it
        write_file(self._record(name), digest)
        return digest, f"{carries}, {sum(layer.size for layer in layers) / 1e6:.0f} MB"

    def _parts(self, name: str, say: Say) -> list[Part]:
        """Return an image's layers from the base up."""
        recipe = RECIPES[name]
        below = self._parts(recipe.on, say) if recipe.on else [self._base(recipe.suite)] if recipe.suite else []
        part = self._part(name, recipe, recipe.owners, lambda tree: self._fill(recipe, below, tree, say))
        return [*below, part]

    def _base(self, suite: str) -> Part:
        return self._part(f"base-{suite}", None, BASE_OWNERS, lambda tree: base_tree(Suite(self.work, suite), tree))

    def _fill(self, recipe: Recipe, below: Sequence[Part], tree: Path, say: Say) -> list[Package]:
        trees = [part.tree for part in below]
        packages_below = {package for part in below for package in part.packages}
        packages = image_tree(recipe, Suite(self.work, recipe.suite), packages_below, trees, tree)
        if recipe.program:
            add_program(self.work, KIT / recipe.program, tree, recipe.program_folder, recipe.stamps, say)
        compile_python(recipe.compiles, [*trees, tree])
        check(recipe.checks, [*trees, tree])
        return packages

    def _part(
        self, name: str, recipe: Recipe | None, owners: Mapping[str, Owner], fill: Callable[[Path], list[Package]]
    ) -> Part:
        """Return one part; fill and pack it unless that is done, after removing what a killed process left."""
        folder = self.work.cache / "kit" / f"{name}-{self._digest_of(recipe)}"
        record, archive, tree = folder / "part.json", folder / "layer.tar.gz", folder / "tree"
        # Usually another thread of ours holds the lock, for the base of this image: do not announce the wait.
        with locked(folder.with_name(f"{folder.name}.lock"), lambda _: None):
            if not record.exists():
                shutil.rmtree(folder, ignore_errors=True)
                versions = {package.name: package.upstream for package in fill(tree)}
                layer = pack(tree, owners, archive)
                write_file(record, json.dumps([layer.digest, layer.diff_id, layer.size, versions]))
            *fields, versions = json.loads(record.read_text())
            return Part(Layer(archive, *fields), tree, versions)

    def _record(self, name: str) -> Path:
        recipe = RECIPES[name]
        state = [self.table.images[name].image or "", self._digest_of(recipe)]
        state += [self._digest_of(RECIPES[recipe.on])] if recipe.on else []
        digest = hashlib.sha256("\n".join(state).encode()).hexdigest()[:16]
        return self.work.cache / "kit" / "images" / f"{name}-{digest}"

    def _digest_of(self, recipe: Recipe | None) -> str:
        """Return a digest of the inputs of one part, except for package versions in Debian's archive.

        These are the code that fills and packs layers, the recipe (None for the base), and the files and the program
        that it names. Other recipes do not count, so that a change of one image does not rebuild the others.
        """
        state = hashlib.sha256(f"{architecture()}\n{recipe}".encode())
        paths = [KIT / name for name in LAYER_CODE]
        if recipe:
            paths += [KIT / "files" / name for name in recipe.files.values()]
        if recipe and recipe.program:
            paths += [path for path in (KIT / recipe.program).rglob("*") if path.is_file()]
        for path in sorted(path for path in paths if "__pycache__" not in path.parts):
            state.update(f"\n{path.relative_to(KIT)}\n".encode() + path.read_bytes())
        return state.hexdigest()[:16]
