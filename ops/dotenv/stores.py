"""The dotenv variables of Postgres and Redis: the product's own stores, or external ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from ops.dotenv.plan import ImportPlan, Verdict
from ops.dotenv.stack_file import ABSENT, lookup
from settings.names import STORES
from settings.stores import ExternalPostgres, ExternalRedis, Postgres, RedisElsewhere

POSTGRES_URLS = ("DATABASE_URL", "DATA_SOURCE_NAME")
POSTGRES_PARTS = {
    "POSTGRES_HOST": "host",
    "POSTGRES_PORT": "port",
    "POSTGRES_USER": "user",
    "POSTGRES_PASSWORD": "password",
    "POSTGRES_DB": "database",
}
REDIS_URLS = ("REDIS_URL", "REDIS_ADDR")
DSN_SECRET, POSTGRES_PASSWORD, REDIS_PASSWORD = "postgres-dsn", "postgres-password", "redis-password"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - looked for, not bound
IN_A_CONTAINER = (
    "in a container this is the container itself: {store} is the product's own, host.docker.internal the host"
)
EXISTING_DATA_NOTE = "; a Postgres that has its data already keeps its old one until ALTER USER"


@dataclass(frozen=True)
class Address:
    """The address and credentials of a store."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    url: str = field(repr=False, compare=False)


def postgres_address(url: str) -> Address | None:
    """Parse `postgresql://user:password@host:5432/database`; return None if it is no such address."""
    try:
        parts = urlsplit(url)
        port = parts.port or STORES["postgres"]
    except ValueError:
        return None
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        return None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Address(parts.hostname, port, user, password, parts.path.strip("/"), url)


def redis_address(text: str) -> Address | None:
    """Parse `redis://:password@host:6379` or `host:6379`; return None if it is no such address."""
    try:
        parts = urlsplit(text if "://" in text else f"redis://{text}")
        port = parts.port or STORES["redis"]
    except ValueError:
        return None
    if parts.scheme != "redis" or not parts.hostname or parts.username not in (None, "", "default"):
        return None
    return Address(parts.hostname, port, "", unquote(parts.password or ""), parts.path.strip("/"), text)


def postgres(plan: ImportPlan) -> None:
    """Plan the import of DATABASE_URL, DATA_SOURCE_NAME and POSTGRES_*, if the product has a Postgres."""
    declared, effective = plan.product.postgres, plan.effective.postgres
    names = [name for name in (*POSTGRES_URLS, *POSTGRES_PARTS) if plan.value(name) is not None]
    if declared is None or not names:
        return
    chosen = _chosen(plan, POSTGRES_URLS, "postgres", "postgresql://user:password@host:5432/database")
    if chosen is None and plan.value("POSTGRES_HOST") not in (None, "postgres"):
        chosen = _from_parts(plan)
        if chosen is None:
            return
    if chosen and chosen[1].host != "postgres":
        variable, address = chosen
        external = effective.external.dsn if isinstance(effective, ExternalPostgres) else None
        plan.named_secret(variable, ("postgres", "external", "dsn"), external or DSN_SECRET, address.url, external)
        _compare_parts(plan, variable, address)
    elif isinstance(effective, Postgres):
        _own_postgres(plan, chosen, effective)
    else:
        for name in names:
            if plan.value(name) is not None:
                text = "this stack's Postgres is somebody else's, by postgres.external; without it, the product's own"
                plan.add_row(name, Verdict.DIFFERS, text)


def _own_postgres(plan: ImportPlan, chosen: tuple[str, Address] | None, settings: Postgres) -> None:
    """Compare the variables with the product's own Postgres; only its password can be imported."""
    if chosen:
        variable, address = chosen
        if address.password:
            plan.secret(variable, POSTGRES_PASSWORD, address.password, EXISTING_DATA_NOTE)
        else:
            plan.add_row(variable, Verdict.ALREADY, "the product's own Postgres, by an address that Dockyard makes")
        for key, requested, current in (
            ("user", address.user, settings.user),
            ("database", address.database, settings.database),
        ):
            if requested and requested != current:
                plan.add_row(variable, Verdict.DIFFERS, _difference(plan, key, requested, current))
        if address.port != STORES["postgres"]:
            plan.add_row(variable, Verdict.DIFFERS, _port_difference(plan, address.port))
    if (host := plan.value("POSTGRES_HOST")) == "postgres":
        plan.add_row("POSTGRES_HOST", Verdict.ALREADY, "the name of the product's own Postgres")
    elif host is not None:
        plan.add_row(
            "POSTGRES_HOST", Verdict.DIFFERS, f"not used: {chosen[0] if chosen else 'the product'} says postgres"
        )
    _own_port(plan)
    for name, key in (("POSTGRES_USER", "user"), ("POSTGRES_DB", "database")):
        value, current = plan.value(name), getattr(settings, key)
        if value == current:
            plan.add_row(
                name, Verdict.ALREADY, f"postgres.{key}: {current}, said by {plan.source_of(('postgres', key))}"
            )
        elif value is not None:
            plan.add_row(name, Verdict.DIFFERS, _difference(plan, key, value, current))
    if (password := plan.value("POSTGRES_PASSWORD")) is not None:
        plan.secret("POSTGRES_PASSWORD", POSTGRES_PASSWORD, password, EXISTING_DATA_NOTE)


def _own_port(plan: ImportPlan) -> None:
    port, published = plan.value("POSTGRES_PORT"), plan.effective.publish.get("postgres")
    if port is None:
        return
    if port == str(STORES["postgres"]):
        plan.add_row("POSTGRES_PORT", Verdict.ALREADY, "the port of the product's own Postgres, in its network")
    elif port == str(published):
        plan.add_row("POSTGRES_PORT", Verdict.ALREADY, f"publish.postgres: {port}, on this machine")
    else:
        plan.add_row("POSTGRES_PORT", Verdict.DIFFERS, _port_difference(plan, port))


def _difference(plan: ImportPlan, key: str, requested: str, current: str) -> str:
    return f"postgres.{key} is {current}, not {requested}: change it in {plan.stack.product}, before there is data"


def _port_difference(plan: ImportPlan, port: int | str) -> str:
    return (
        f"the product's own Postgres has {STORES['postgres']} in its network, not {port}:"
        f" `dockyard:publish: {{postgres: {port}}}` in {plan.stack_file} has it on this machine"
    )


def _from_parts(plan: ImportPlan) -> tuple[str, Address] | None:
    """Build the address of an external server from POSTGRES_HOST and the other POSTGRES_* variables."""
    host = plan.real_value("POSTGRES_HOST")
    missing = [name for name in POSTGRES_PARTS if name != "POSTGRES_PORT" and not plan.real_value(name)]
    if host in LOCAL_HOSTS:
        plan.add_row("POSTGRES_HOST", Verdict.SKIPPED, IN_A_CONTAINER.format(store="postgres"))
    elif missing:
        plan.add_row("POSTGRES_HOST", Verdict.SKIPPED, f"somebody else's Postgres needs {', '.join(missing)} too")
    else:
        user, password, database = (
            quote(plan.real_value(f"POSTGRES_{key}") or "", "") for key in ("USER", "PASSWORD", "DB")
        )
        port = plan.real_value("POSTGRES_PORT") or STORES["postgres"]
        if address := postgres_address(f"postgresql://{user}:{password}@{host}:{port}/{database}"):
            return "POSTGRES_HOST", address
        plan.add_row("POSTGRES_HOST", Verdict.SKIPPED, "with POSTGRES_PORT it is no address of a server")
    for name in POSTGRES_PARTS:
        if plan.value(name) is not None:
            plan.add_row(name, Verdict.SKIPPED, "see POSTGRES_HOST")
    return None


def _compare_parts(plan: ImportPlan, variable: str, address: Address) -> None:
    for name, key in POSTGRES_PARTS.items():
        value = plan.value(name)
        if value is None:
            continue
        if value == str(getattr(address, key)):
            plan.add_row(name, Verdict.ALREADY, f"part of what {variable} says")
        else:
            plan.add_row(name, Verdict.DIFFERS, f"not used: {variable} says something else")


def _chosen(plan: ImportPlan, names: tuple[str, ...], store: str, form: str) -> tuple[str, Address] | None:
    """Return the first usable address with its variable; report for the others whether they agree with it."""
    chosen: tuple[str, Address] | None = None
    for name in names:
        value = plan.value(name)
        if value is None:
            continue
        address = postgres_address(value) if store == "postgres" else redis_address(value)
        if address is None:
            plan.add_row(name, Verdict.SKIPPED, f"no address of the form {form}")
        elif address.host in LOCAL_HOSTS:
            plan.add_row(name, Verdict.SKIPPED, IN_A_CONTAINER.format(store=store))
        elif chosen is None:
            chosen = name, address
        elif address == chosen[1]:
            plan.add_row(name, Verdict.ALREADY, f"the same as {chosen[0]}")
        else:
            text = f"not used: {chosen[0]} says something else, and product and exporter share one address"
            plan.add_row(name, Verdict.DIFFERS, text)
    return chosen


def redis(plan: ImportPlan) -> None:
    """Plan the import of REDIS_URL, REDIS_ADDR and REDIS_PASSWORD, if the product has a Redis."""
    effective = plan.effective.redis
    if plan.product.redis is None:
        return
    chosen = _chosen(plan, REDIS_URLS, "redis", "redis://:password@host:6379 (without TLS, as the default user)")
    elsewhere = effective.external if isinstance(effective, ExternalRedis) else None
    passwords = {chosen[0]: chosen[1].password} if chosen and chosen[1].password else {}
    if (password := plan.value("REDIS_PASSWORD")) is not None:
        passwords["REDIS_PASSWORD"] = password
    if chosen and chosen[1].host == "redis":
        if elsewhere:
            text = "this stack's Redis is somebody else's, by redis.external; without it, the product's own"
            for name in dict.fromkeys([chosen[0], *passwords]):
                plan.add_row(name, Verdict.DIFFERS, text)
        else:
            _own_redis(plan, chosen, passwords)
    elif chosen or elsewhere:
        _redis_elsewhere(plan, chosen, passwords, elsewhere)
    else:
        _own_redis(plan, None, passwords)


def _own_redis(plan: ImportPlan, chosen: tuple[str, Address] | None, passwords: Mapping[str, str]) -> None:
    for variable, password in passwords.items():
        plan.secret(variable, REDIS_PASSWORD, password)
    if not chosen:
        return
    variable, address = chosen
    if variable not in passwords:
        text = "the product's own Redis; the address that Dockyard makes has its generated password"
        plan.add_row(variable, Verdict.ALREADY, text)
    if address.port != STORES["redis"] or address.database not in ("", "0"):
        plan.add_row(variable, Verdict.DIFFERS, f"the product's own Redis is at redis:{STORES['redis']}, database 0")


def _redis_elsewhere(
    plan: ImportPlan,
    chosen: tuple[str, Address] | None,
    passwords: Mapping[str, str],
    elsewhere: RedisElsewhere | None,
) -> None:
    current = elsewhere.password if elsewhere else None
    if chosen:
        address = f"{chosen[1].host}:{chosen[1].port}"
        plan.setting(chosen[0], ("redis", "external", "address"), address, elsewhere.address if elsewhere else None)
    for variable, password in passwords.items():
        plan.named_secret(variable, ("redis", "external", "password"), current or REDIS_PASSWORD, password, current)
    edits = [place for place in plan.edits if place[:2] == ("redis", "external")]
    if elsewhere and edits and lookup(plan.values, ("redis", "external")) is ABSENT:
        # The stack file's `external` replaces the product file's as a whole: complete it.
        plan.edits.setdefault(("redis", "external", "address"), elsewhere.address)
        if current:
            plan.edits.setdefault(("redis", "external", "password"), current)
