"""The JSON Schemas of stack and product files: current, true to the models, and named where editors look."""

import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from settings.container import Health
from settings.product import Product
from settings.schema import ONE_OF, product_schema, stack_schema, write_schemas
from settings.stack import StackFile
from settings.tunnel import Tunnel
from settings.workload import Build, File, Job, Service

CHECKOUT = Path(__file__).resolve().parents[2]
PRODUCTS = sorted(CHECKOUT.glob("products/*.yaml"))
STACKS = sorted(CHECKOUT.glob("Pulumi.*.yaml"))
MODELINE = re.compile(r"^# yaml-language-server: \$schema=(\S+)$", re.MULTILINE)

product = Draft202012Validator(product_schema())
stack = Draft202012Validator(stack_schema())


def minimal_product(**changes):
    service = {"image": "demo", "port": 8000, "health": {"http": "/ready"}}
    return {"name": "shop", "services": {"api": service}, **changes}


def minimal_stack(**config):
    said = {"dockyard:product": "products/shop.yaml", "dockyard:environment": "staging"}
    return {"config": {**said, **config}}


def test_the_committed_schemas_are_what_the_models_say_now(tmp_path):
    for made in write_schemas(tmp_path):
        committed = CHECKOUT / "schemas" / made.name
        assert committed.read_text() == made.read_text(), "run ./dockyard schema and commit what it writes"


@pytest.mark.parametrize("schema", [product_schema, stack_schema])
def test_each_is_a_schema(schema):
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", [*PRODUCTS, *STACKS], ids=lambda file: file.name)
def test_every_shipped_file_fits_and_names_its_schema(file):
    kind, schema = ("product", product) if file in PRODUCTS else ("stack", stack)
    assert not [error.message for error in schema.iter_errors(yaml.safe_load(file.read_text()))]
    named = MODELINE.search(file.read_text())
    assert named and (file.parent / named[1]).resolve() == CHECKOUT / f"schemas/{kind}.schema.json"


@pytest.mark.parametrize(
    "wrong",
    [
        {"nmae": "shop"},
        {"name": "Shop"},
        {"services": {}},
        {"services": {"Api": {"image": "demo", "health": {"command": ["true"]}}}},
        {"services": {"api": {"image": "demo"}}},
        {"services": {"api": {"health": {"command": ["true"]}}}},
        {"services": {"api": {"image": "demo", "build": {"template": "static"}, "health": {"command": ["true"]}}}},
        {"services": {"api": {"image": "demo", "health": {"http": "/", "tcp": True}}}},
        {"services": {"api": {"image": "demo", "port": 8000, "health": {"http": "/"}, "env": {"PORT": 8000}}}},
        {"services": {"api": {"image": "demo", "port": 80000, "health": {"http": "/"}}}},
        {"services": {"api": {"image": "demo", "health": {"command": ["true"]}, "limits": {"memory": 512}}}},
        {"services": {"api": {"image": "demo", "health": {"command": ["true"]}, "limits": {"memory": "512"}}}},
        {"services": {"api": {"image": "demo", "health": {"command": ["true"], "interval": "soon"}}}},
        {"services": {"api": {"image": "demo", "health": {"command": ["true"]}, "needs": ["mysql"]}}},
        {"jobs": {"migrate": {"image": "demo", "schedule": "every day"}}},
        {"postgres": {"user": "shop"}},
        {"redis": {"maxmemory_policy": "forget"}},
        {"publish": {"api": "8000"}, "monitoring": {"prometheus": {"retention": "a month"}}},
    ],
    ids=str,
)
def test_a_mistake_in_a_product_file_is_refused_as_the_program_refuses_it(wrong):
    said = minimal_product(**wrong)
    assert not product.is_valid(said)
    with pytest.raises(ValidationError):
        Product.model_validate(said)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dockyard:enviroment": "staging"},
        {"dockyard:environment": "test"},
        {"dockyard:services": {"api": {"replicas": 0}}},
        {"dockyard:services": {"api": {"port": 3000}}},
        {"dockyard:services": {"api": {"limits": {"memory": "1 gig"}}}},
        {"dockyard:alerts": {"receivers": {"ops": {"type": "discord"}}}},
        {"dockyard:alerts": {"receivers": {"ops": {"type": "gull", "webhook": "ops"}}}},
        {"dockyard:alerts": {"receivers": {"ops": {"type": "slack", "webhok": "ops"}}}},
        {"dockyard:tunnel": {"hostname": "monitoring.shop.example"}},
        {"dockyard:docker": {"log_max_size": "10 megabytes"}},
    ],
    ids=str,
)
def test_a_mistake_in_a_stack_file_is_refused_as_the_program_refuses_it(wrong):
    said = minimal_stack(**wrong)
    assert not stack.is_valid(said)
    with pytest.raises(ValidationError):
        StackFile.model_validate({key.removeprefix("dockyard:"): value for key, value in said["config"].items()})


def test_the_least_that_files_must_say_is_enough():
    assert product.is_valid(minimal_product())
    assert stack.is_valid(minimal_stack())
    assert not product.is_valid({})
    assert not stack.is_valid({"config": {}})


def test_a_stack_file_may_hold_secrets_and_what_belongs_to_pulumi_and_its_plugins():
    secrets = {key: {"secure": "v1:abc"} for key in ("dockyard:discord-monitoring", "cloudflare:apiToken")}
    said = minimal_stack(**secrets, **{"docker:host": "ssh://root@shop.example"})
    assert stack.is_valid({**said, "encryptionsalt": "v1:abc", "secretsprovider": "passphrase"})
    assert not stack.is_valid({**said, "encryptonsalt": "v1:abc"})


@pytest.mark.parametrize(
    "key", ["dockyard:discord-monitoring", "dockyard:product", "dockyard:Discord", "discord-monitoring"]
)
def test_a_secret_in_the_open_or_under_an_impossible_name_is_refused(key):
    value = "https://" if key == "dockyard:discord-monitoring" else {"secure": "v1:abc"}
    assert not stack.is_valid(minimal_stack(**{key: value}))


def test_a_stack_file_may_say_of_a_receiver_only_what_is_other_than_in_the_product_file():
    part = {"receivers": {"mail": {"to": ["a@shop.net"]}, "chat": {"severities": ["critical"]}}}
    assert stack.is_valid(minimal_stack(**{"dockyard:alerts": part}))
    assert not product.is_valid(minimal_product(alerts=part))
    assert not stack.is_valid(minimal_stack(**{"dockyard:alerts": {"receivers": {"mail": {"two": ["a@shop.net"]}}}}))


def test_a_switch_may_be_text_as_pulumi_writes_it_when_it_sets_something_else():
    for value in (True, False, "true", "false"):
        assert stack.is_valid(minimal_stack(**{"dockyard:preview_without_secrets": value}))
        StackFile.model_validate(
            {"product": "products/shop.yaml", "environment": "staging", "preview_without_secrets": value}
        )
    assert not stack.is_valid(minimal_stack(**{"dockyard:preview_without_secrets": "maybe"}))


def test_defaults_are_spelled_as_people_write_them():
    for schema in (product_schema(), stack_schema()):
        for name, said in schema["$defs"].items():
            for key, field in said.get("properties", {}).items():
                checked = Draft202012Validator({"$defs": schema["$defs"], **field})
                assert "default" not in field or checked.is_valid(field["default"]), f"{name}.{key}"


SAMPLES = {
    Service: {"image": "demo", "build": {"template": "static"}},
    Job: {"image": "demo", "build": {"template": "static"}},
    File: {"content": "x", "source": "x.txt"},
    Build: {"template": "static", "dockerfile": "Dockerfile"},
    Health: {"http": "/", "tcp": True, "command": ["true"]},
    Tunnel: {
        **{"token": "tunnel-token", "account_id": "a" * 32, "zone_id": "b" * 32},
        **{"name": "shop", "hostname": "monitoring.shop.example"},
    },
}
BESIDE = {Service: {"port": 8000, "health": {"http": "/"}}}


@pytest.mark.parametrize("model", ONE_OF, ids=lambda model: model.__name__)
def test_what_the_models_ask_for_exactly_once_the_schemas_ask_for_too(model: type[BaseModel]):
    holder = stack_schema() if model is Tunnel else product_schema()
    checked = Draft202012Validator({"$ref": f"#/$defs/{model.__name__}", "$defs": holder["$defs"]})
    outcomes = set()
    for count in range(len(ONE_OF[model]) + 1):
        for groups in combinations(ONE_OF[model], count):
            said = {key: SAMPLES[model][key] for group in groups for key in group} | BESIDE.get(model, {})
            try:
                model.model_validate(said)
                accepted = True
            except ValidationError:
                accepted = False
            assert checked.is_valid(said) is accepted, said
            outcomes.add(accepted)
    assert outcomes == {True, False}
