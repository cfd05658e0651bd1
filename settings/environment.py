"""A product as one environment runs it: the stack file's values merged over the product file's, then validated once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from settings.problems import Problem, SettingsFile, YamlPath, format_value, from_validation
from settings.product import SHARED, Product, Shared


@dataclass(frozen=True)
class SettingsFiles:
    """The stack file and the product file of one stack."""

    stack: SettingsFile
    product: SettingsFile

    def owner(self, path: YamlPath) -> SettingsFile:
        """Return the file that sets the value at `path`, or the innermost section around it; the stack file wins."""
        for depth in range(len(path), 0, -1):
            for file in (self.stack, self.product):
                if file.contains(path[:depth]):
                    return file
        return self.stack if path and path[0] in SHARED else self.product

    def problem(self, path: YamlPath, actual: str, expected: str, remedy: str = "") -> Problem:
        """Return a problem of the value at `path`, located in the file that sets it."""
        return self.owner(path).problem(path, actual, expected, remedy)


def merge_product(files: SettingsFiles, overrides: Mapping[str, Any]) -> tuple[Shared, list[Problem]]:
    """Return the product with a stack's `overrides`, and every problem of the result.

    Where the product is missing or invalid, its valid shared sections are returned, so that they can be checked, too.
    """
    model = Shared if files.product.values is None else Product
    merged, problems = _merged(files, overrides)
    try:
        return model.model_validate(merged), problems
    except ValidationError as error:
        product_errors = _errors_of(files.product.values)

        def file_of(path: YamlPath, detail: Any) -> SettingsFile:
            # An error of a mapping that both files contribute to is the stack's, unless the product alone has it. So is
            # an error of a workload or store that is no mapping: an override cannot be merged into it.
            merged_whole = isinstance(detail["input"], Mapping) or (path[0] not in SHARED and len(path) <= 2)
            from_product = merged_whole and (detail["loc"], detail["msg"]) in product_errors
            return files.product if from_product else files.owner(path)

        problems += from_validation(error, model, file_of)
        sections = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
        invalid = sections | ({"services"} if "jobs" in sections else set())
    try:
        valid_overrides = {key: value for key, value in overrides.items() if key not in invalid}
        return model.model_validate(_merged(files, valid_overrides)[0]), problems
    except ValidationError:
        return Shared.model_validate({key: merged[key] for key in SHARED if key in merged.keys() - invalid}), problems


def in_environment(product: Product, environment: str) -> Product:
    """Return a product with its environment's defaults and without its disabled workloads, which no `after` names."""
    disabled = {name for name, workload in product.workloads.items() if not workload.enabled}
    changes: dict[str, Any] = {"backups": product.backups.in_environment(environment)}
    changes["publish"] = {name: port for name, port in product.publish.items() if name not in disabled}
    for kind, workloads in (("services", product.services), ("jobs", product.jobs)):
        changes[kind] = {
            name: workload.model_copy(update={"after": [before for before in workload.after if before not in disabled]})
            for name, workload in workloads.items()
            if name not in disabled
        }
    return product.model_copy(update=changes)


def _errors_of(product: Any) -> list[tuple[Any, str]]:
    try:
        Product.model_validate(product)
    except ValidationError as error:
        return [(detail["loc"], detail["msg"]) for detail in error.errors(include_url=False)]
    return []


def _merged(files: SettingsFiles, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the product's values with the overrides merged in, and the problems of those that override nothing."""
    product = files.product.values or {}
    merged = {**product, **{key: _deep_merge(product.get(key), overrides[key]) for key in SHARED if key in overrides}}
    problems: list[Problem] = []
    if files.product.values is None:
        return merged, problems
    workloads = {kind: product[kind] for kind in ("services", "jobs") if isinstance(product.get(kind), Mapping)}
    for name, override in overrides.get("services", {}).items():
        kind = next((kind for kind, declared in workloads.items() if name in declared), None)
        if kind is None:
            choices = ", ".join(sorted(str(name) for declared in workloads.values() for name in declared))
            problems.append(files.stack.problem(["services", name], format_value(name), f"one of {choices}"))
        else:
            merged[kind] = {**merged[kind], name: _override_fields(workloads[kind][name], override)}
    for store in ("postgres", "redis"):
        override = overrides.get(store)
        if override is not None and product.get(store) is None:
            problems.append(files.stack.problem([store], f"settings of {store}", f"a product with {store}"))
        elif override is not None:
            external = {"external": override["external"]} if override.get("external") else None
            merged[store] = external or _override_fields(product[store], override)
    return merged, problems


def _override_fields(declared: Any, override: Mapping[str, Any]) -> Any:
    """Replace the fields of a workload or store; only `env` and `settings` are merged.

    An `image` replaces a `build`, and vice versa.
    """
    if not isinstance(declared, Mapping):
        return declared  # which validation reports
    both = [key for key in ("env", "settings") if key in override and isinstance(declared.get(key), Mapping)]
    merged = {key: {**declared[key], **override[key]} for key in both}
    replaced = {replaced_key for key, replaced_key in (("image", "build"), ("build", "image")) if override.get(key)}
    return {**{key: value for key, value in declared.items() if key not in replaced}, **override, **merged}


def _deep_merge(declared: Any, override: Any) -> Any:
    """Merge mappings key by key; replace lists and scalars. An override of None resets a value."""
    if not isinstance(declared, Mapping) or not isinstance(override, Mapping):
        return override
    # Mappings of different `type` are not merged: their fields are unrelated.
    if override.get("type", declared.get("type")) != declared.get("type"):
        return override
    return {**declared, **{key: _deep_merge(declared.get(key), value) for key, value in override.items()}}
