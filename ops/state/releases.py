"""Releases other than that of the files: an earlier release, or the running one with one service changed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from machine.files import write_file
from machine.progress import SetupError
from machine.workdir import WorkDir
from ops.state.snapshot import State
from settings.loader import Settings
from settings.release import VARIABLE, Release
from settings.workload import Service


def running_release(state: State, stack: str) -> Release:
    """Return the running release. Raises SetupError if nothing runs, or a release of another version of Dockyard."""
    # After `down` the state keeps the data, and its outputs still name the previous release.
    if not state.instances:
        raise SetupError(f"the stack {stack} is not running", f"start it: ./dockyard up {stack}")
    try:
        return Release.model_validate(state.outputs["release"])
    except (KeyError, ValidationError) as error:
        raise SetupError(
            f"the state of the stack {stack} does not record the running release",
            f"deploy the whole stack: ./dockyard up {stack}",
        ) from error


def use(work: WorkDir, stack: str, release: Release) -> None:
    """Make this process, and the program that Pulumi runs in it, use a release in place of the files."""
    os.environ[VARIABLE] = str(write(work, stack, release))


def write(work: WorkDir, name: str, release: Release) -> Path:
    """Write a release to a file, and return the file. Several commands may write the same file at once."""
    file = work.root / "releases" / f"{name}.json"
    write_file(file, json.dumps({**release.model_dump(), "fresh": release.rerun_jobs}, indent=1))
    return file


def with_jobs(settings: Settings, service: str) -> list[str]:
    """Return a service or job, and the one-shot jobs that must run before it.

    Raises SetupError with the product's services and jobs if it has none of that name.
    """
    product = settings.product
    if service not in product.workloads:
        raise SetupError(
            f"{settings.stack.product} has no service or job {service} in the stack {settings.stack_name}",
            f"It has: {', '.join(sorted(product.workloads))}. `up` of the whole stack deploys stores and tools.",
        )
    names, queue = [], [service]
    while queue:
        name = queue.pop()
        names.append(name)
        after = product.services[name].after if name in product.services else product.jobs[name].after
        queue += [before for before in after if before in product.jobs and before not in names]
    return names


def workload_images(settings: Settings, names: list[str]) -> dict[str, str]:
    """Return workload → the name or reference of its image."""
    product = settings.product
    return {name: product.workloads[name].image_name(product.name, name) for name in names}


def with_service(running: Release, settings: Settings, names: list[str], references: Mapping[str, str]) -> Release:
    """Return the running release, with some workloads (`with_jobs`) as the files describe them.

    `references` maps each of these workloads to its image reference. Everything else stays as it runs.
    """
    stack, product, images = deepcopy(running.stack), deepcopy(running.product), dict(running.images)
    files = settings.release
    for name in names:
        kind = "services" if isinstance(settings.product.workloads[name], Service) else "jobs"
        product.setdefault(kind, {})[name] = deepcopy(files.product[kind][name])
        _copy_entry(stack, files.stack, "services", name)
        for section, source in ((stack, files.stack), (product, files.product)):
            _copy_entry(section, source, "publish", name)
    for name, image in workload_images(settings, names).items():
        reference, key = references[name], image
        if images.get(image, reference) != reference and _used_by_others(stack, product, image, names):
            # Other workloads keep the old image of the same name.
            _override(stack, name, image=reference)
            key = reference
        images[key] = reference
    return Release(stack=stack, product=product, images=images, fresh=names)


def _used_by_others(stack: Mapping[str, Any], product: Mapping[str, Any], image: str, names: list[str]) -> bool:
    overrides = _section(stack, "services")
    workloads = {**_section(product, "services"), **_section(product, "jobs")}
    return any(
        overrides.get(name, {}).get("image", workload.get("image")) == image
        for name, workload in workloads.items()
        if name not in names
    )


def without_service(running: Release, service: str, stack: str) -> Release:
    """Return the running release without one service or job. Raises SetupError if it has none of that name."""
    names = sorted({*_section(running.product, "services"), *_section(running.product, "jobs")})
    if service not in names:
        raise SetupError(
            f"the stack {stack} runs no service or job {service} of the product",
            f"It has: {', '.join(names)}. Remove a store or tool from the files.",
        )
    stack_values = dict(running.stack)
    _override(stack_values, service, enabled=False)
    return Release(stack=stack_values, product=running.product, images=running.images)


def _section(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return dict(values.get(key) or {})


def _override(stack_values: dict[str, Any], service: str, **settings: Any) -> None:
    overrides = _section(stack_values, "services")
    stack_values["services"] = {**overrides, service: {**overrides.get(service, {}), **settings}}


def _copy_entry(values: dict[str, Any], source: Mapping[str, Any], section: str, name: str) -> None:
    """Copy one entry of a section from `source`; remove it if `source` has none."""
    entries = {key: value for key, value in _section(values, section).items() if key != name}
    source_entries = _section(source, section)
    if name in source_entries:
        entries[name] = deepcopy(source_entries[name])
    if entries or section in values:
        values[section] = entries
