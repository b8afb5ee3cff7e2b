"""The OpenAPI document says what is served: schemathesis asks whatever it allows, and what it does not."""

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

ROUTES = (
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /v1/models",
    "POST /v1/explain",
    "POST /v1/predict",
)


REFUSED = [400, 404, 405, 413, 415, 422]
"""Of what the document does not allow. schemathesis's own list lacks 413, for more files than it does."""


@pytest.fixture(scope="module")
def operations(server):
    told = {"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}}
    config = schemathesis.Config.from_dict(told)
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config)
    return {found.ok().label: found.ok() for found in document.get_all_operations()}


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_is_one_that_the_document_tells_of(operations, route, mode):
    if mode == schemathesis.GenerationMode.NEGATIVE and route.startswith("GET"):
        return  # nothing can be given there

    @hypothesis.given(case=operations[route].as_strategy(generation_mode=mode))
    @hypothesis.settings(max_examples=30, suppress_health_check=list(hypothesis.HealthCheck), database=None)
    def ask(case):
        case.call_and_validate(excluded_checks=[positive_data_acceptance])  # no schema says what a picture is

    ask()


def test_the_document_tells_of_every_route(operations):
    assert set(operations) == set(ROUTES)


def test_nothing_is_served_that_would_load_from_elsewhere(server):
    for path in ("/docs", "/redoc"):
        assert httpx.get(server.url + path).status_code == 404
