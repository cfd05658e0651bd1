"""Reads a stack and its product into typed settings, or says everything that is wrong with them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from settings.backups import KEY
from settings.build import Build
from settings.checks import check_together, placeholders, unheard_problems
from settings.environment import as_run_here, with_whole_receivers
from settings.images import ImageTable, load_images
from settings.log_store import on_log_store, other_log_store
from settings.machine import Machine, read_machine
from settings.point_in_time import KEY as POINT_IN_TIME_KEY
from settings.problems import LOADER, NOTHING, Lines, Problem, SettingsError, dotted, from_validation, spell
from settings.product import Product
from settings.release import Release, given_release, inlined
from settings.stack import Stack

NAMESPACE = "dockyard:"
GENERATED_SECRETS = ("grafana-admin-password", "postgres-password", "redis-password", KEY, POINT_IN_TIME_KEY)
"""Made by Dockyard unless they are given."""

CHECKOUT = Path(__file__).resolve().parent.parent
EDGE_HTTP, EDGE_HTTPS = "edge-http", "edge-https"
"""What the edge proxy's own ports are called among the published ones."""


@dataclass(frozen=True)
class Settings:
    """All that the program builds from."""

    stack_name: str
    stack: Stack
    product: Product
    """The product as this environment runs it."""

    images: ImageTable
    machine: Machine
    release: Release
    """What the files said, for the state's history."""

    rolled_back: bool = False
    """An earlier release runs in place of what the files say."""

    missing_secrets: tuple[Problem, ...] = ()
    """Secrets and identifiers that nobody gave, where the stack lets a preview go on without them."""

    warnings: tuple[Problem, ...] = ()
    """What is no reason to refuse."""

    def image(self, name: str) -> str:
        """Return the reference to run for a key of components/images.yaml, a full reference, or a built workload.

        What a rollback asks for wins; then what this machine recorded; then the stack's mirror; then the official
        reference.
        """
        if self.rolled_back and name in self.release.images:
            return self.release.images[name]
        if name in self.machine.images:
            return self.machine.images[name]
        if name in self.builds:
            return f"dockyard/{name}:built-here"
        return self.images.reference(name, mirror=self.product.docker.mirror)

    @property
    def builds(self) -> dict[str, Build]:
        """Image name → how it is built on this machine."""
        return {
            workload.image_name(self.product.name, name): workload.build
            for name, workload in self.product.workloads.items()
            if workload.build
        }

    def port(self, name: str) -> int | None:
        """Return the port on the host that `name` is published on, None if it is not."""
        port = self.wanted_ports.get(name)
        return None if port is None else port + self.machine.port_offsets.get(self.stack_name, 0)

    @property
    def wanted_ports(self) -> dict[str, int]:
        """Every port on the host that the stack asks for, before this machine's offset."""
        edge = self.product.edge
        ports = {EDGE_HTTP: edge.http, EDGE_HTTPS: edge.https} if self.product.routed else {}
        return {**self.product.publish, **ports}

    @property
    def image_names(self) -> list[str]:
        """Everything that this stack runs, for fetching before an `up`: keys of the table, or full references."""
        product = self.product
        wanted = ["busybox", "prometheus", "alertmanager", "grafana", "node-exporter", "cadvisor"]
        if product.monitoring.logs.enabled:
            wanted += product.monitoring.logs.programs
        if product.monitoring.probes.enabled:
            wanted += ["blackbox-exporter"]
        if product.postgres:
            wanted += ["postgres-exporter"]
        if product.redis:
            wanted += ["redis-exporter"]
        wanted += [store.image for store in (product.own_postgres, product.own_redis) if store]
        if product.own_postgres and product.own_postgres.point_in_time:
            wanted += [product.own_postgres.run_image]
        if self.wanted_ports or any(service.port for service in product.services.values()):
            wanted += ["traefik"]
        if self.stack.tunnel:
            wanted += ["cloudflared"]
        if product.backups.on:
            wanted += ["restic"]
        own = {workload.image_name(product.name, name) for name, workload in product.workloads.items()}
        return wanted + sorted(own)


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
    product, raw = None, None
    earlier = given_release()
    values = earlier.stack if earlier else configuration.values

    problems += _secrets_in_the_open(configuration, lines, stack_file)
    of_product: list[Problem] = []
    product_path = values.get("product")
    if isinstance(product_path, str):
        product, raw, of_product = _load_product(checkout, product_path, stack_file, lines, earlier)
    stack, wrong = _load_stack(with_whole_receivers(values, raw or {}), stack_file, lines)
    problems += [*wrong, *of_product]
    images = load_images(checkout / "components" / "images.yaml")
    if stack and product:
        product, wrong = as_run_here(product, stack, stack_file, lines, NAMESPACE)
        problems += wrong
        problems += check_together(stack, product, images, stack_file, lines, str(product_path), checkout)
        # An earlier release knows nothing of secrets that came after it.
        problems += [] if earlier else _unused_secrets(stack, product, configuration, stack_file, lines)
    missing = _missing_secrets(stack, product, configuration, stack_name, lines) if stack else []
    missing += placeholders(stack, stack_file, lines) if stack else []
    silent = (
        unheard_problems(stack, product, stack_file, lines, str(product_path), checkout) if stack and product else []
    )
    if stack and stack.environment == "production":
        missing, silent = [*missing, *silent], []
    if problems or not (stack and preview and stack.preview_without_secrets):
        problems += missing
    if problems or stack is None or product is None or raw is None:
        raise SettingsError(problems)
    machine = read_machine(checkout / ".dockyard" / "machine.yaml")
    if machine.log_store and product.monitoring.logs.enabled and product.monitoring.logs.store != machine.log_store:
        silent = [*silent, other_log_store(product, machine.log_store, str(product_path), checkout)]
        product = on_log_store(product, machine.log_store)
    release = earlier or Release(stack=dict(values), product=raw, images={})
    settings = Settings(
        stack_name, stack, product, images, machine, release, bool(earlier), tuple(missing), tuple(silent)
    )
    if earlier:
        return settings
    known = {name: settings.image(name) for name in settings.image_names}
    return replace(settings, release=release.model_copy(update={"images": known}))


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
    checkout: Path, path: str, stack_file: str, stack_lines: Lines, earlier: Release | None
) -> tuple[Product | None, dict[str, Any] | None, list[Problem]]:
    """Return the product, the plain values it was read from, and its problems."""
    file = checkout / path
    if not file.is_file() and earlier is None:
        known = sorted(str(found.relative_to(checkout)) for found in checkout.glob("products/*.yaml"))
        line = stack_lines.find(["config", "dockyard:product"])
        remedy = f"Products here: {', '.join(known)}."
        return None, None, [Problem(stack_file, "config.dockyard:product", spell(path), "a product file", remedy, line)]
    lines = Lines.of(file)
    try:
        raw, missing = inlined(earlier.product if earlier else _read_yaml(file, path), checkout)
        problems = [
            Problem(path, dotted(place), "a file that is not there", "a file of the checkout", line=lines.find(place))
            for place in missing
        ]
        return Product.model_validate(raw), raw, problems
    except ValidationError as error:
        return None, None, from_validation(error, Product, path, lines)
    except SettingsError as error:
        return None, None, list(error.problems)


def _read_yaml(file: Path, name: str) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(), Loader=LOADER)  # noqa: S506 - a safe one
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


def _missing_secrets(
    stack: Stack, product: Product | None, configuration: Configuration, stack_name: str, lines: Lines
) -> list[Problem]:
    asked = {name: f"{NAMESPACE}{place}" for name, place in stack.secrets.items()}
    edge = product.edge if product else stack.edge
    asked |= {name: f"{NAMESPACE}edge.{place}" for name, place in edge.secrets.items()}
    monitoring = product.monitoring if product else stack.monitoring
    asked |= {name: f"{NAMESPACE}monitoring.{place}" for name, place in monitoring.secrets.items()}
    backups = product.backups if product else stack.backups
    asked |= {name: f"{NAMESPACE}backups.{place}" for name, place in backups.secrets.items()}
    alerts = product.alerts if product else stack.alerts
    asked |= {name: f"{NAMESPACE}{place}" for name, place in alerts.secrets_in(stack.environment).items()}
    asked |= product.external_secrets if product else {}
    return [
        Problem(
            f"Pulumi.{stack_name}.yaml",
            f"config.{NAMESPACE}{name}",
            NOTHING,
            f"the secret that {place} names",
            f"Set it: pulumi config set --secret {NAMESPACE}{name} -s {stack_name}",
            lines.find(["config", *(int(part) if part.isdigit() else part for part in place.split("."))]),
        )
        for name, place in asked.items()
        if name not in configuration.secrets
    ]


def known_secrets(stack: Stack, product: Product) -> frozenset[str]:
    """Return the secrets that something in the stack asks for, or Dockyard makes where they are not given."""
    own = {*product.secrets, *product.optional_secrets, *product.external_secrets}
    own |= {*product.alerts.secrets_in(stack.environment), *product.backups.secrets}
    return frozenset({*stack.secrets, *own, *product.edge.secrets, *product.monitoring.secrets, *GENERATED_SECRETS})


def _unused_secrets(
    stack: Stack, product: Product, configuration: Configuration, file: str, lines: Lines
) -> list[Problem]:
    """A secret that nothing asks for is a mistyped name, as a rule, and something goes without its secret."""
    known = sorted(known_secrets(stack, product))
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
