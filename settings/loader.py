"""Reads a stack and its product into typed settings, or says everything that is wrong with them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from settings.base import Model
from settings.checks import check_together
from settings.images import ImageTable, load_images
from settings.machine import Machine, read_machine
from settings.problems import NOTHING, Lines, Problem, SettingsError, from_validation, spell
from settings.product import Product
from settings.stack import Stack

NAMESPACE = "dockyard:"
GENERATED_SECRETS = ("grafana-admin-password", "postgres-password", "redis-password")
"""Made by Dockyard unless they are given."""

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """All that the program builds from."""

    stack_name: str
    stack: Stack
    product: Product
    images: ImageTable
    machine: Machine
    missing_secrets: tuple[Problem, ...] = ()
    """Secrets that nobody gave, where the stack lets a preview go on without them."""

    def image(self, name: str) -> str:
        """Return the reference to run for a key of components/images.yaml, or for a full reference.

        What this machine recorded wins; then the stack's mirror; then the official reference.
        """
        if name in self.machine.images:
            return self.machine.images[name]
        return self.images.reference(name, mirror=self.stack.docker.mirror)

    def port(self, name: str) -> int | None:
        """Return the port on the host's loopback address that `name` is published on, None if it is not."""
        port = self.stack.publish.get(name)
        return None if port is None else port + self.machine.port_offset

    @property
    def image_names(self) -> list[str]:
        """Everything in the table of images that this stack runs, for fetching before an `up`."""
        wanted = ["busybox", "prometheus", "alertmanager", "grafana", "node-exporter", "cadvisor"]
        if self.product.postgres:
            wanted += ["postgres", "postgres-exporter"]
        if self.product.redis:
            wanted += ["redis", "redis-exporter"]
        if self.stack.tunnel:
            wanted += ["cloudflared"]
        return wanted + sorted({workload.image for workload in self.product.workloads.values()})


@dataclass(frozen=True)
class Configuration:
    """The `dockyard:` keys of a stack: plain values, and the names of those that are secret."""

    values: Mapping[str, Any]
    secrets: frozenset[str]


def read_stack_file(checkout: Path, stack_name: str) -> Configuration:
    """Read a stack's own file, without the engine.

    Raises SettingsError when there is no such stack or its file is no YAML.
    """
    file = checkout / f"Pulumi.{stack_name}.yaml"
    if not file.exists():
        known = sorted(path.name.split(".")[1] for path in checkout.glob("Pulumi.*.yaml"))
        raise SettingsError(
            [Problem(file.name, "(file)", NOTHING, "a stack file", f"Known stacks: {', '.join(known)}.")]
        )
    config = _read_yaml(file, file.name).get("config") or {}
    own = {key.removeprefix(NAMESPACE): value for key, value in config.items() if key.startswith(NAMESPACE)}
    secrets = {key for key, value in own.items() if isinstance(value, dict) and set(value) == {"secure"}}
    return Configuration({key: own[key] for key in own.keys() - secrets}, frozenset(secrets))


def from_engine(config: Mapping[str, str], secret_keys: frozenset[str]) -> Configuration:
    """Take the configuration as the engine hands it to the program: text, objects as JSON.

    `secret_keys` are never read here, so that no secret can end up in a model or a message.
    """
    own = {key: value for key, value in config.items() if key.startswith(NAMESPACE)}
    return Configuration(
        {key.removeprefix(NAMESPACE): _decode(own[key]) for key in own.keys() - secret_keys},
        frozenset(key.removeprefix(NAMESPACE) for key in own.keys() & secret_keys),
    )


def load(
    configuration: Configuration, stack_name: str, *, checkout: Path = CHECKOUT, preview: bool = False
) -> Settings:
    """Return the settings of a stack. Raises SettingsError with every problem of both files."""
    stack_file = f"Pulumi.{stack_name}.yaml"
    lines = Lines.of(checkout / stack_file)
    problems: list[Problem] = []
    product = None

    problems += _secrets_in_the_open(configuration, lines, stack_file)
    stack, wrong = _load_stack(configuration.values, stack_file, lines)
    problems += wrong
    product_path = configuration.values.get("product")
    if isinstance(product_path, str):
        product, wrong = _load_product(checkout, product_path, stack_file, lines)
        problems += wrong
    images = load_images(checkout / "components" / "images.yaml")
    missing = _missing_secrets(stack, configuration, stack_name, lines) if stack else []
    if stack and product:
        product, wrong = _with_overrides(product, stack, stack_file, lines)
        problems += wrong
        problems += check_together(stack, product, images, stack_file, lines, str(product_path), checkout)
        problems += _unused_secrets(stack, product, configuration, stack_file, lines)
    if problems or not (stack and preview and stack.preview_without_secrets):
        problems += missing
    if problems or stack is None or product is None:
        raise SettingsError(problems)
    machine = read_machine(checkout / ".dockyard" / "machine.yaml")
    return Settings(stack_name, stack, product, images, machine, tuple(missing))


def _load_stack(values: Mapping[str, Any], file: str, lines: Lines) -> tuple[Stack | None, list[Problem]]:
    """Return the stack and its problems; what is wrong is left out of it, so that the rest can still be checked."""
    try:
        return Stack.model_validate(values), []
    except ValidationError as error:
        problems = from_validation(error, Stack, file, lines, ("config", NAMESPACE))
        wrong = {detail["loc"][0] for detail in error.errors(include_url=False)}
    try:
        return Stack.model_validate({key: value for key, value in values.items() if key not in wrong}), problems
    except ValidationError:
        # Something required is wrong or missing, and that has been told.
        return None, problems


def _load_product(
    checkout: Path, path: str, stack_file: str, stack_lines: Lines
) -> tuple[Product | None, list[Problem]]:
    file = checkout / path
    if not file.is_file():
        known = sorted(str(found.relative_to(checkout)) for found in checkout.glob("products/*.yaml"))
        line = stack_lines.find(["config", "dockyard:product"])
        remedy = f"Products here: {', '.join(known)}."
        return None, [Problem(stack_file, "config.dockyard:product", spell(path), "a product file", remedy, line)]
    try:
        return Product.model_validate(_read_yaml(file, path)), []
    except ValidationError as error:
        return None, from_validation(error, Product, path, Lines.of(file))
    except SettingsError as error:
        return None, list(error.problems)


def _read_yaml(file: Path, name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        found = getattr(error, "problem", None) or "text that is no YAML"
        line = mark.line + 1 if mark else None
        raise SettingsError([Problem(name, "(file)", found, "YAML", line=line)]) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError([Problem(name, "(file)", spell(content), "a mapping of keys to values")])
    return content


def _decode(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _secrets_in_the_open(configuration: Configuration, lines: Lines, file: str) -> list[Problem]:
    return [
        Problem(
            file,
            f"config.{NAMESPACE}{key}",
            "a secret",
            "a plain value",
            "Only secrets that settings refer to by name are set with --secret.",
            lines.find(["config", f"{NAMESPACE}{key}"]),
        )
        for key in sorted(configuration.secrets & Stack.model_fields.keys())
    ]


def _missing_secrets(stack: Stack, configuration: Configuration, stack_name: str, lines: Lines) -> list[Problem]:
    return [
        Problem(
            f"Pulumi.{stack_name}.yaml",
            f"config.{NAMESPACE}{name}",
            NOTHING,
            f"the secret that {NAMESPACE}{place} names",
            f"Set it: pulumi config set --secret {NAMESPACE}{name} -s {stack_name}",
            lines.find(["config", *f"{NAMESPACE}{place}".split(".")]),
        )
        for name, place in stack.secrets.items()
        if name not in configuration.secrets
    ]


def _unused_secrets(
    stack: Stack, product: Product, configuration: Configuration, file: str, lines: Lines
) -> list[Problem]:
    """A secret that nothing asks for is a mistyped name, as a rule, and something goes without its secret."""
    known = sorted({*stack.secrets, *product.secrets, *GENERATED_SECRETS})
    return [
        Problem(
            file,
            f"config.{NAMESPACE}{name}",
            "a secret that nothing asks for",
            f"one of {', '.join(known)}",
            f"Remove it: pulumi config rm {NAMESPACE}{name}",
            lines.find(["config", f"{NAMESPACE}{name}"]),
        )
        for name in sorted(configuration.secrets - {*known, *Stack.model_fields})
    ]


def _with_overrides(product: Product, stack: Stack, file: str, lines: Lines) -> tuple[Product, list[Problem]]:
    """Return the product as this environment runs it."""
    problems = []
    changed: dict[str, dict[str, Model]] = {"services": {**product.services}, "jobs": {**product.jobs}}
    for name, override in stack.services.items():
        kind = next((kind for kind, found in changed.items() if name in found), None)
        if kind is None:
            where = ["config", f"{NAMESPACE}services", name]
            known = ", ".join(sorted(product.workloads))
            problems.append(Problem(file, ".".join(where), spell(name), f"one of {known}", line=lines.find(where)))
            continue
        said = {key: getattr(override, key) for key in override.model_fields_set}
        if "env" in said:
            said["env"] = {**product.workloads[name].env, **override.env}
        changed[kind][name] = changed[kind][name].model_copy(update=said)
    return product.model_copy(update=changed), problems
