"""Releases under load: no request is lost, and a bad release never takes the old one down."""

import re

import pytest

from tests.support.load import Load
from tests.support.stack import Stack

REQUESTS = 6_000  # requests that a load has to last for at least: a minute


def edited_product(shop: Stack, **variables: str) -> str:
    more = "".join(f', {name}: "{value}"' for name, value in variables.items())
    return shop.product_file.read_text().replace('PORT: "3333"', f'PORT: "3333"{more}')


def test_releases_of_the_dev_stack_under_load_lose_no_request(dev: Stack) -> None:
    text = dev.stack_file.read_text()
    (line,) = re.findall(r"^ +backend: \{.*\}$", text, re.MULTILINE)
    edge = dev.container("traefik").id
    with Load(dev.urls["backend"] + "/version") as load:
        with dev.edited({dev.stack_file: text.replace(line, f'{line[:-1]}, env: {{RELEASE: "next"}}}}')}):
            dev.up().good()
        # The end of the edit has released the former version again.
        load.wait_for(REQUESTS)
    load.answers.assert_none_lost()
    assert {"next", "unreleased"} <= set(load.answers.releases)
    assert dev.container("traefik").id == edge, "a release does not touch the edge proxy itself"


@pytest.mark.soak
def test_three_releases_in_a_row_under_a_high_load_lose_no_request(shop: Stack) -> None:
    edge = shop.container("traefik").id
    with Load(shop.urls["backend"] + "/version", rate=250) as load:
        texts = [edited_product(shop, RELEASE=number) for number in ("one", "two")]
        with shop.edited({shop.product_file: texts[0]}):
            for text in texts:
                shop.product_file.write_text(text)
                shop.up().good()
        # The end of the edit has made the third release.
        load.wait_for(REQUESTS)
    load.answers.assert_none_lost()
    assert {"one", "two", "unreleased"} <= set(load.answers.releases)
    assert shop.container("traefik").id == edge


def test_an_unhealthy_release_loses_no_request_and_shows_its_log(shop: Stack) -> None:
    old = shop.container("backend").id
    with Load(shop.urls["backend"] + "/version") as load:
        sick = edited_product(shop, RELEASE="sick", DEMO_UNHEALTHY="1")
        with shop.edited({shop.product_file: sick, shop.stack_file: shop.impatient}):
            failed = shop.up()
            assert failed.code != 0
            assert "backend is not healthy. Its last lines:" in failed.output
            assert "DEMO_UNHEALTHY" in failed.output, "the new container's own last lines"
            assert old in shop.running_ids, "the old version still serves"
        load.wait_for(REQUESTS)
    load.answers.assert_none_lost()
    assert "sick" not in load.answers.releases
    # The next good `up`, at the end of the edit, has cleaned up: nothing is there twice, nothing remains to be done.
    assert shop.get("backend", "/health/ready").status_code == 200
    assert shop.preview("--refresh").code == 0


def test_an_image_that_cannot_be_had_leaves_the_old_version(shop: Stack) -> None:
    old = shop.container("backend").id
    text = shop.product_file.read_text()
    with shop.edited({shop.product_file: text.replace("image: demo", "image: '127.0.0.1:9/nobody/backend:2'")}):
        refused = shop.up()
        assert refused.code != 0
        assert "127.0.0.1:9/nobody/backend:2" in refused.output
        assert shop.container("backend").id == old
        assert shop.get("backend", "/health/ready").status_code == 200


def test_a_rollback_under_load_loses_no_request_until_the_next_up(shop: Stack) -> None:
    with shop.edited({shop.product_file: edited_product(shop, RELEASE="regretted")}):
        shop.up().good()
        assert shop.get("backend", "/polls").headers["x-release"] == "regretted"
        with Load(shop.urls["backend"] + "/version") as load:
            shop.checkout.dockyard("rollback", "shop").good()
            assert shop.get("backend", "/polls").headers["x-release"] == "unreleased"
            shop.up().good()
            assert shop.get("backend", "/polls").headers["x-release"] == "regretted", "the files decide again"
        load.answers.assert_none_lost()
