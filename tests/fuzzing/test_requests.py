"""Requests that are made from the OpenAPI document: what it allows is never refused as malformed, what it forbids is
refused, and every answer is one that it names, with the type, the headers and the members that it gives.

Thousands of requests in `make test`, always the same ones; ten times as many new ones in `make fuzz`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

from service.access.callers import Scope
from service.api.application import describe_api
from tests.api.conftest import LIMITS
from tests.api.running_api import RunningApi
from tests.fuzzing.mutation import mutated
from tests.fuzzing.seeds import images
from tests.pipeline.fakes import png

# What is well-formed may still be refused for what it says: unknown, gone, not comparable, unreadable, too much.
_WELL_FORMED = ["2xx", "404", "409", "410", "413", "422", "423", "429"]
_CHECKS = {
    "positive_data_acceptance": {"expected-statuses": _WELL_FORMED},
    "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "413", "415", "422"]},
}
_WITHOUT_KEYS = {"checks": {**_CHECKS, "ignored_auth": {"enabled": False}}}
_EDGES = {
    "generation": {"deterministic": True, "database": "none", "with-security-parameters": False},
    "phases": {"fuzzing": {"enabled": False}, "examples": {"enabled": False}, "stateful": {"enabled": False}},
}
DOCUMENT = describe_api()
FORMS = [path for path, methods in DOCUMENT["paths"].items() if "multipart" in str(methods)]
PATHS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
WITH_BODY = [(path, method) for path, method in PATHS if "requestBody" in DOCUMENT["paths"][path][method]]
WITH_LIMITS = [*WITH_BODY, ("/v1/subjects/{subject}", "get"), ("/v1/subjects/{subject}", "delete")]
"""Where there is something that the document forbids."""
WITH_KEY = [(path, method) for path, method in PATHS if path.startswith("/v1")]


def _load(**config: object) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(config))


def _operation(path: str, method: str, **config: object) -> APIOperation:
    generation = {"with-security-parameters": False}
    return _load(**{"generation": generation, **config})[path][method]


edges = _load(**_WITHOUT_KEYS, **_EDGES)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def guarded_api(shared_valkey: str) -> Iterator[RunningApi]:
    """One that asks for keys."""
    with RunningApi(shared_valkey, LIMITS, with_keys=True) as api:
        yield api


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> Callable[[int], settings]:
    """`examples(count)`: so many requests; with `--long` ten times as many, and others each time."""
    long = bool(request.config.getoption("--long"))

    def budget(count: int) -> settings:
        return settings(
            max_examples=10 * count if long else count,
            derandomize=not long,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )

    return budget


def _template(api: RunningApi, **options: object) -> str:
    answer = api.client.post("/v1/templates", files=[("samples", ("x", png(content=b"a known one")))], **options)
    template_id: str = answer.json()["template_id"]
    return template_id


def _cases(operation: APIOperation, template_id: str) -> st.SearchStrategy[Case]:
    """Well-formed requests; half of those about a template are about one that is there."""
    cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if "{template_id}" in operation.path:
        known = {"template_id": template_id}
        return cases | operation.as_strategy(generation_mode=GenerationMode.POSITIVE, path_parameters=known)

    def name_known_template(case: Case) -> Case:
        body = case.body if isinstance(case.body, dict) else {}
        for side in (body.get("reference"), body.get("probe"), *body.get("references", ())):
            if isinstance(side, dict) and "template_id" in side:
                side["template_id"] = template_id
        for pair in body.get("pairs", ()):
            pair.update(reference=template_id)
        return case

    return cases | cases.map(name_known_template)


@edges.parametrize()
def test_edges(case: Case, api: RunningApi, session: requests.Session) -> None:
    """The least, the most and what is beyond of everything that the document bounds; other methods; what is missing."""
    case.call_and_validate(base_url=_address(api), session=session)


@pytest.mark.parametrize(("path", "method"), PATHS)
def test_what_the_document_allows(
    path: str, method: str, api: RunningApi, session: requests.Session, examples: Callable[[int], settings]
) -> None:
    cases = _cases(_operation(path, method, **_WITHOUT_KEYS), _template(api))

    @examples(90 if (path, method) in WITH_BODY else 20)
    @given(case=cases)
    def send(case: Case) -> None:
        case.call_and_validate(base_url=_address(api), session=session)

    send()


@pytest.mark.parametrize(("path", "method"), WITH_LIMITS)
def test_what_the_document_forbids(
    path: str, method: str, api: RunningApi, session: requests.Session, examples: Callable[[int], settings]
) -> None:
    @examples(90)
    @given(case=_operation(path, method, **_WITHOUT_KEYS).as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def send(case: Case) -> None:
        case.call_and_validate(base_url=_address(api), session=session)

    send()


@pytest.mark.parametrize("path", FORMS)
def test_damaged_images(
    path: str, api: RunningApi, session: requests.Session, examples: Callable[[int], settings]
) -> None:
    """Hostile and ordinary files, most of them damaged, as parts of a form."""
    parameters = {"template_id": _template(api)} if "{" in path else {}
    case = _operation(path, "post", **_WITHOUT_KEYS).Case(path_parameters=parameters, media_type="multipart/form-data")

    @examples(100)
    @given(samples=st.lists(mutated(images()), min_size=1, max_size=3))
    def send(samples: list[bytes]) -> None:
        files = [("samples", ("x", sample)) for sample in samples]
        answer = session.post(_address(api) + path.format(**parameters), files=files)
        assert answer.status_code in (200, 201, 413, 422)
        case.validate_response(answer)

    send()


@pytest.mark.parametrize(("path", "method"), WITH_KEY)
def test_with_keys(
    path: str, method: str, guarded_api: RunningApi, session: requests.Session, examples: Callable[[int], settings]
) -> None:
    """The same with a key; without one, and with another, nothing is answered."""
    headers = guarded_api.new_key(*Scope)
    cases = _cases(_operation(path, method, checks=_CHECKS), _template(guarded_api, headers=headers))

    @examples(15)
    @given(case=cases)
    def send(case: Case) -> None:
        case.call_and_validate(base_url=_address(guarded_api), session=session, headers=headers)

    send()


def _address(api: RunningApi) -> str:
    return f"http://127.0.0.1:{api.port}"
