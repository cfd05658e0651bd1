"""A product as one environment runs it: what the stack file says put on top of the product file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from settings.base import Model, merged
from settings.problems import Lines, Problem, from_validation, spell
from settings.product import SHARED, Product, Shared
from settings.stack import Stack
from settings.stores import postgres_here, redis_here


def as_run_here(
    product: Product, stack: Stack, file: str, lines: Lines, namespace: str
) -> tuple[Product, list[Problem]]:
    """Return the product as this environment runs it, and what of the stack file does not fit it."""
    problems: list[Problem] = []

    def attempt(place: list[str], model: type[Model], make: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return make()
        except ValidationError as error:
            # Without a place the model is that of whole sections, which the error names itself.
            head, *rest = place or [""]
            prefix = ("config", f"{namespace}{head}", *rest, *([""] if place else []))
            problems.extend(from_validation(error, model, file, lines, prefix))
            return otherwise

    changed: dict[str, Any] = {"services": {**product.services}, "jobs": {**product.jobs}}
    for name, override in stack.services.items():
        kind = next((kind for kind, found in changed.items() if name in found), None)
        if kind is None:
            where = ["config", f"{namespace}services", name]
            known = ", ".join(sorted(product.workloads))
            problems.append(Problem(file, ".".join(where), spell(name), f"one of {known}", line=lines.find(where)))
            continue
        was = changed[kind][name]
        changed[kind][name] = attempt(["services", name], type(was), partial(override.applied_to, was), was)
    stores: list[tuple[str, Model | None, Callable[..., Any]]] = [
        ("postgres", stack.postgres, postgres_here),
        ("redis", stack.redis, redis_here),
    ]
    for store, over, apply in stores:
        was = getattr(product, store)
        if over is None:
            continue
        if was is None:
            where = ["config", f"{namespace}{store}"]
            problems.append(
                Problem(file, ".".join(where), f"settings of {store}", f"a product with {store}", "", lines.find(where))
            )
            continue
        changed[store] = attempt([store], type(was), partial(apply, was, over), was)
    base = Shared.model_validate({name: _plain(product, name) for name in SHARED if name in product.model_fields_set})
    for section in SHARED:
        only = Shared.model_validate({section: _plain(stack, section)} if section in stack.model_fields_set else {})
        whole = attempt([], Shared, partial(merged, base, only), base)
        changed[section] = getattr(whole, section)
    changed["backups"] = changed["backups"].in_environment(stack.environment)
    return _without_disabled(product.model_copy(update=changed)), problems


def with_whole_receivers(values: Mapping[str, Any], product_values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a stack file's values with what the product file says of the receivers that it only changes: a receiver
    can be told right from wrong only as a whole."""
    changed, known = (_receivers(one) for one in (values, product_values))
    whole = {name: {**known[name], **said} for name, said in changed.items() if _only_changes(said, known.get(name))}
    if not whole:
        return values
    return {**values, "alerts": {**values["alerts"], "receivers": {**changed, **whole}}}


def _receivers(values: Mapping[str, Any]) -> Mapping[str, Any]:
    alerts = values.get("alerts")
    found = alerts.get("receivers") if isinstance(alerts, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _only_changes(said: Any, known: Any) -> bool:
    return (
        isinstance(said, Mapping)
        and isinstance(known, Mapping)
        and said.get("type", known.get("type")) == known.get("type")
    )


def _plain(model: Model, section: str) -> Any:
    return model.model_dump(exclude_unset=True, include={section})[section]


def _without_disabled(product: Product) -> Product:
    """Leave out what is not enabled; what waits for it does not wait."""
    off = {name for name, workload in product.workloads.items() if not workload.enabled}
    if not off:
        return product

    def kept(workloads: dict[str, Any]) -> dict[str, Any]:
        return {
            name: one.model_copy(update={"after": [before for before in one.after if before not in off]})
            for name, one in workloads.items()
            if name not in off
        }

    publish = {name: port for name, port in product.publish.items() if name not in off}
    return product.model_copy(
        update={"services": kept(product.services), "jobs": kept(product.jobs), "publish": publish}
    )
