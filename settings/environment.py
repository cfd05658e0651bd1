"""A product as one environment runs it: the stack file's settings merged over the product file's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from settings.base import Model, merge_settings
from settings.problems import Lines, Problem, from_validation, spell
from settings.product import SHARED, Product, Shared
from settings.stack import Stack
from settings.stores import apply_postgres_override, apply_redis_override


def apply_stack_overrides(
    product: Product, stack: Stack, file: str, lines: Lines, namespace: str
) -> tuple[Product, list[Problem]]:
    """Return the product as this environment runs it, and the problems of stack settings that do not fit it."""
    problems: list[Problem] = []

    def attempt(place: list[str], model: type[Model], build: Callable[[], Any], fallback: Any) -> Any:
        try:
            return build()
        except ValidationError as error:
            # Without a place, `model` holds whole sections, and the error's own path names the section.
            head, *rest = place or [""]
            prefix = ("config", f"{namespace}{head}", *rest, *([""] if place else []))
            problems.extend(from_validation(error, model, file, lines, prefix))
            return fallback

    changed: dict[str, Any] = {"services": {**product.services}, "jobs": {**product.jobs}}
    for name, override in stack.services.items():
        kind = next((kind for kind, workloads in changed.items() if name in workloads), None)
        if kind is None:
            path = ["config", f"{namespace}services", name]
            choices = ", ".join(sorted(product.workloads))
            problems.append(Problem(file, ".".join(path), spell(name), f"one of {choices}", line=lines.find(path)))
            continue
        declared = changed[kind][name]
        changed[kind][name] = attempt(
            ["services", name], type(declared), partial(override.applied_to, declared), declared
        )
    stores: list[tuple[str, Model | None, Callable[..., Any]]] = [
        ("postgres", stack.postgres, apply_postgres_override),
        ("redis", stack.redis, apply_redis_override),
    ]
    for store, store_override, apply in stores:
        declared = getattr(product, store)
        if store_override is None:
            continue
        if declared is None:
            path = ["config", f"{namespace}{store}"]
            problems.append(
                Problem(file, ".".join(path), f"settings of {store}", f"a product with {store}", "", lines.find(path))
            )
            continue
        changed[store] = attempt([store], type(declared), partial(apply, declared, store_override), declared)
    product_sections = Shared.model_validate(
        {name: _set_fields(product, name) for name in SHARED if name in product.model_fields_set}
    )
    for section in SHARED:
        stack_section = Shared.model_validate(
            {section: _set_fields(stack, section)} if section in stack.model_fields_set else {}
        )
        sections = attempt([], Shared, partial(merge_settings, product_sections, stack_section), product_sections)
        changed[section] = getattr(sections, section)
    changed["backups"] = changed["backups"].in_environment(stack.environment)
    return _without_disabled(product.model_copy(update=changed)), problems


def complete_partial_receivers(values: Mapping[str, Any], product_values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a stack file's values with each partial receiver completed from the product file.

    A receiver can be validated only as a whole.
    """
    overrides, receivers = _receivers(values), _receivers(product_values)
    completed = {
        name: {**receivers[name], **override}
        for name, override in overrides.items()
        if _is_partial(override, receivers.get(name))
    }
    if not completed:
        return values
    return {**values, "alerts": {**values["alerts"], "receivers": {**overrides, **completed}}}


def _receivers(values: Mapping[str, Any]) -> Mapping[str, Any]:
    alerts = values.get("alerts")
    receivers = alerts.get("receivers") if isinstance(alerts, Mapping) else None
    return receivers if isinstance(receivers, Mapping) else {}


def _is_partial(override: Any, receiver: Any) -> bool:
    return (
        isinstance(override, Mapping)
        and isinstance(receiver, Mapping)
        and override.get("type", receiver.get("type")) == receiver.get("type")
    )


def _set_fields(model: Model, section: str) -> Any:
    return model.model_dump(exclude_unset=True, include={section})[section]


def _without_disabled(product: Product) -> Product:
    """Drop disabled workloads, and remove them from others' `after`."""
    disabled = {name for name, workload in product.workloads.items() if not workload.enabled}
    if not disabled:
        return product

    def enabled(workloads: dict[str, Any]) -> dict[str, Any]:
        return {
            name: workload.model_copy(update={"after": [before for before in workload.after if before not in disabled]})
            for name, workload in workloads.items()
            if name not in disabled
        }

    publish = {name: port for name, port in product.publish.items() if name not in disabled}
    return product.model_copy(
        update={"services": enabled(product.services), "jobs": enabled(product.jobs), "publish": publish}
    )
