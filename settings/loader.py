"""Loads a stack and its product into typed settings, or reports every problem in them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from settings.backups import BACKUP_KEY_SECRET, PITR_KEY_SECRET, Backups
from settings.base import SecretPath, secret_refs
from settings.checks import check_together, coverage_problems, tunnel_placeholders
from settings.environment import SettingsFiles, in_environment, merge_product
from settings.images import ImageTable, load_images
from settings.machine import Machine, on_log_store, other_log_store, read_machine
from settings.names import STORES
from settings.problems import LOADER, NOTHING, Problem, SettingsError, SettingsFile, format_value, from_validation
from settings.product import SHARED, Product, Shared
from settings.release import Release, inline_sources, release_from_env
from settings.stack import Stack, StackFile
from settings.workload import Build

NAMESPACE = "dockyard:"
PASSWORDS = ("grafana-admin-password", "postgres-password", "redis-password")
GENERATED_SECRETS = (*PASSWORDS, BACKUP_KEY_SECRET, PITR_KEY_SECRET)
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

    files: SettingsFiles = field(repr=False, compare=False)

    release_is_pinned: bool = False
    """Whether an earlier release runs instead of the files' content."""

    missing_secrets: tuple[Problem, ...] = ()
    """Secrets and identifiers that are not set, where the stack lets a preview continue without them."""

    warnings: tuple[Problem, ...] = ()
    """Problems that are reported and do not stop the run."""

    def on_machine(self, machine: Machine) -> Settings:
        """Return these settings with a machine's facts: its images, its port offsets and the log store it can run."""
        settings, store = replace(self, machine=machine), machine.log_store
        logs = self.product.monitoring.logs
        if store and logs.enabled and logs.store != store:
            warning = other_log_store(self.files, logs.store, store)
            settings = replace(settings, product=on_log_store(self.product, store), warnings=(*self.warnings, warning))
        if self.release_is_pinned:
            return settings
        references = {name: settings.image(name) for name in settings.image_names}
        return replace(settings, release=self.release.model_copy(update={"images": references}))

    def image(self, name: str) -> str:
        """Return the reference to run for a key of components/images.yaml, a full reference, or a built workload.

        Precedence: a rollback's recorded reference, this machine's record, the stack's mirror, the official reference.
        """
        if self.release_is_pinned and name in self.release.images:
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
        product, stores = self.product, (self.product.own_postgres, self.product.own_redis)
        optional = {
            "blackbox-exporter": product.monitoring.probes.enabled,
            "postgres-exporter": product.postgres,
            "redis-exporter": product.redis,
            "traefik": self.requested_ports or any(service.port for service in product.services.values()),
            "cloudflared": self.stack.tunnel,
            "restic": product.backups.on,
        }
        return [
            *("busybox", "prometheus", "alertmanager", "grafana", "node-exporter", "cadvisor"),
            *(product.monitoring.logs.programs if product.monitoring.logs.enabled else ()),
            *(name for name, needed in optional.items() if needed),
            *(store.image for store in stores if store),
            *([product.own_postgres.run_image] if product.own_postgres and product.own_postgres.point_in_time else []),
            *sorted({workload.image_name(product.name, name) for name, workload in product.workloads.items()}),
        ]


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
    earlier = release_from_env()
    values = dict(earlier.stack if earlier else configuration.values)
    name = f"Pulumi.{stack_name}.yaml"
    stack_file = SettingsFile.of(checkout / name, name, values, namespace=NAMESPACE)
    stack, valid_values, stack_problems = _load_stack(values, stack_file)
    product_file, product_problems = _read_product(checkout, values.get("product"), stack_file, earlier)
    files = SettingsFiles(stack_file, product_file)
    sections, merge_problems = merge_product(files, valid_values)
    problems = [*_secrets_in_the_open(configuration, stack_file), *stack_problems, *product_problems, *merge_problems]
    product, images = None, load_images(checkout / "components" / "images.yaml")
    missing, warnings = [], []
    if stack and isinstance(sections, Product):
        product = in_environment(sections, stack.environment)
        problems += check_together(stack, product, images, files)
        # An earlier release does not know the secrets that were added after it.
        problems += [] if earlier else _unused_secrets(known_secrets(stack, product), configuration, stack_file)
        warnings = coverage_problems(stack, product, files)
    if stack:
        missing = _missing_secrets(required_secrets(stack, product or sections), configuration, stack_name, stack_file)
        missing += tunnel_placeholders(stack, stack_file)
        if stack.environment == "production":
            missing, warnings = [*missing, *warnings], []
    if problems or not (stack and preview and stack.preview_without_secrets):
        problems += missing
    if problems or stack is None or product is None:
        raise SettingsError(problems)
    settings = Settings(
        stack_name,
        stack,
        product,
        images,
        Machine(),
        earlier or Release(stack=values, product=product_file.values, images={}),
        files,
        bool(earlier),
        tuple(missing),
        tuple(warnings),
    )
    return settings.on_machine(read_machine(checkout / ".dockyard" / "machine.yaml"))


def _load_stack(values: Mapping[str, Any], file: SettingsFile) -> tuple[Stack | None, Mapping[str, Any], list[Problem]]:
    """Return the stack, the values of its file without the invalid ones, and a problem for each of those.

    The sections that a product file may contain too are validated later, merged with the product's.
    """

    def validate(values: Mapping[str, Any]) -> Stack:
        return Stack.model_validate({key: value for key, value in values.items() if key not in SHARED})

    try:
        return validate(values), values, []
    except ValidationError as error:
        problems = from_validation(error, StackFile, lambda *_: file)
        invalid_keys = {detail["loc"][0] for detail in error.errors(include_url=False)}
    valid_values = {key: value for key, value in values.items() if key not in invalid_keys}
    try:
        return validate(valid_values), valid_values, problems
    except ValidationError:
        # A required key is invalid or missing, and that problem is reported already.
        return None, valid_values, problems


def _read_product(
    checkout: Path, path: Any, stack_file: SettingsFile, earlier: Release | None
) -> tuple[SettingsFile, list[Problem]]:
    """Return the product file, with the content of the files that it refers to; without values if it is unusable."""
    if not isinstance(path, str):
        return SettingsFile("", ""), []  # reported as a problem of the stack
    file = checkout / path
    if not file.is_file() and earlier is None:
        products = sorted(str(product_file.relative_to(checkout)) for product_file in checkout.glob("products/*.yaml"))
        remedy = f"Products here: {', '.join(products)}."
        problem = stack_file.problem(["product"], format_value(path), "a product file", remedy)
        return SettingsFile(path, ""), [problem]
    try:
        values, missing = inline_sources(earlier.product if earlier else _read_yaml(file, path), checkout)
    except SettingsError as error:
        return SettingsFile(path, ""), list(error.problems)
    product_file = SettingsFile.of(file, path, values)
    return product_file, [
        product_file.problem(source, "a file that does not exist", "a file of the checkout") for source in missing
    ]


def _read_yaml(file: Path, name: str) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(), Loader=LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        actual = getattr(error, "problem", None) or "text that is not YAML"
        line = mark.line + 1 if mark else None
        raise SettingsError([Problem(name, "(file)", actual, "YAML", line=line)]) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError([Problem(name, "(file)", format_value(content), "a mapping of keys to values")])
    return content


def _decode(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _secrets_in_the_open(configuration: Configuration, file: SettingsFile) -> list[Problem]:
    remedy = "Only secrets that settings refer to by name are set with --secret."
    keys = sorted(configuration.secrets & StackFile.model_fields.keys())
    return [file.problem([key], "a secret", "a plain value", remedy) for key in keys]


def required_secrets(stack: Stack, product: Shared) -> dict[str, SecretPath]:
    """Return the secrets that must be set, none of which is generated: name → the settings path that refers to it."""
    changes: dict[str, Any] = {"alerts": product.alerts.in_environment(stack.environment)}
    if product.backups.enabled is False:
        changes["backups"] = Backups()
    return dict([*secret_refs(stack), *secret_refs(product.model_copy(update=changes))])


def known_secrets(stack: Stack, product: Product) -> frozenset[str]:
    """Return the names of the secrets that the stack refers to, and of those that Dockyard generates."""
    required = required_secrets(stack, product)
    return frozenset({*required, *product.secrets, *product.optional_secrets, *GENERATED_SECRETS})


def _missing_secrets(
    required: Mapping[str, SecretPath], configuration: Configuration, stack_name: str, file: SettingsFile
) -> list[Problem]:
    problems = []
    for name, path in required.items():
        if name not in configuration.secrets:
            place = ".".join(map(str, path))
            expected = f"the secret that {place if path[0] in STORES else NAMESPACE + place} names"
            remedy = f"Set it: pulumi config set --secret {NAMESPACE}{name} -s {stack_name}"
            problems.append(replace(file.problem([name], NOTHING, expected, remedy), line=file.line(path)))
    return problems


def _unused_secrets(used: frozenset[str], configuration: Configuration, file: SettingsFile) -> list[Problem]:
    """Report secrets that nothing refers to: usually a mistyped name, whose real user goes without its secret."""
    expected = f"one of {', '.join(sorted(used))}"
    unused = sorted(configuration.secrets - {*used, *StackFile.model_fields})
    remedy = f"Remove it: pulumi config rm {NAMESPACE}"
    return [file.problem([name], "a secret that no setting uses", expected, f"{remedy}{name}") for name in unused]
