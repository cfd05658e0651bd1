"""Grafana: who may log in, what it is started with, and what it shows."""

import json

import pulumi
import pytest
from pydantic import ValidationError

from components.monitoring.grafana import run_grafana
from settings.base import secret_refs
from settings.grafana import PROVIDERS, Grafana, OAuth
from settings.monitoring import Monitoring
from tests.support.recording import record

HTTPS = "https://grafana.shop.example"
URLS = {
    "auth_url": "https://login.shop.example/auth",
    "token_url": "https://login.shop.example/token",
    "api_url": "https://login.shop.example/userinfo",
}
TENANT = {name: URLS[name] for name in ("auth_url", "token_url")}
GOOGLE = {
    **{"provider": "google", "client_id": "shop.apps", "client_secret": "google-secret"},
    "allowed_domains": ["shop.example"],
}
CLIENT_SECRET = "/dockyard/files/secrets/oauth-client-secret"


def oauth(provider, **said) -> dict:
    return {"provider": provider, "client_id": "id", "client_secret": "its-secret", **said}


@pytest.fixture
def grafana(make_context):
    def build_grafana(said=None, secrets=None, root_url="http://127.0.0.1:3001", logs=False, **options):
        def program():
            parent, context = pulumi.ComponentResource("test:a:B", "parent"), make_context()
            inputs = {"grafana": Grafana.model_validate(said or {}), "root_url": root_url, "logs": logs}
            inputs |= {"dashboards": {"overview.json": "{}"}, "admin_password": pulumi.Output.secret("the-password")}
            run_grafana("g", context, data=context.data_volume("g-data", parent), parent=parent, **inputs)

        return record(program, secrets=secrets, **options)

    return build_grafana


class TestOAuth:
    def test_its_client_secret_is_a_file_and_stands_nowhere_else(self, grafana):
        world = grafana({"oauth": GOOGLE}, secrets={"google-secret": "hush-hush"}, root_url=HTTPS)
        writer = world["g-provisioning-writer"]
        assert writer.files[CLIENT_SECRET] == "hush-hush"
        assert len(writer.secrets) == 2
        env = world["g"].env
        assert env["GF_AUTH_GOOGLE_CLIENT_SECRET__FILE"] == "/etc/grafana/provisioning/secrets/oauth-client-secret"
        assert "GF_AUTH_GOOGLE_CLIENT_SECRET" not in env
        assert "hush-hush" not in str(world["g"].inputs)

    def test_grafana_starts_anew_for_another_client_secret_and_for_nothing_else(self, grafana):
        first, same, other = (
            grafana({"oauth": GOOGLE}, secrets={"google-secret": value})["g"] for value in ("one", "one", "two")
        )
        assert first.inputs == same.inputs
        assert first.label("dockyard.content") != other.label("dockyard.content")
        assert not first.secrets

    def test_it_says_who_may_log_in(self, grafana):
        env = grafana({"oauth": GOOGLE}, secrets={"google-secret": "x"})["g"].env
        assert env["GF_AUTH_GOOGLE_ENABLED"] == "true"
        assert env["GF_AUTH_GOOGLE_CLIENT_ID"] == "shop.apps"
        assert json.loads(env["GF_AUTH_GOOGLE_ALLOWED_DOMAINS"]) == ["shop.example"]
        assert env["GF_AUTH_GOOGLE_ALLOW_SIGN_UP"] == "true"
        assert env["GF_AUTH_GOOGLE_AUTO_LOGIN"] == "false"
        assert not {"GF_AUTH_GOOGLE_ALLOWED_GROUPS", "GF_AUTH_GOOGLE_SCOPES", "GF_AUTH_GOOGLE_AUTH_URL"} & env.keys()

    def test_a_provider_of_ones_own_is_told_by_its_addresses(self, grafana):
        groups = {"allowed_groups": ["site reliability"], "groups_attribute_path": "groups"}
        role = "contains(groups, 'ops') && 'Editor'"
        log_in = {"auto_login": True, "allow_sign_up": False, "name": "Shop"}
        said = oauth("generic", **URLS, **groups, **log_in, role_attribute_path=role)
        env = grafana({"oauth": said}, secrets={"its-secret": "x"})["g"].env
        told = {name.removeprefix("GF_AUTH_GENERIC_OAUTH_"): value for name, value in env.items()}
        assert (told["AUTH_URL"], told["TOKEN_URL"], told["API_URL"]) == tuple(URLS.values())
        assert json.loads(told["ALLOWED_GROUPS"]) == ["site reliability"]
        assert told["ROLE_ATTRIBUTE_PATH"] == role
        assert json.loads(told["SCOPES"]) == ["openid", "profile", "email"]
        switches = (told["AUTO_LOGIN"], told["ALLOW_SIGN_UP"], told["USE_PKCE"])
        assert (*switches, told["NAME"]) == ("true", "false", "true", "Shop")

    def test_roles_that_an_administrator_gives_stay_unless_the_provider_gives_them(self, grafana):
        def synced(said):
            env = grafana({"oauth": said}, secrets={"its-secret": "x"})["g"].env
            return next(value for name, value in env.items() if name.endswith("SKIP_ORG_ROLE_SYNC")) == "false"

        github = oauth("github", allowed_organizations=["shop"])
        assert not synced(github)
        assert synced({**github, "role_attribute_path": "'Editor'"})
        assert synced(oauth("azuread", **TENANT, allowed_groups=["0-1"]))

    def test_a_team_is_told_by_its_number_as_text(self, grafana):
        env = grafana({"oauth": oauth("github", team_ids=[7])}, secrets={"its-secret": "x"})["g"].env
        assert env["GF_AUTH_GITHUB_TEAM_IDS"] == '["7"]'

    def test_the_form_goes_where_the_provider_is_to_be_the_only_way(self, grafana):
        said = {"oauth": GOOGLE, "password_login": False}
        assert grafana(said, secrets={"google-secret": "x"})["g"].env["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
        assert "GF_AUTH_DISABLE_LOGIN_FORM" not in grafana({"oauth": GOOGLE}, secrets={"google-secret": "x"})["g"].env

    def test_its_client_secret_is_one_that_the_stack_asks_for(self):
        refs = secret_refs(Monitoring.model_validate({"grafana": {"oauth": GOOGLE}}))
        assert dict(refs) == {"google-secret": ("grafana", "oauth", "client_secret")}

    def test_a_preview_without_it_goes_through(self, grafana):
        assert "g" in grafana({"oauth": GOOGLE}, preview=True)

    @pytest.mark.parametrize("provider", PROVIDERS)
    def test_a_provider_that_lets_everybody_in_is_refused(self, provider):
        urls = {url: URLS[url] for url in PROVIDERS[provider].urls}
        with pytest.raises(ValidationError, match=r"to limit who can log in: .*everybody who has an account at"):
            OAuth(**oauth(provider, **urls))

    @pytest.mark.parametrize("provider", PROVIDERS)
    def test_each_of_a_providers_limits_is_enough_alone(self, provider):
        values = {"team_ids": [1], "allowed_domains": ["shop.example"]}
        for limit in PROVIDERS[provider].limits:
            said = {url: URLS[url] for url in PROVIDERS[provider].urls} | {limit: values.get(limit, ["ops"])}
            path = {"groups_attribute_path": "groups"} if (provider, limit) == ("generic", "allowed_groups") else {}
            assert OAuth(**oauth(provider, **said, **path)).provider == provider

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            # What Grafana passes over would keep nobody out.
            (oauth("google", allowed_organizations=["shop"]), "no allowed_organizations: Grafana ignores it"),
            (oauth("gitlab", allowed_groups=["shop"], team_ids=[1]), "no team_ids"),
            # An address that nobody confirmed is no proof.
            (oauth("github", allowed_domains=["shop.example"]), "allowed_organizations or team_ids, to limit who can"),
            (oauth("azuread", **TENANT, allowed_domains=["shop.example"]), "allowed_organizations or"),
            ({**GOOGLE, "allowed_domains": ["shop.example", "gmail.com"]}, "anybody can get an address at gmail.com"),
            (oauth("generic", allowed_domains=["shop.example"]), "also auth_url and token_url and api_url"),
            (oauth("okta", **TENANT, allowed_groups=["ops"]), "also api_url, required by provider okta"),
            (oauth("gitlab", auth_url=URLS["auth_url"], allowed_groups=["ops"]), "all of auth_url, token_url, api_url"),
            ({**GOOGLE, **URLS}, "no auth_url and no token_url and no api_url"),
            (oauth("generic", **URLS, allowed_groups=["ops"]), "also groups_attribute_path"),
        ],
    )
    def test_what_cannot_be_is_told_with_what_is_expected(self, said, told):
        with pytest.raises(ValidationError, match=told):
            OAuth(**said)

    def test_the_form_stays_where_it_is_the_only_way(self):
        with pytest.raises(ValidationError, match="also oauth where password_login is false"):
            Grafana(password_login=False)


class TestWhatItShows:
    def test_grafana_starts_anew_for_another_data_source(self, grafana):
        without, world = grafana()["g"], grafana(logs="loki")["g"]
        assert world.label("dockyard.content") != without.label("dockyard.content")

    @pytest.mark.parametrize(
        "said", [{"datasource_uid": "alertmanager"}, {"datasource_uid": "one", "loki_datasource_uid": "one"}]
    )
    def test_one_uid_for_two_data_sources_is_refused_as_grafana_would_not_start(self, said):
        with pytest.raises(ValidationError, match="a unique uid for each data source"):
            Grafana(**said)
