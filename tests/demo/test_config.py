from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from demo import backend
from demo.config import ConfigError, Environment
from demo.stores import read_cache, read_database


@pytest.fixture
def password(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text("s3 cret'\\\n")
    return str(path)


def good(password: str) -> dict[str, str]:
    return {
        "DATABASE_HOST": "postgres",
        "DATABASE_NAME": "twitch_polls",
        "DATABASE_USER": "tumulte",
        "DATABASE_PASSWORD_FILE": password,
        "REDIS_HOST": "redis",
    }


def test_the_password_comes_from_the_file_and_is_shown_nowhere(password: str) -> None:
    settings = backend.read_settings(Environment(good(password) | {"REDIS_PASSWORD_FILE": password}))
    assert settings.database
    assert settings.cache
    assert conninfo_to_dict(settings.database.conninfo)["password"] == "s3 cret'\\"
    assert settings.cache.password == "s3 cret'\\"
    assert "s3 cret" not in repr(settings)


@pytest.mark.parametrize(
    "name", ["DATABASE_PASSWORD", "DATABASE_URL", "REDIS_PASSWORD", "REDIS_URL", "APP_KEY", "JWT_SECRET", "SENTRY_DSN"]
)
def test_a_secret_in_both_forms_is_refused_without_repeating_it(password: str, name: str) -> None:
    values = good(password) | {name: "redis://hunter2", f"{name}_FILE": password}
    with pytest.raises(ConfigError) as raised:
        backend.read_settings(Environment(values))
    assert f"{name} and {name}_FILE are both set, expected one of them" in raised.value.problems
    assert "hunter2" not in str(raised.value)


def test_urls_and_plain_variables_are_for_those_that_can_read_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://tumulte:hunter2@db:5433/polls\n")
    urls = {"DATABASE_URL_FILE": str(tmp_path / "url"), "REDIS_URL": "redis://:hunter3@cache:6380/1"}
    settings = backend.read_settings(Environment(urls | {"JWT_SECRET": "hunter4", "APP_KEY": "hunter5"}))
    assert settings.database and settings.cache
    assert (settings.database.label, settings.cache.label) == ("db:5433/polls", "cache:6380")
    assert conninfo_to_dict(settings.database.conninfo)["password"] == "hunter2"
    assert settings.secrets == ("APP_KEY", "JWT_SECRET")
    assert "hunter" not in repr(settings)


def test_a_broken_url_is_named_but_not_quoted() -> None:
    environment = Environment({"DATABASE_URL": "postgresql://u:hunter2@[db/x", "REDIS_URL": "http://:hunter3@x"})
    read_database(environment)
    read_cache(environment)
    assert [problem.split()[0] for problem in environment.problems] == ["DATABASE_URL", "REDIS_URL"]
    assert "hunter" not in str(environment.problems)
