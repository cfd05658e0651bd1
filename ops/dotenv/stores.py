"""The dotenv variables of Postgres and Redis: the product's own stores, or external ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from ops.dotenv.plan import ImportPlan, Verdict
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
SCHEMES = {"postgres": ("postgresql", "postgres"), "redis": ("redis",)}
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - looked for, not bound
IN_A_CONTAINER = "in a container this is the container itself: use {store} or, for the host, host.docker.internal"
EXISTING_DATA_NOTE = "; an existing database keeps its old password until ALTER USER"


@dataclass(frozen=True)
class StoreAddress:
    """The address and credentials of a store."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    url: str = field(repr=False, compare=False)


def parse_address(text: str, store: str) -> StoreAddress | None:
    """Parse the address of a store; return None if it is none that the store's settings can hold.

    Postgres: `postgresql://user:password@host:5432/database`. Redis: `redis://:password@host:6379` or `host:6379`.
    """
    url = f"redis://{text}" if store == "redis" and "://" not in text else text
    try:
        parts = urlsplit(url)
        port = parts.port or STORES[store]
    except ValueError:
        return None
    user = unquote(parts.username or "")
    if store == "redis":
        if user not in ("", "default"):
            return None
        user = ""
    if parts.scheme not in SCHEMES[store] or not parts.hostname:
        return None
    return StoreAddress(parts.hostname, port, user, unquote(parts.password or ""), parts.path.strip("/"), text)


def _chosen(plan: ImportPlan, names: tuple[str, ...], store: str, form: str) -> tuple[str, StoreAddress] | None:
    """Return the first usable address with its variable; report for the others whether they agree with it."""
    chosen: tuple[str, StoreAddress] | None = None
    for name in names:
        value = plan.value(name)
        if value is None:
            continue
        address = parse_address(value, store)
        if address is None:
            plan.add_row(name, Verdict.SKIPPED, f"not an address of the form {form}")
        elif address.host in LOCAL_HOSTS:
            plan.add_row(name, Verdict.SKIPPED, IN_A_CONTAINER.format(store=store))
        elif chosen is None:
            chosen = name, address
        else:
            first = chosen[0]
            differs = f"{first} has another value, and product and exporter share one address"
            plan.compare(name, address == chosen[1], f"the same as {first}", differs)
    return chosen


def postgres(plan: ImportPlan) -> None:
    """Plan the import of DATABASE_URL, DATA_SOURCE_NAME and POSTGRES_*, if the product has a Postgres."""
    effective = plan.effective.postgres
    names = [name for name in (*POSTGRES_URLS, *POSTGRES_PARTS) if plan.value(name) is not None]
    if plan.product.postgres is None or not names:
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
        for name, key in POSTGRES_PARTS.items():
            if (value := plan.value(name)) is not None:
                same = value == str(getattr(address, key))
                plan.compare(name, same, f"part of {variable}", f"{variable} has another value")
    elif isinstance(effective, Postgres):
        _own_postgres(plan, chosen, effective)
    else:
        for name in names:
            if plan.value(name) is not None:
                text = "this stack uses an external Postgres: remove postgres.external to use the product's own"
                plan.add_row(name, Verdict.DIFFERS, text)


def _from_parts(plan: ImportPlan) -> tuple[str, StoreAddress] | None:
    """Build the address of an external server from POSTGRES_HOST and the other POSTGRES_* variables."""
    values = {name: plan.real_value(name) or "" for name in POSTGRES_PARTS}
    missing = [name for name, value in values.items() if name != "POSTGRES_PORT" and not value]
    if values["POSTGRES_HOST"] in LOCAL_HOSTS:
        plan.add_row("POSTGRES_HOST", Verdict.SKIPPED, IN_A_CONTAINER.format(store="postgres"))
    elif missing:
        plan.add_row("POSTGRES_HOST", Verdict.SKIPPED, f"an external Postgres needs {', '.join(missing)} too")
    else:
        host, port = values["POSTGRES_HOST"], values["POSTGRES_PORT"] or STORES["postgres"]
        user, password, database = (quote(values[f"POSTGRES_{key}"], "") for key in ("USER", "PASSWORD", "DB"))
        if address := parse_address(f"postgresql://{user}:{password}@{host}:{port}/{database}", "postgres"):
            return "POSTGRES_HOST", address
        plan.add_row("POSTGRES_HOST", Verdict.SKIPPED, "with POSTGRES_PORT it is not a server address")
    for name in POSTGRES_PARTS:
        if plan.value(name) is not None:
            plan.add_row(name, Verdict.SKIPPED, "see POSTGRES_HOST")
    return None


def _own_postgres(plan: ImportPlan, chosen: tuple[str, StoreAddress] | None, settings: Postgres) -> None:
    """Compare the variables with the product's own Postgres; only its password can be imported."""
    if chosen:
        variable, address = chosen
        if address.password:
            plan.secret(variable, POSTGRES_PASSWORD, address.password, EXISTING_DATA_NOTE)
        else:
            plan.add_row(variable, Verdict.ALREADY, "the product's own Postgres, whose address Dockyard generates")
        for key in ("user", "database"):
            if (requested := getattr(address, key)) and requested != getattr(settings, key):
                plan.add_row(variable, Verdict.DIFFERS, _difference(plan, key, requested, getattr(settings, key)))
        if address.port != STORES["postgres"]:
            plan.add_row(variable, Verdict.DIFFERS, _port_difference(plan, address.port))
    if (host := plan.value("POSTGRES_HOST")) is not None:
        differs = f"{chosen[0] if chosen else 'the product'} has postgres"
        plan.compare("POSTGRES_HOST", host == "postgres", "the name of the product's own Postgres", differs)
    if (port := plan.value("POSTGRES_PORT")) is not None:
        same_port = {
            str(plan.effective.publish.get("postgres", "")): f"publish.postgres: {port}, on this machine",
            str(STORES["postgres"]): "the port of the product's own Postgres, in its network",
        }
        verdict = Verdict.ALREADY if port in same_port else Verdict.DIFFERS
        plan.add_row("POSTGRES_PORT", verdict, same_port.get(port) or _port_difference(plan, port))
    for name, key in (("POSTGRES_USER", "user"), ("POSTGRES_DB", "database")):
        value, current = plan.value(name), getattr(settings, key)
        if value == current:
            text = f"postgres.{key}: {current}, from {plan.source_of(('postgres', key))}"
            plan.add_row(name, Verdict.ALREADY, text)
        elif value is not None:
            plan.add_row(name, Verdict.DIFFERS, _difference(plan, key, value, current))
    if (password := plan.value("POSTGRES_PASSWORD")) is not None:
        plan.secret("POSTGRES_PASSWORD", POSTGRES_PASSWORD, password, EXISTING_DATA_NOTE)


def _difference(plan: ImportPlan, key: str, requested: str, current: str) -> str:
    return f"postgres.{key} is {current}, not {requested}: change it in {plan.stack.product}, before there is data"


def _port_difference(plan: ImportPlan, port: int | str) -> str:
    return (
        f"the product's own Postgres listens on {STORES['postgres']} in its network, not {port}:"
        f" `dockyard:publish: {{postgres: {port}}}` in {plan.stack_file} publishes it on this machine"
    )


def redis(plan: ImportPlan) -> None:
    """Plan the import of REDIS_URL, REDIS_ADDR and REDIS_PASSWORD, if the product has a Redis."""
    effective = plan.effective.redis
    if plan.product.redis is None:
        return
    chosen = _chosen(plan, REDIS_URLS, "redis", "redis://:password@host:6379 (without TLS, as the default user)")
    external = effective.external if isinstance(effective, ExternalRedis) else None
    passwords = {chosen[0]: chosen[1].password} if chosen and chosen[1].password else {}
    if (password := plan.value("REDIS_PASSWORD")) is not None:
        passwords["REDIS_PASSWORD"] = password
    own_address = chosen is not None and chosen[1].host == "redis"
    if chosen and own_address and external:
        text = "this stack uses an external Redis: remove redis.external to use the product's own"
        for name in dict.fromkeys([chosen[0], *passwords]):
            plan.add_row(name, Verdict.DIFFERS, text)
    elif (chosen and not own_address) or (external and not chosen):
        _external_redis(plan, chosen, passwords, external)
    else:
        _own_redis(plan, chosen, passwords)


def _own_redis(plan: ImportPlan, chosen: tuple[str, StoreAddress] | None, passwords: Mapping[str, str]) -> None:
    for variable, password in passwords.items():
        plan.secret(variable, REDIS_PASSWORD, password)
    if not chosen:
        return
    variable, address = chosen
    if variable not in passwords:
        text = "the product's own Redis; the address that Dockyard generates has its password"
        plan.add_row(variable, Verdict.ALREADY, text)
    if address.port != STORES["redis"] or address.database not in ("", "0"):
        plan.add_row(variable, Verdict.DIFFERS, f"the product's own Redis is at redis:{STORES['redis']}, database 0")


def _external_redis(
    plan: ImportPlan,
    chosen: tuple[str, StoreAddress] | None,
    passwords: Mapping[str, str],
    external: RedisElsewhere | None,
) -> None:
    current = external.password if external else None
    if chosen:
        address = f"{chosen[1].host}:{chosen[1].port}"
        plan.setting(chosen[0], ("redis", "external", "address"), address, external.address if external else None)
    for variable, password in passwords.items():
        plan.named_secret(variable, ("redis", "external", "password"), current or REDIS_PASSWORD, password, current)
    edits = [path for path in plan.edits if path[:2] == ("redis", "external")]
    if external and edits and not plan.files.stack.contains(("redis", "external")):
        # The stack file's `external` replaces the product file's as a whole: complete it.
        plan.edits.setdefault(("redis", "external", "address"), external.address)
        if current:
            plan.edits.setdefault(("redis", "external", "password"), current)
