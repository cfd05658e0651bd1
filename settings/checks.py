"""Checks across sections: settings that are valid alone but do not fit together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

from settings.alert_rules import log_rule_files, rule_files, thresholds
from settings.alerts import Alerts, Email, Environment, Ntfy, Receiver, Slack, Sms
from settings.edge import PublicTool
from settings.environment import SettingsFiles
from settings.images import ImageTable
from settings.names import ADMIN_PORT, RESERVED_NAMES, STORES, TOOLS
from settings.placeholders import is_placeholder_address
from settings.problems import FoundProblem, Problem, SettingsFile, YamlPath, format_value
from settings.product import Product
from settings.stack import Stack
from settings.workload import Job, Service

OWN_LOGIN = frozenset({"grafana"})
"""Tools with a log-in of their own. Every other tool of the monitoring is readable by whoever reaches it."""

CoverageProblem = tuple[YamlPath, str, str, str]
"""Settings path, what was found there, what was expected, and the remedy."""

PLACEHOLDER_REMEDY = "Replace the placeholder: until then this receiver reaches nobody; see docs/alerts.md."
RECEIVER_REMEDY = "For instance: on-call: {type: slack, webhook: slack-on-call}; every kind is in docs/alerts.md."


def check_together(stack: Stack, product: Product, images: ImageTable, files: SettingsFiles) -> list[Problem]:
    """Return every problem between stack, product and images."""
    shared = (
        *_publish_problems(product),
        *public_tool_problems(product),
        *_network_problems(product),
        *_log_store_problems(product),
        *_threshold_problems(product),
        *_receiver_problems(product),
        *_offsite_problems(product),
        *_image_problems(product, images),
        *_tunnel_problems(stack, product),
    )
    problems = [files.product.problem(*problem) for problem in _product_problems(product)]
    return problems + [files.problem(*problem) for problem in shared]


def coverage_problems(stack: Stack, product: Product, files: SettingsFiles) -> list[Problem]:
    """Return a problem for each receiver that would miss critical alerts, and one if no receiver would get them."""
    return [files.problem(*problem) for problem in critical_coverage_problems(product.alerts, stack.environment)]


def tunnel_placeholders(stack: Stack, file: SettingsFile) -> list[Problem]:
    """Return a problem for each Cloudflare account and zone id that still is the placeholder of the shipped stacks."""
    expected = "your own id of 32 hexadecimal digits"
    remedy = "The overview page of the zone at dash.cloudflare.com shows both ids; see docs/tunnel.md."
    paths = stack.tunnel.placeholders if stack.tunnel else ()
    return [file.problem(["tunnel", *path], "all zeros", expected, remedy) for path in paths]


def running_tools(product: Product) -> list[str]:
    """Return the names of the tools that run beside this product."""
    monitoring = product.monitoring
    logs = monitoring.logs.programs if monitoring.logs.enabled else ()
    absent = {
        **{tool: tool not in logs for tool in ("loki", "victorialogs", "vmalert")},
        "postgres-exporter": product.postgres is None,
        "redis-exporter": product.redis is None,
        "blackbox-exporter": not monitoring.probes.enabled,
    }
    return [tool for tool in TOOLS if not absent.get(tool, False)]


def public_tool_problems(product: Product) -> Iterator[FoundProblem]:
    """Yield each problem of `edge.tools`: its path, what was found and what was expected."""
    running = sorted(running_tools(product))
    owners = {
        (route.host, route.path): f"services.{name}"
        for name, service in product.services.items()
        for route in service.routes
    }
    for name, tool in product.edge.tools.items():
        path = ["edge", "tools", name]
        if name not in running:
            yield path, format_value(name), f"one of the running tools: {', '.join(running)}"
            continue
        yield from _tool_problems(name, tool, path)
        place = (tool.host, tool.path)
        if place in owners:
            yield [*path, "host"], format_value(tool.host), f"a unique host and path ({owners[place]} uses these)"
        owners.setdefault(place, f"edge.tools.{name}")


def _tool_problems(name: str, tool: PublicTool, path: list[str]) -> Iterator[FoundProblem]:
    if name not in OWN_LOGIN and not tool.guarded:
        yield (
            path,
            f"{tool.host} without authentication",
            f"basic_auth (a secret with lines of `htpasswd -nB <name>`) or forward_auth (an address that"
            f" authorizes every request) in addition to host: {name} has no log-in of its own",
        )
    if name == "grafana" and tool.path != "/":
        yield [*path, "path"], format_value(tool.path), "no path: Grafana requires its own host name"


def _tunnel_problems(stack: Stack, product: Product) -> Iterator[FoundProblem]:
    listening = [name for name, service in product.services.items() if service.port and service.protocol == "http"]
    for position, tunnel_service in enumerate(stack.tunnel.services if stack.tunnel else ()):
        if tunnel_service.service not in listening:
            reserved = tunnel_service.service in RESERVED_NAMES
            hint = " (the tunnel never exposes tools and data stores)" if reserved else ""
            expected = f"one of {', '.join(listening) or 'a service with a port'}{hint}"
            yield ["tunnel", "services", position, "service"], format_value(tunnel_service.service), expected


def _threshold_problems(product: Product) -> Iterator[FoundProblem]:
    changes = product.monitoring.thresholds
    if not changes:
        return
    declared = _declared_thresholds(product)
    for name, change in changes.items():
        path = ["monitoring", "thresholds", name]
        if name not in declared:
            yield path, format_value(name), _an_alert(name, declared)
        elif change.threshold is not None and declared[name] is None:
            expected = "no threshold: the rule of this alert declares none"
            yield [*path, "threshold"], format_value(change.threshold), expected


def _receiver_problems(product: Product) -> Iterator[FoundProblem]:
    if not any(receiver.alerts for receiver in product.alerts.receivers.values()):
        return
    known_alerts = _declared_thresholds(product)
    for receiver_name, receiver in product.alerts.receivers.items():
        for number, name in enumerate(receiver.alerts):
            if name not in known_alerts:
                path: YamlPath = ["alerts", "receivers", receiver_name, "alerts", number]
                yield path, format_value(name), _an_alert(name, known_alerts)


def _declared_thresholds(product: Product) -> dict[str, str | None]:
    """Return every alert of a product → its threshold, or None if it has none."""
    sources = [*rule_files(product.name).values(), *log_rule_files(product.monitoring.logs.store).values()]
    return {name: threshold for source in sources for name, threshold in thresholds(source).items()}


def _an_alert(name: str, known_alerts: Collection[str]) -> str:
    near = get_close_matches(name, known_alerts, n=3, cutoff=0.5)
    hint = f": {' or '.join(near)}?" if near else ""
    return f"the name of an alert in rules/{hint}"


def _offsite_problems(product: Product) -> Iterator[FoundProblem]:
    postgres, s3 = product.own_postgres, product.backups.s3
    is_offsite = postgres is not None and postgres.point_in_time is not None and postgres.point_in_time.offsite
    if is_offsite and s3 and product.backups.on and not s3.endpoint.startswith("https://"):
        expected = "an https:// address: pgBackRest supports no other (or postgres.point_in_time.offsite: false)"
        yield ["backups", "s3", "endpoint"], format_value(s3.endpoint), expected


def _publish_problems(product: Product) -> Iterator[FoundProblem]:
    listening = {name for name, service in product.services.items() if service.port is not None}
    publishable = sorted({*listening, *TOOLS, *STORES})
    used: dict[int, str] = {}
    for name, port in product.publish.items():
        if name in product.services and name not in listening:
            yield ["publish", name], format_value(name), f"a service with a port: set services.{name}.port"
        elif name not in publishable:
            yield ["publish", name], format_value(name), f"one of {', '.join(publishable)}"
        if port in used:
            yield ["publish", name], str(port), f"a unique port ({used[port]} uses this one)"
        used[port] = name
    for scheme in ("http", "https") if product.routed else ():
        port = getattr(product.edge, scheme)
        if port in used:
            yield ["publish", used[port]], str(port), f"another port (edge.{scheme} uses this one)"


def _network_problems(product: Product) -> Iterator[FoundProblem]:
    joinable = sorted({*product.workloads, *TOOLS, *STORES})
    for network, members in product.networks.items():
        for position, member in enumerate(members):
            if member not in joinable:
                yield ["networks", network, position], format_value(member), f"one of {', '.join(joinable)}"


def _log_store_problems(product: Product) -> Iterator[FoundProblem]:
    """Refuse settings of Loki where no store is named: its retention would be ignored silently."""
    logs = product.monitoring.logs
    if "loki" in logs.model_fields_set and "store" not in logs.model_fields_set:
        expected = f"store: loki as well, or settings of {logs.store}, the default log store"
        yield ["monitoring", "logs", "loki"], "settings of loki", expected


def _product_problems(product: Product) -> Iterator[FoundProblem]:
    for name in product.services.keys() & product.jobs.keys():
        yield ["jobs", name], format_value(name), "a name that no service uses"
    graph: dict[str, set[str]] = {}
    for kind, name, workload in _workloads(product):
        if name in RESERVED_NAMES:
            yield [kind, name], format_value(name), f"another name: {', '.join(RESERVED_NAMES)} are reserved"
        for position, store in enumerate(workload.needs):
            if getattr(product, store) is None:
                yield [kind, name, "needs", position], format_value(store), f"a configured data store: add {store}:"
        if workload.dump_before and product.own_postgres is None:
            yield [kind, name, "dump_before"], "true", "a Postgres of this stack to dump, not an external one"
        eligible = {job for job, settings in product.jobs.items() if settings.schedule is None}
        eligible |= product.services.keys() if isinstance(workload, Service) else set()
        graph[name] = eligible.intersection(workload.after)
        for position, before in enumerate(workload.after):
            if before not in eligible:
                expected = f"one of {', '.join(sorted(eligible - {name})) or 'nothing'}"
                yield [kind, name, "after", position], format_value(before), expected
    yield from _port_problems(product)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = list(reversed(error.args[1]))
        kind = "services" if cycle[0] in product.services else "jobs"
        yield [kind, cycle[0], "after"], " after ".join(cycle), "an order without a cycle"


def _workloads(product: Product) -> Iterator[tuple[str, str, Service | Job]]:
    yield from (("services", name, service) for name, service in product.services.items())
    yield from (("jobs", name, job) for name, job in product.jobs.items())


def _port_problems(product: Product) -> Iterator[FoundProblem]:
    """Refuse port clashes: the edge proxy listens on every service's port, and only HTTP services can share one."""
    by_port: dict[int, str] = {}
    for name, service in product.services.items():
        if service.port is None:
            continue
        if service.port == ADMIN_PORT:
            yield ["services", name, "port"], str(service.port), f"another port: the edge proxy uses {ADMIN_PORT}"
        holder = by_port.get(service.port)
        if holder and "tcp" in (service.protocol, product.services[holder].protocol):
            yield ["services", name, "port"], str(service.port), f"a unique port ({holder} uses this one)"
        by_port.setdefault(service.port, name)


def _image_problems(product: Product, images: ImageTable) -> Iterator[FoundProblem]:
    """Report image names that are neither in the table nor full references with registry, path and tag."""
    references: dict[YamlPath, str | None] = {
        (kind, name, "image"): workload.image for kind, name, workload in _workloads(product)
    }
    for kind, store in (("postgres", product.own_postgres), ("redis", product.own_redis)):
        references |= {(kind, "image"): store.image if store else None}
    for path, image in references.items():
        if image is not None and image not in images.names and not _is_full(image):
            yield path, format_value(image), f"registry/name:tag, or one of {', '.join(images.names)}"


def _is_full(image: str) -> bool:
    """Whether a reference names a registry or path, and a tag or digest."""
    return "/" in image and ":" in image.rsplit("/", maxsplit=1)[-1]


def critical_coverage_problems(alerts: Alerts, environment: Environment) -> Iterator[CoverageProblem]:
    """Yield each reason why critical alerts of an environment reach no receiver, or not all intended ones."""
    if environment == "development":
        return
    informed = alerts.receivers_in(environment)
    receivers = {name: receiver for name, receiver in informed.items() if "critical" in receiver.severities}
    for name, receiver in receivers.items():
        for subpath, value in _plain_addresses(receiver):
            if is_placeholder_address(value):
                path = ["alerts", "receivers", name, *subpath]
                yield path, format_value(value), "the real value", PLACEHOLDER_REMEDY
    if not any(takes_all_critical(receiver) for receiver in receivers.values()):
        expected = f"a receiver of every critical alert of {environment}, without `alerts` and `labels`"
        yield ["alerts", "receivers"], _describe_receivers(alerts, environment), expected, RECEIVER_REMEDY


def takes_all_critical(receiver: Receiver) -> bool:
    """Whether a receiver takes every critical alert, and not only some selected by name or label."""
    return "critical" in receiver.severities and not receiver.alerts and not receiver.labels


def _describe_receivers(alerts: Alerts, environment: Environment) -> str:
    if not alerts.receivers:
        return "no receiver"
    reasons = []
    for name, receiver in alerts.receivers.items():
        if environment not in receiver.environments:
            reasons.append(f"{name} does not receive alerts of {environment}")
        elif "critical" not in receiver.severities:
            reasons.append(f"{name} receives {' and '.join(receiver.severities)}")
        else:
            limits = [*(f'{label}="{value}"' for label, value in receiver.labels.items()), *receiver.alerts]
            reasons.append(f"{name} receives only {', '.join(limits)}")
    return f"no receiver of every critical alert ({'; '.join(reasons)})"


def _plain_addresses(receiver: Receiver) -> Iterator[tuple[list[str | int], str]]:
    """Yield path and value of the plain settings, which are no secrets, that say where a receiver's messages go."""
    match receiver:
        case Email():
            for number, address in enumerate(receiver.to):
                yield ["to", number], address
            yield ["from"], receiver.sender
            yield ["smarthost"], receiver.smarthost
        case Slack() if receiver.channel:
            yield ["channel"], receiver.channel
        case Ntfy():
            yield ["server"], receiver.server
            yield ["topic"], receiver.topic
        case Sms():
            for key, value in receiver.fields.items():
                yield ["fields", key], value
        case _:
            return
