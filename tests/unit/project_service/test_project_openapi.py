"""The service's OpenAPI document: valid, and its examples are true to their schemas."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from project_service.app import ROUTERS
from shared.openapi import describe, example_of

ENDPOINTS = [endpoint for router in ROUTERS for endpoint in router.endpoints]
MODELS = sorted(
    {
        (model, mode)
        for endpoint in ENDPOINTS
        for model, mode in ((endpoint.body, "validation"), (endpoint.answer, "serialization"))
        if model and endpoint.auth != "internal"
    },
    key=str,
)


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(describe(ENDPOINTS, "project_service")).validate()


def test_internal_endpoints_are_not_in_it() -> None:
    assert not [path for path in describe(ENDPOINTS, "x")["paths"] if path.startswith("/internal")]


@pytest.mark.parametrize(("model", "mode"), MODELS)
def test_every_model_has_an_example_that_fits_its_schema(model: Any, mode: Any) -> None:
    example = example_of(model)
    assert example
    Draft202012Validator(model.model_json_schema(mode=mode)).validate(example)
