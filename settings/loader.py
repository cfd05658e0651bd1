"""Loads a stack and its product into typed settings, or reports every problem in them at once."""

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
from settings.checks import check_together, coverage_problems, placeholders
from settings.environment import apply_stack_overrides, complete_partial_receivers
from settings.images import ImageTable, load_images
from settings.log_store import on_log_store, other_log_store
from settings.machine import Machine, read_machine
from settings.point_in_time import PITR_KEY
from settings.problems import LOADER, NOTHING, Lines, Problem, SettingsError, dotted, from_validation, spell
from settings.product import Product
from settings.release import Release, inline_sources, release_from_env
from settings.stack import Stack

NAMESPACE = "dockyard:"
GENERATED_SECRETS = ("grafana-admin-password", "postgres-password", "redis-password", KEY, PITR_KEY)
"""Secrets that Dockyard generates unless the stack sets them."""

CHECKOUT = Path(__file__).resolve().parent.parent
EDGE_HTTP, EDGE_HTTPS = "edge-http", "edge-https"
"""Names of the edge proxy's own ports among the published ones."""


@dataclass(frozen=True)
class Settings:
    """Everything that the program builds a stack from."""

    stack_name: str
    stack: Stack
    product: Product
    """The product with this environment's overrides applied."""

    images: ImageTable
    machine: Machine
    release: Release
    """The content of the files, recorded in the state's history for rollbacks."""

    rolled_back: bool = False
    """Whether an earlier release runs instead of the files' content."""

    missing_secrets: tuple[Problem, ...] = ()
    """Secrets and identifiers that are not set, where the stack lets a preview continue without them."""

    warnings: tuple[Problem, ...] = ()
    """Problems that are reported and do not stop the run."""

    def image(self, name: str) -> str:
        """Return the reference to run for a key of components/images.yaml, a full reference, or a built workload.

        Precedence: a rollback's recorded reference, this machine's record, the stack's mirror, the official reference.
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
        port = self.requested_ports.get(name)
        return None if port is None else port + self.machine.port_offsets.get(self.stack_name, 0)

    @property
    def requested_ports(self) -> dict[str, int]:
        """Every host port that the stack publishes, before this machine's offset is added."""
        edge = self.product.edge
        ports = {EDGE_HTTP: edge.http, EDGE_HTTPS: edge.https} if self.product.routed else {}
        return {**self.product.publish, **ports}

    @property
    def image_names(self) -> list[str]:
        """Every image that this stack runs, to be pulled before an `up`: keys of the table, or full references."""
        product = self.product
        names = ["busybox", "prometheus", "alertmanager", "grafana", "node-exporter", "cadvisor"]
        if product.monitoring.logs.enabled:
            names += product.monitoring.logs.programs
        if product.monitoring.probes.enabled:
            names += ["blackbox-exporter"]
        if product.postgres:
            names += ["postgres-exporter"]
        if product.redis:
            names += ["redis-exporter"]
        names += [store.image for store in (product.own_postgres, product.own_redis) if store]
        if product.own_postgres and product.own_postgres.point_in_time:
            names += [product.own_postgres.run_image]
        if self.requested_ports or any(service.port for service in product.services.values()):
            names += ["traefik"]
        if self.stack.tunnel:
            names += ["cloudflared"]
        if product.backups.on:
            names += ["restic"]
        workload_images = {workload.image_name(product.name, name) for name, workload in product.workloads.items()}
        return names + sorted(workload_images)


@dataclass(frozen=True)
class Configuration:
    """The `dockyard:` keys of a stack: plain values, and the names of those that are secret."""

    values: Mapping[str, Any]
    secrets: frozenset[str]


def read_stack_file(checkout: Path, stack_name: str) -> Configuration:
    """Read a stack's file directly, without Pulumi.

    Raises SettingsError when there is no such stack or its file is not YAML.
    """
    file = checkout / f"Pulumi.{stack_name}.yaml"
    if not file.exists():
        stacks = sorted(path.name.split(".")[1] for path in checkout.glob("Pulumi.*.yaml"))
        raise SettingsError(
            [Problem(file.name, "(file)", NOTHING, "a stack file", f"Known stacks: {', '.join(stacks)}.")]
        )
    config = _read_yaml(file, file.name).get("config") or {}
    values = {key.removeprefix(NAMESPACE): value for key, value in config.items() if key.startswith(NAMESPACE)}
    secrets = {key for key, value in values.items() if isinstance(value, dict) and set(value) == {"secure"}}
    return Configuration({key: values[key] for key in values.keys() - secrets}, frozenset(secrets))


def from_pulumi_config(config: Mapping[str, str], secret_keys: frozenset[str]) -> Configuration:
    """Return the configuration that Pulumi hands to the program, in which values are text and objects are JSON.

    The values of `secret_keys` are never read here, so that no secret can end up in a model or a message.
    """
    values = {key: value for key, value in config.items() if key.startswith(NAMESPACE)}
    return Configuration(
        {key.removeprefix(NAMESPACE): _decode(values[key]) for key in values.keys() - secret_keys},
        frozenset(key.removeprefix(NAMESPACE) for key in values.keys() & secret_keys),
    )


def load(
    configuration: Configuration, stack_name: str, *, checkout: Path = CHECKOUT, preview: bool = False
) -> Settings:
    """Return the settings of a stack. Raises SettingsError with every problem of both files."""
    stack_file = f"Pulumi.{stack_name}.yaml"
    lines = Lines.of(checkout / stack_file)
    problems: list[Problem] = []
    product, raw = None, None
    earlier = release_from_env()
    values = earlier.stack if earlier else configuration.values

    problems += _secrets_in_the_open(configuration, lines, stack_file)
    product_problems: list[Problem] = []
    product_path = values.get("product")
    if isinstance(product_path, str):
        product, raw, product_problems = _load_product(checkout, product_path, stack_file, lines, earlier)
    stack, stack_problems = _load_stack(complete_partial_receivers(values, raw or {}), stack_file, lines)
    problems += [*stack_problems, *product_problems]
    images = load_images(checkout / "components" / "images.yaml")
    if stack and product:
        product, stack_problems = apply_stack_overrides(product, stack, stack_file, lines, NAMESPACE)
        problems += stack_problems
        problems += check_together(stack, product, images, stack_file, lines, str(product_path), checkout)
        # An earlier release does not know the secrets that were added after it.
        problems += [] if earlier else _unused_secrets(stack, product, configuration, stack_file, lines)
    missing = _missing_secrets(stack, product, configuration, stack_name, lines) if stack else []
    missing += placeholders(stack, stack_file, lines) if stack else []
    warnings = (
        coverage_problems(stack, product, stack_file, lines, str(product_path), checkout) if stack and product else []
    )
    if stack and stack.environment == "production":
        missing, warnings = [*missing, *warnings], []
    if problems or not (stack and preview and stack.preview_without_secrets):
        problems += missing
    if problems or stack is None or product is None or raw is None:
        raise SettingsError(problems)
    machine = read_machine(checkout / ".dockyard" / "machine.yaml")
    if machine.log_store and product.monitoring.logs.enabled and product.monitoring.logs.store != machine.log_store:
        warnings = [*warnings, other_log_store(product, machine.log_store, str(product_path), checkout)]
        product = on_log_store(product, machine.log_store)
    release = earlier or Release(stack=dict(values), product=raw, images={})
    settings = Settings(
        stack_name, stack, product, images, machine, release, bool(earlier), tuple(missing), tuple(warnings)
    )
    if earlier:
        return settings
    references = {name: settings.image(name) for name in settings.image_names}
    return replace(settings, release=release.model_copy(update={"images": references}))


def _load_stack(values: Mapping[str, Any], file: str, lines: Lines) -> tuple[Stack | None, list[Problem]]:
    """Return the stack and its problems; invalid keys are left out, so that the others can still be checked."""
    try:
        return Stack.model_validate(values), []
    except ValidationError as error:
        problems = from_validation(error, Stack, file, lines, ("config", NAMESPACE))
        invalid_keys = {detail["loc"][0] for detail in error.errors(include_url=False)}
    try:
        return Stack.model_validate({key: value for key, value in values.items() if key not in invalid_keys}), problems
    except ValidationError:
        # A required key is invalid or missing, and that problem is reported already.
        return None, problems


def _load_product(
    checkout: Path, path: str, stack_file: str, stack_lines: Lines, earlier: Release | None
) -> tuple[Product | None, dict[str, Any] | None, list[Problem]]:
    """Return the product, the plain values it was read from, and its problems."""
    file = checkout / path
    if not file.is_file() and earlier is None:
        products = sorted(str(product_file.relative_to(checkout)) for product_file in checkout.glob("products/*.yaml"))
        line = stack_lines.find(["config", "dockyard:product"])
        remedy = f"Products here: {', '.join(products)}."
        return None, None, [Problem(stack_file, "config.dockyard:product", spell(path), "a product file", remedy, line)]
    lines = Lines.of(file)
    try:
        raw, missing = inline_sources(earlier.product if earlier else _read_yaml(file, path), checkout)
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
        actual = getattr(error, "problem", None) or "text that is no YAML"
        line = mark.line + 1 if mark else None
        raise SettingsError([Problem(name, "(file)", actual, "YAML", line=line)]) from error
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
    required = {name: f"{NAMESPACE}{place}" for name, place in stack.secrets.items()}
    edge = product.edge if product else stack.edge
    required |= {name: f"{NAMESPACE}edge.{place}" for name, place in edge.secrets.items()}
    monitoring = product.monitoring if product else stack.monitoring
    required |= {name: f"{NAMESPACE}monitoring.{place}" for name, place in monitoring.secrets.items()}
    backups = product.backups if product else stack.backups
    required |= {name: f"{NAMESPACE}backups.{place}" for name, place in backups.secrets.items()}
    alerts = product.alerts if product else stack.alerts
    required |= {name: f"{NAMESPACE}{place}" for name, place in alerts.secrets_in(stack.environment).items()}
    required |= product.external_secrets if product else {}
    return [
        Problem(
            f"Pulumi.{stack_name}.yaml",
            f"config.{NAMESPACE}{name}",
            NOTHING,
            f"the secret that {place} names",
            f"Set it: pulumi config set --secret {NAMESPACE}{name} -s {stack_name}",
            lines.find(["config", *(int(part) if part.isdigit() else part for part in place.split("."))]),
        )
        for name, place in required.items()
        if name not in configuration.secrets
    ]


def known_secrets(stack: Stack, product: Product) -> frozenset[str]:
    """Return the names of the secrets that the stack refers to, and of those that Dockyard generates."""
    of_product = {*product.secrets, *product.optional_secrets, *product.external_secrets}
    of_product |= {*product.alerts.secrets_in(stack.environment), *product.backups.secrets}
    return frozenset(
        {*stack.secrets, *of_product, *product.edge.secrets, *product.monitoring.secrets, *GENERATED_SECRETS}
    )


def _unused_secrets(
    stack: Stack, product: Product, configuration: Configuration, file: str, lines: Lines
) -> list[Problem]:
    """Report secrets that nothing refers to: usually a mistyped name, whose real user goes without its secret."""
    usable = sorted(known_secrets(stack, product))
    return [
        Problem(
            file,
            f"config.{NAMESPACE}{name}",
            "a secret that nothing asks for",
            f"one of {', '.join(usable)}",
            f"Remove it: pulumi config rm {NAMESPACE}{name}",
            lines.find(["config", f"{NAMESPACE}{name}"]),
        )
        for name in sorted(configuration.secrets - {*usable, *Stack.model_fields})
    ]
