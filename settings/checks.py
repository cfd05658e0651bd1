"""What must hold between the parts of the settings, where each part alone is fine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from settings.images import ImageTable
from settings.problems import Lines, Problem, dotted, spell
from settings.product import Product
from settings.stack import Stack

TOOLS = ("prometheus", "alertmanager", "grafana", "node", "cadvisor", "postgres", "redis", "cloudflared")
"""Names on our networks that no service of a product may take."""

PUBLISHABLE_TOOLS = ("prometheus", "alertmanager", "grafana", "postgres", "redis")


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

    def in_product(path: list[str | int], found: str, expected: str) -> Problem:
        return Problem(product_file, dotted(path), found, expected, line=product_lines.find(path))

    problems = [in_product(*problem) for problem in _product_problems(product)]
    known = sorted({*product.services, *PUBLISHABLE_TOOLS})
    used: dict[int, str] = {}
    for name, port in stack.publish.items():
        path: list[str | int] = ["config", "dockyard:publish", name]
        if name not in known:
            expected = f"one of {', '.join(known)}"
            problems.append(Problem(stack_file, dotted(path), spell(name), expected, line=stack_lines.find(path)))
        if port in used:
            expected = f"a port of its own ({used[port]} has this one)"
            problems.append(Problem(stack_file, dotted(path), str(port), expected, line=stack_lines.find(path)))
        used[port] = name
    problems += _image_problems(stack, product, images, stack_file, stack_lines, in_product)
    return problems


def _product_problems(product: Product) -> Iterator[tuple[list[str | int], str, str]]:
    workloads = product.workloads
    for name in product.services.keys() & product.jobs.keys():
        yield ["jobs", name], spell(name), "a name that no service has"
    for name in workloads:
        kind = "services" if name in product.services else "jobs"
        if name in TOOLS:
            yield [kind, name], spell(name), f"another name: {', '.join(TOOLS)} are taken"
        for position, store in enumerate(workloads[name].needs):
            if getattr(product, store) is None:
                yield (
                    [kind, name, "needs", position],
                    spell(store),
                    f"a data store that is there: add {store}:",
                )
    graph: dict[str, set[str]] = {}
    for name, service in product.services.items():
        graph[name] = set()
        for position, before in enumerate(service.after):
            if before in workloads:
                graph[name].add(before)
            else:
                others = ", ".join(sorted(workloads.keys() - {name}))
                yield ["services", name, "after", position], spell(before), f"one of {others}"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = list(reversed(error.args[1]))
        yield ["services", circle[0], "after"], " after ".join(circle), "an order without a circle"


def _image_problems(
    stack: Stack,
    product: Product,
    images: ImageTable,
    stack_file: str,
    stack_lines: Lines,
    in_product: Callable[[list[str | int], str, str], Problem],
) -> list[Problem]:
    """A short name must be in the table; anything else must say registry, path and tag."""
    problems = []
    for name, workload in product.workloads.items():
        if workload.image in images.names or ("/" in workload.image and ":" in workload.image.split("/")[-1]):
            continue
        override = stack.services.get(name)
        own = override is not None and override.image is not None
        kind = "services" if name in product.services else "jobs"
        path: list[str | int] = ["config", "dockyard:services", name, "image"] if own else [kind, name, "image"]
        expected = f"registry/name:tag, or one of {', '.join(images.names)}"
        found = spell(workload.image)
        if own:
            problems.append(Problem(stack_file, dotted(path), found, expected, line=stack_lines.find(path)))
        else:
            problems.append(in_product(path, found, expected))
    return problems
