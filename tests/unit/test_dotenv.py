"""What becomes of the variables of a product's `.env` file."""

import subprocess

import pytest

from machine.progress import Progress
from ops.dotenv import command
from settings.loader import load, read_stack_file
from settings.problems import SettingsError
from tests.support.dotenv import PRODUCT, STACK

TUMULTE = """\
ENVIRONMENT=staging                    # development | staging | production
ENV_SUFFIX=staging                     # dev | staging | prod
GF_SECURITY_ADMIN_USER=admin
GF_SECURITY_ADMIN_PASSWORD=secure_password_here
GRAFANA_ROOT_URL=https://monitoring-staging.tumulte.app
# Crée des webhooks dans Discord: Server Settings > Integrations > Webhooks
DISCORD_MONITORING_WEBHOOK_URL=https://discord.com/api/webhooks/xxx/yyy
DISCORD_CRITICAL_WEBHOOK_URL=https://discord.com/api/webhooks/xxx/zzz
CLOUDFLARE_TUNNEL_TOKEN=eyJhxxxxx
GRAFANA_PUBLIC_DOMAIN=monitoring-staging.tumulte.app
DATA_SOURCE_NAME=postgresql://user:pass@host:5432/twitch_polls?sslmode=disable
REDIS_ADDR=host.docker.internal:6379
REDIS_PASSWORD=
"""
"""Tumulte's monitoring/.env.example, without its headings."""


def names(text: str) -> list[str]:
    return [line.split("=")[0] for line in text.splitlines() if not line.startswith("#")]


class TestTheSeedsOwnExamples:
    def test_tumultes_example_is_all_placeholders_and_known_values(self, shop):
        shop.stack_file.write_text(STACK + "  dockyard:tunnel: {token: tunnel-token}\n")
        answers = shop.take(TUMULTE)
        assert list(answers) == names(TUMULTE)
        placeholders = {name for name, answer in answers.items() if answer.startswith("skipped: a placeholder")}
        assert placeholders == {
            *("GF_SECURITY_ADMIN_PASSWORD", "DISCORD_MONITORING_WEBHOOK_URL", "DISCORD_CRITICAL_WEBHOOK_URL"),
            *("CLOUDFLARE_TUNNEL_TOKEN", "DATA_SOURCE_NAME"),
        }
        assert answers["ENVIRONMENT"] == "unchanged: environment: staging, from Pulumi.staging.yaml"
        assert answers["ENV_SUFFIX"].startswith("unchanged")
        assert answers["GF_SECURITY_ADMIN_USER"] == "unchanged: monitoring.grafana.admin_user: admin, from default"
        assert answers["GRAFANA_ROOT_URL"].startswith("set: monitoring.grafana.root_url")
        assert answers["REDIS_ADDR"] == "set: redis.external.address: host.docker.internal:6379"
        assert answers["REDIS_PASSWORD"] == "skipped: it is empty"
        assert shop.secrets == {}

    def test_tumultes_example_with_real_values_becomes_settings_and_secrets(self, shop):
        text = TUMULTE.replace("secure_password_here", "gr4fana").replace("xxx/yyy", "1/a").replace("xxx/zzz", "2/b")
        text = text.replace("eyJhxxxxx", "eyJhIjoi").replace("user:pass@host", "shop:db-pw@postgres")
        answers = shop.take(text.replace("REDIS_PASSWORD=", "REDIS_PASSWORD=redis-pw"))
        assert shop.secrets == {
            "grafana-admin-password": "gr4fana",
            "discord-monitoring": "https://discord.com/api/webhooks/1/a",
            "discord-critical": "https://discord.com/api/webhooks/2/b",
            "tunnel-token": "eyJhIjoi",
            "postgres-password": "db-pw",
            "redis-password": "redis-pw",
        }
        config = shop.config
        assert config["dockyard:alerts"]["receivers"] == {
            "monitoring": {"type": "discord", "severities": ["warning", "info"], "webhook": "discord-monitoring"},
            "alertes-critiques": {"type": "discord", "severities": ["critical"], "webhook": "discord-critical"},
        }
        assert config["dockyard:tunnel"] == {"token": "tunnel-token", "hostname": "monitoring-staging.tumulte.app"}
        redis = {"address": "host.docker.internal:6379", "password": "redis-password"}
        assert config["dockyard:redis"] == {"external": redis}
        assert answers["DATA_SOURCE_NAME"].startswith("secret set: dockyard:postgres-password")
        wrong = "postgres.database is shop, not twitch_polls: change it in products/shop.yaml"
        assert wrong in answers["DATA_SOURCE_NAME"]
        load(read_stack_file(shop.work.checkout, "staging"), "staging", checkout=shop.work.checkout)


class TestSecrets:
    FILE = (
        "JWT_SECRET=s3cret-jwt\nAPP_KEY='s3cret ${app}'\nDATABASE_URL=postgresql://shop:s3cret-db@postgres:5432/shop\n"
    )

    def test_a_secret_is_in_no_output_no_file_and_no_command(self, shop):
        answers = shop.take(self.FILE)
        assert answers["JWT_SECRET"] == "secret set: dockyard:jwt-secret"
        assert shop.secrets["jwt-secret"] == "s3cret-jwt"
        assert shop.secrets["app-key"] == "s3cret ${app}"
        assert shop.secrets["postgres-password"] == "s3cret-db"
        assert "s3cret" not in shop.printed + shop.stack_file.read_text() + shop.commands

    def test_a_second_import_changes_nothing(self, shop):
        text = self.FILE + "RATE_LIMIT_DEFAULT=200\nBUILD_FRONTEND=false\nGRAFANA_ROOT_URL=https://grafana.example\n"
        shop.take(text)
        after, commands = shop.stack_file.read_text(), shop.commands
        answers = shop.take(text)
        assert shop.stack_file.read_text() == after
        assert "config set" not in shop.commands.removeprefix(commands)
        assert {text.split(":")[0] for text in answers.values()} == {"unchanged"}

    def test_another_value_replaces_the_secret(self, shop):
        shop.take("JWT_SECRET=s3cret-one\n")
        assert shop.take("JWT_SECRET=s3cret-two\n")["JWT_SECRET"] == "secret set: dockyard:jwt-secret"
        assert shop.secrets["jwt-secret"] == "s3cret-two"

    def test_a_dry_run_writes_nothing_and_needs_no_engine(self, shop):
        answers = shop.take(self.FILE + "RATE_LIMIT_DEFAULT=200\n", dry_run=True)
        assert answers["RATE_LIMIT_DEFAULT"] == "set: services.api.env.RATE_LIMIT_DEFAULT: 200"
        assert "Nothing was written" in shop.printed
        assert (shop.stack_file.read_text(), shop.secrets, shop.engines) == (STACK, {}, 0)

    def test_the_stack_file_is_restored_where_the_engine_fails_half_way(self, shop):
        shop.pulumi.broken = True
        with pytest.raises(subprocess.CalledProcessError) as caught:
            shop.take(self.FILE + "RATE_LIMIT_DEFAULT=200\n")
        assert shop.stack_file.read_text() == STACK
        assert "s3cret" not in str(caught.value)

    def test_a_secret_of_a_disabled_workload_is_left_out(self, shop):
        answers = shop.take("FRONTEND_KEY=s3cret\nBUILD_FRONTEND=false\n")
        assert answers["FRONTEND_KEY"] == "skipped: this stack uses no secret frontend-key"
        assert shop.secrets == {}


class TestSettings:
    def test_comments_order_and_style_of_the_stack_file_stay(self, shop):
        shop.take("RATE_LIMIT_DEFAULT=200\n")
        want = STACK.replace("api: {image: demo}", 'api: {image: demo, env: {RATE_LIMIT_DEFAULT: "200"}}')
        assert shop.stack_file.read_text() == want

    def test_a_variable_is_overridden_in_each_workload_that_has_it(self, shop):
        shop.take("NODE_ENV=staging\n")
        services = shop.config["dockyard:services"]
        assert services["api"]["env"] == services["frontend"]["env"] == {"NODE_ENV": "staging"}

    def test_an_override_goes_when_the_product_files_value_is_wanted_again(self, shop):
        shop.take("DB_TRACE=true\nBUILD_FRONTEND=false\n")
        answers = shop.take("DB_TRACE=false\nBUILD_FRONTEND=true\n")
        assert answers["DB_TRACE"].startswith("set: services.api.env.DB_TRACE: removed")
        assert answers["BUILD_FRONTEND"].startswith("set: services.frontend.enabled: removed")
        assert shop.stack_file.read_text() == STACK

    def test_frontend_and_migrations_are_switched_off(self, shop):
        answers = shop.take("BUILD_FRONTEND=false\nRUN_MIGRATIONS=no\n")
        assert answers["RUN_MIGRATIONS"] == "set: services.migrate.enabled: false"
        services = shop.config["dockyard:services"]
        assert services["frontend"] == services["migrate"] == {"enabled": False}
        assert "tidy" not in services

    def test_migrations_of_an_entry_point_cannot_be_switched_off(self, shop):
        product = PRODUCT.replace("  migrate: {image: demo, needs: [postgres]}\n", "")
        product = product.replace("    after: [migrate]\n", "")
        shop.product_file.write_text(product.replace("    port: 3000\n", "    port: 3000\n    dump_before: true\n"))
        answers = shop.take("RUN_MIGRATIONS=false\n")
        assert answers["RUN_MIGRATIONS"] == "skipped: the image of api runs its migrations when it starts"

    def test_grafana_and_environment_are_settings(self, shop):
        shop.take("ENVIRONMENT=prod\nGF_SECURITY_ADMIN_USER=boss\nGRAFANA_ROOT_URL=https://grafana.example/\n")
        assert shop.config["dockyard:environment"] == "production"
        grafana = {"admin_user": "boss", "root_url": "https://grafana.example"}
        assert shop.config["dockyard:monitoring"]["grafana"] == grafana

    @pytest.mark.parametrize(
        ("line", "answer"),
        [
            ("ENV_SUFFIX=prod", "differs: the environment is staging"),
            ("PORT=8080", "unchanged: services.frontend.port: 8080, from products/shop.yaml"),
            ("PORT=4000", "differs: services.api.port is 3000"),
            ("RATE_LIMIT_DEFAULT=100", "unchanged"),
            ("REDIS_URL=redis://redis:6379", "unchanged"),
            ("DATABASE_URL=postgresql://user:pass@host:port/db", "skipped: a placeholder"),
            ("JWT_SECRET=your-secret-key", "skipped: a placeholder"),
            # A domain without a tunnel.
            ("GRAFANA_PUBLIC_DOMAIN=m.shop.example", "skipped"),
            ("SENTRY_DSN=https://s3cret@sentry.example/1", "unknown: to import it, add it to `env` or `secrets`"),
            ("TWILIO_AUTH_TOKEN=s3cret", "unknown: Twilio's own API expects forms"),
            ("ANALYZE_BUNDLE=true", "unknown: a step of the product's own pipeline"),
        ],
    )
    def test_a_variable_that_sets_nothing_is_answered_with_the_reason(self, shop, line, answer):
        (text,) = shop.take(f"{line}\n").values()
        assert text.startswith(answer)
        assert "s3cret" not in shop.printed
        assert shop.stack_file.read_text() == STACK

    TUNNEL = STACK + "  dockyard:tunnel: {name: shop, hostname: m.shop.example, account_id: '%s', zone_id: '%s'}\n"

    def test_a_tunnel_token_replaces_a_tunnel_whose_account_is_only_zeros(self, shop):
        shop.stack_file.write_text(self.TUNNEL % ("0" * 32, "0" * 32))
        shop.take("CLOUDFLARE_TUNNEL_TOKEN=eyJhIjoi\n")
        assert shop.config["dockyard:tunnel"] == {"hostname": "m.shop.example", "token": "tunnel-token"}

    def test_a_tunnel_that_dockyard_makes_is_not_given_up_for_a_token(self, shop):
        shop.stack_file.write_text(self.TUNNEL % ("a" * 32, "b" * 32))
        answers = shop.take("CLOUDFLARE_TUNNEL_TOKEN=eyJhIjoi\n")
        assert answers["CLOUDFLARE_TUNNEL_TOKEN"].startswith("differs: not used: Dockyard creates this stack's tunnel")
        assert shop.secrets == {}


class TestBadInput:
    def test_a_value_that_the_settings_refuse_is_reported_with_its_variable(self, shop):
        with pytest.raises(SettingsError, match=r"It comes from GRAFANA_ROOT_URL in .*\.env"):
            shop.take("GRAFANA_ROOT_URL=grafana.example\nJWT_SECRET=s3cret\n")
        assert (shop.stack_file.read_text(), shop.secrets) == (STACK, {})

    def test_a_stack_that_is_wrong_already_is_reported_first(self, shop):
        shop.stack_file.write_text(STACK.replace("staging", "test"))
        with pytest.raises(SettingsError, match="dockyard:environment"):
            shop.take("JWT_SECRET=s3cret\n")

    def test_an_unknown_stack_or_file_is_refused(self, shop, tmp_path):
        (tmp_path / ".env").write_text("A=1\n")
        with pytest.raises(SettingsError, match="Known stacks: staging"):
            command.import_env(shop.work, tmp_path / ".env", "prod", Progress(quiet=True))
        with pytest.raises(SettingsError, match="a file of NAME=value lines"):
            command.import_env(shop.work, tmp_path / "none", "staging", Progress(quiet=True))
