"""JSON Schemas of product and stack files, for editors: generated from the models, so that the two always agree."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import SchemaSerializer, core_schema

from settings.container import Health
from settings.product import Product
from settings.stack import StackFile
from settings.tunnel import Tunnel
from settings.workload import Build, File, Job, Service

FOLDER = "schemas"
PRODUCT_FILE, STACK_FILE = "product.schema.json", "stack.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMESPACE = "dockyard:"

ONE_OF: dict[type[BaseModel], tuple[tuple[str, ...], ...]] = {
    **{model: tuple((field,) for field in model.alternatives) for model in (Service, Job, File, Build, Health)},
    Tunnel: (("token",), ("account_id", "zone_id", "name", "hostname")),
}
"""The models' validators that JSON Schema can express: exactly one of these groups of keys must be present."""

PULUMI_KEYS = {
    "encryptionsalt": "Set by Pulumi: the salt of the stack's secrets.",
    "encryptedkey": "Set by Pulumi: the encrypted key of the stack's secrets.",
    "secretsprovider": "Set by Pulumi: the provider that encrypts the stack's secrets.",
    "environment": "Read by Pulumi: the environments of Pulumi Cloud that the stack imports.",
}


class _Schema(GenerateJsonSchema):
    """Pydantic's generator, with defaults written as in settings files and without what only pydantic itself needs."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        json_schema = self.generate_inner(schema["schema"])
        make: Any = schema.get("default_factory", dict)
        default = schema["default"] if "default" in schema else make()
        if isinstance(default, BaseModel):
            default = default.model_dump(mode="json", exclude_unset=True)
        # A default of None carries no information; `{}` only says that every key within has a default of its own.
        if default in (None, {}, []):
            return json_schema
        # The quantities' serializers add the unit: 384 becomes 384MB.
        serializer = core_schema.any_schema() if isinstance(default, dict) else schema["schema"]
        return {**json_schema, "default": SchemaSerializer(serializer).to_python(default, mode="json")}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Refuse keys of other forms: pydantic's schema omits that."""
        json_schema = super().dict_schema(schema)
        return {**json_schema, "additionalProperties": False} if "patternProperties" in json_schema else json_schema

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """Drop `multipleOf`: editors divide binary fractions and would refuse 2 as not a multiple of 0.05."""
        json_schema = super().float_schema(schema)
        json_schema.pop("multipleOf", None)
        return json_schema

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit the fields' titles, which would only repeat their keys."""
        return False


def product_schema() -> dict[str, Any]:
    """Return the JSON Schema of products/<name>.yaml."""
    json_schema = _generate(Product)
    return {**json_schema, "$schema": DIALECT, "title": "Dockyard product file"}


def stack_schema() -> dict[str, Any]:
    """Return the JSON Schema of Pulumi.<stack>.yaml.

    Its `config` holds the fields of StackFile as `dockyard:<field>`, secrets in Pulumi's form, and any keys of other
    namespaces, `cloudflare:apiToken` for instance.
    """
    fields = _generate(StackFile)
    definitions = {
        **_allow_partial_receivers(fields["$defs"]),
        "Secret": {
            "title": "Secret",
            "description": "An encrypted secret. Any other key under dockyard: is unknown."
            " Set it: pulumi config set --secret dockyard:<name>",
            "type": "object",
            "properties": {"secure": {"type": "string"}},
            "required": ["secure"],
            "additionalProperties": False,
        },
    }
    keys = "|".join(fields["properties"])
    config = {
        "description": fields["description"],
        "type": "object",
        "properties": {f"{NAMESPACE}{name}": _allow_boolean_text(text) for name, text in fields["properties"].items()},
        "patternProperties": {
            f"^{NAMESPACE}(?!({keys})$)[a-z][a-z0-9-]{{0,39}}$": {"$ref": "#/$defs/Secret"},
            # Settings of Pulumi itself and of its plugins.
            rf"^(?!{NAMESPACE})[^:]+:.+$": True,
        },
        "required": [f"{NAMESPACE}{name}" for name in fields["required"]],
        "additionalProperties": False,
    }
    return {
        "$schema": DIALECT,
        "$defs": definitions,
        "title": "Dockyard stack file",
        "description": _unwrap(inspect.getdoc(StackFile) or ""),
        "type": "object",
        "properties": {
            "config": config,
            **{name: {"description": text} for name, text in PULUMI_KEYS.items()},
        },
        "required": ["config"],
        "additionalProperties": False,
    }


def _allow_partial_receivers(definitions: dict[str, Any]) -> dict[str, Any]:
    """Allow partial receivers in a stack file: no type, and only the fields that differ from the product file."""
    alerts = definitions["Alerts"]
    receivers = alerts["properties"]["receivers"]
    ((pattern, kinds),) = receivers["patternProperties"].items()
    partial_receivers = {}
    for reference in kinds["discriminator"]["mapping"].values():
        name = reference.rsplit("/", 1)[-1]
        fields = {key: field for key, field in definitions[name]["properties"].items() if key != "type"}
        partial_receivers[f"{name}InPart"] = {**definitions[name], "properties": fields, "required": []}
    any_receiver = {"anyOf": [*kinds["oneOf"], *({"$ref": f"#/$defs/{name}"} for name in partial_receivers)]}
    receivers = {**receivers, "patternProperties": {pattern: any_receiver}}
    return {
        **definitions,
        **partial_receivers,
        "Alerts": {**alerts, "properties": {**alerts["properties"], "receivers": receivers}},
    }


def write_schemas(checkout: Path) -> list[Path]:
    """Write both schemas into the checkout and return their files."""
    folder = checkout / FOLDER
    folder.mkdir(exist_ok=True)
    files = {folder / PRODUCT_FILE: product_schema(), folder / STACK_FILE: stack_schema()}
    for file, schema in files.items():
        file.write_text(json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return list(files)


def _generate(model: type[BaseModel]) -> dict[str, Any]:
    json_schema = model.model_json_schema(schema_generator=_Schema)
    for model_type, groups in ONE_OF.items():
        if model_type.__name__ in json_schema["$defs"]:
            json_schema["$defs"][model_type.__name__]["oneOf"] = [{"required": list(group)} for group in groups]
    unwrapped: dict[str, Any] = _unwrap_descriptions(json_schema)
    return unwrapped


def _allow_boolean_text(field: dict[str, Any]) -> dict[str, Any]:
    """Allow `"true"` as well as `true`: `pulumi config set` rewrites all plain values of a file as text."""
    if field.get("type") != "boolean":
        return field
    return {**{key: keyword for key, keyword in field.items() if key != "type"}, "enum": [True, False, "true", "false"]}


def _unwrap_descriptions(schema: Any) -> Any:
    """Join the lines of every description: a docstring is wrapped at the source file's width."""
    if isinstance(schema, list):
        return [_unwrap_descriptions(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _unwrap(item) if key == "description" and isinstance(item, str) else _unwrap_descriptions(item)
        for key, item in schema.items()
    }


def _unwrap(text: str) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)
