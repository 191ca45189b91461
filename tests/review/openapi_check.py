"""Checks JSON against a schema of an OpenAPI document."""

from __future__ import annotations

from typing import Any

import jsonschema


def validate_against(document: dict[str, Any], name: str, value: Any) -> None:
    """Raises where `value` is not what the document says of `name`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/components/schemas/{name}",
        "components": document["components"],
    }
    jsonschema.Draft202012Validator(schema).validate(value)
