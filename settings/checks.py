"""Checks across sections: settings that are valid alone but do not fit together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from settings.alert_checks import critical_coverage_problems
from settings.alert_rules import log_rule_files, rule_files, thresholds
from settings.base import Model
from settings.exposure import public_tool_problems
from settings.images import ImageTable
from settings.names import ADMIN_PORT, RESERVED_NAMES, STORES, TOOLS
from settings.problems import Lines, Problem, dotted, spell
from settings.product import Product
from settings.stack import Stack
from settings.workload import Job, Service, Workload

TUNNEL = ("config", "dockyard:tunnel")
"""Path of the tunnel's section in the stack file."""


def check_together(
    stack: Stack,
    product: Product,
    images: ImageTable,
    stack_file: str,
    stack_lines: Lines,
    product_file: str,
    checkout: Path,
) -> list[Problem]:
    """Return every problem between stack, product and images."""
    product_lines = Lines.of(checkout / product_file)
    in_either = _in_either(stack, stack_file, stack_lines, product_file, product_lines)

    def in_product(path: list[str | int], actual: str, expected: str) -> Problem:
        return Problem(product_file, dotted(path), actual, expected, line=product_lines.find(path))

    problems = [in_product(*problem) for problem in _product_problems(product)]
    shared = (
        *_publish_problems(product),
        *public_tool_problems(product),
        *_network_problems(product),
        *_log_store_problems(product),
        *_threshold_problems(product),
        *_receiver_problems(product),
        *_offsite_problems(product),
    )
    problems += [in_either(*problem) for problem in shared]
    problems += _image_problems(stack, product, images, stack_file, stack_lines, in_product)
    for path, actual, expected in _tunnel_problems(stack, product):
        problems.append(Problem(stack_file, dotted(path), actual, expected, line=stack_lines.find(path)))
    return problems


def coverage_problems(
    stack: Stack, product: Product, stack_file: str, stack_lines: Lines, product_file: str, checkout: Path
) -> list[Problem]:
    """Return the reasons why critical alerts of this environment would not be delivered to everybody or to anybody."""
    lines = Lines.of(checkout / product_file)
    in_either = _in_either(stack, stack_file, stack_lines, product_file, lines)
    return [in_either(*problem) for problem in critical_coverage_problems(product.alerts, stack.environment)]


def _in_either(
    stack: Stack, stack_file: str, stack_lines: Lines, product_file: str, product_lines: Lines
) -> Callable[..., Problem]:
    """Return a function that reports a problem where its section is set: in the stack file first, else the product."""

    def locate(path: list[str | int], actual: str, expected: str, remedy: str = "") -> Problem:
        section, *rest = path
        stack_path: list[str | int] = ["config", f"dockyard:{section}", *rest]
        if _is_set(getattr(stack, str(section)), rest):
            return Problem(stack_file, dotted(stack_path), actual, expected, remedy, stack_lines.find(stack_path))
        return Problem(product_file, dotted(path), actual, expected, remedy, product_lines.find(path))

    return locate


def placeholders(stack: Stack, stack_file: str, lines: Lines) -> list[Problem]:
    """Return a problem for each Cloudflare account and zone id that still is the placeholder of the shipped stacks."""
    paths: list[list[str | int]] = [[*TUNNEL, *path] for path in stack.tunnel.placeholders] if stack.tunnel else []
    expected = "32 hexadecimal digits of your own"
    remedy = "Account ID and Zone ID stand on the overview page of the zone at dash.cloudflare.com; see docs/tunnel.md."
    return [Problem(stack_file, dotted(path), "all zeros", expected, remedy, lines.find(path)) for path in paths]


def _tunnel_problems(stack: Stack, product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    listening = [name for name, service in product.services.items() if service.port and service.protocol == "http"]
    for position, tunnel_service in enumerate(stack.tunnel.services if stack.tunnel else ()):
        if tunnel_service.service not in listening:
            hint = (
                " (tools and data stores are never public by the tunnel)"
                if tunnel_service.service in RESERVED_NAMES
                else ""
            )
            choices = ", ".join(listening) or "a service with a port"
            yield [*TUNNEL, "services", position, "service"], spell(tunnel_service.service), f"one of {choices}{hint}"


def _is_set(section: object, path: list[str | int]) -> bool:
    if not path:
        return True
    key, *rest = path
    if isinstance(section, Mapping):
        return key in section and _is_set(section[key], rest)
    if isinstance(section, Model):
        # A key whose field has another name (`for`) is always the last of its path.
        return not rest or (str(key) in section.model_fields_set and _is_set(getattr(section, str(key)), rest))
    return True


def _threshold_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    changes = product.monitoring.thresholds
    if not changes:
        return
    declared = _declared_thresholds(product)
    for name, change in changes.items():
        path: list[str | int] = ["monitoring", "thresholds", name]
        if name not in declared:
            yield path, spell(name), _an_alert(name, declared)
        elif change.threshold is not None and declared[name] is None:
            yield [*path, "threshold"], spell(change.threshold), "no threshold: the rule of this alert declares none"


def _receiver_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    if not any(receiver.alerts for receiver in product.alerts.receivers.values()):
        return
    known_alerts = _declared_thresholds(product)
    for receiver_name, receiver in product.alerts.receivers.items():
        for number, name in enumerate(receiver.alerts):
            if name not in known_alerts:
                yield (
                    ["alerts", "receivers", receiver_name, "alerts", number],
                    spell(name),
                    _an_alert(name, known_alerts),
                )


def _declared_thresholds(product: Product) -> dict[str, str | None]:
    """Return every alert of a product → its threshold, or None if it has none."""
    sources = [*rule_files(product.name).values(), *log_rule_files(product.monitoring.logs.store).values()]
    return {name: threshold for source in sources for name, threshold in thresholds(source).items()}


def _an_alert(name: str, known_alerts: Collection[str]) -> str:
    near = get_close_matches(name, known_alerts, n=3, cutoff=0.5)
    hint = f": {' or '.join(near)}?" if near else ""
    return f"the name of an alert in rules/{hint}"


def _offsite_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    postgres, s3 = product.own_postgres, product.backups.s3
    is_offsite = postgres is not None and postgres.point_in_time is not None and postgres.point_in_time.offsite
    if is_offsite and s3 and product.backups.on and not s3.endpoint.startswith("https://"):
        expected = "an https:// address: pgBackRest takes no other (or postgres.point_in_time.offsite: false)"
        yield ["backups", "s3", "endpoint"], spell(s3.endpoint), expected


def _publish_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    listening = {name for name, service in product.services.items() if service.port is not None}
    publishable = sorted({*listening, *TOOLS, *STORES})
    used: dict[int, str] = {}
    for name, port in product.publish.items():
        if name in product.services and name not in listening:
            yield ["publish", name], spell(name), f"a service with a port: give services.{name}.port"
        elif name not in publishable:
            yield ["publish", name], spell(name), f"one of {', '.join(publishable)}"
        if port in used:
            yield ["publish", name], str(port), f"a port of its own ({used[port]} has this one)"
        used[port] = name
    for scheme in ("http", "https") if product.routed else ():
        port = getattr(product.edge, scheme)
        if port in used:
            yield ["publish", used[port]], str(port), f"another port (edge.{scheme} has this one)"


def _network_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    joinable = sorted({*product.workloads, *TOOLS, *STORES})
    for network, members in product.networks.items():
        for position, member in enumerate(members):
            if member not in joinable:
                yield ["networks", network, position], spell(member), f"one of {', '.join(joinable)}"


def _log_store_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    """Refuse settings of Loki where no store is named: its retention would be ignored silently."""
    logs = product.monitoring.logs
    if "loki" in logs.model_fields_set and "store" not in logs.model_fields_set:
        expected = f"store: loki beside it, or settings of {logs.store}, which keeps the logs by default"
        yield ["monitoring", "logs", "loki"], "settings of loki", expected


def _product_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    workloads = product.workloads
    for name in product.services.keys() & product.jobs.keys():
        yield ["jobs", name], spell(name), "a name that no service has"
    graph: dict[str, set[str]] = {}
    for name, workload in workloads.items():
        kind = "services" if name in product.services else "jobs"
        if name in RESERVED_NAMES:
            yield [kind, name], spell(name), f"another name: {', '.join(RESERVED_NAMES)} are taken"
        for position, store in enumerate(workload.needs):
            if getattr(product, store) is None:
                yield [kind, name, "needs", position], spell(store), f"a data store that is there: add {store}:"
        if isinstance(workload, Service | Job):
            dumps = workload.dump_before and product.own_postgres is None
            if dumps:
                yield [kind, name, "dump_before"], "true", "a Postgres of the product's own to dump"
            graph[name] = set()
            eligible = workloads if isinstance(workload, Service) else product.jobs
            for position, before in enumerate(workload.after):
                if before in eligible and not _scheduled(eligible[before]):
                    graph[name].add(before)
                else:
                    candidates = sorted(
                        candidate for candidate in eligible if candidate != name and not _scheduled(eligible[candidate])
                    )
                    yield [kind, name, "after", position], spell(before), f"one of {', '.join(candidates) or 'nothing'}"
    yield from _port_problems(product)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = list(reversed(error.args[1]))
        kind = "services" if cycle[0] in product.services else "jobs"
        yield [kind, cycle[0], "after"], " after ".join(cycle), "an order without a circle"


def _scheduled(workload: Workload) -> bool:
    return isinstance(workload, Job) and workload.schedule is not None


def _port_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    """Refuse port clashes: the edge proxy listens on every service's port, and only HTTP services can share one."""
    by_port: dict[int, str] = {}
    for name, service in product.services.items():
        if service.port is None:
            continue
        if service.port == ADMIN_PORT:
            yield ["services", name, "port"], str(service.port), f"another port: the edge proxy itself has {ADMIN_PORT}"
        holder = by_port.get(service.port)
        if holder and "tcp" in (service.protocol, product.services[holder].protocol):
            yield ["services", name, "port"], str(service.port), f"a port of its own ({holder} has this one)"
        by_port.setdefault(service.port, name)


def _image_problems(
    stack: Stack,
    product: Product,
    images: ImageTable,
    stack_file: str,
    stack_lines: Lines,
    in_product: Callable[[list[str | int], str, str], Problem],
) -> list[Problem]:
    """Report image names that are neither in the table nor full references with registry, path and tag."""
    problems = []
    for name, workload in product.workloads.items():
        if workload.image is None or workload.image in images.names or _is_full(workload.image):
            continue
        override = stack.services.get(name)
        in_stack = override is not None and override.image is not None
        kind = "services" if name in product.services else "jobs"
        path: list[str | int] = ["config", "dockyard:services", name, "image"] if in_stack else [kind, name, "image"]
        expected = f"registry/name:tag, or one of {', '.join(images.names)}"
        actual = spell(workload.image)
        if in_stack:
            problems.append(Problem(stack_file, dotted(path), actual, expected, line=stack_lines.find(path)))
        else:
            problems.append(in_product(path, actual, expected))
    for store, store_override in ((product.own_postgres, stack.postgres), (product.own_redis, stack.redis)):
        if store is None or store.image in images.names or _is_full(store.image):
            continue
        kind = "postgres" if store is product.own_postgres else "redis"
        expected = f"registry/name:tag, or one of {', '.join(images.names)}"
        if store_override and store_override.image:
            own_path: list[str | int] = ["config", f"dockyard:{kind}", "image"]
            line = stack_lines.find(own_path)
            problems.append(Problem(stack_file, dotted(own_path), spell(store.image), expected, line=line))
        else:
            problems.append(in_product([kind, "image"], spell(store.image), expected))
    return problems


def _is_full(image: str) -> bool:
    """Whether a reference names a registry or path, and a tag or digest."""
    return "/" in image and ":" in image.rsplit("/", maxsplit=1)[-1]
