"""Problems: every error in one form, and nothing of the inside."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs


@pytest.mark.parametrize(
    ("how", "status", "code", "retry"),
    [
        ("input", 422, "empty", None),
        ("login", 401, "not_authenticated", None),
        ("forbidden", 403, "forbidden", None),
        ("found", 404, "not_found", None),
        ("conflict", 409, "conflict", None),
        ("many", 429, "too_many", "3"),
        ("full", 503, "full", "5"),
        ("moving", 503, "unavailable", "10"),
        ("closed", 503, "unavailable", "5"),
        ("config", 500, "internal", None),
        ("bug", 500, "internal", None),
    ],
)
def test_each_error_has_its_status(site, how, status, code, retry):
    """The tree of errors in HTTP's words; who must wait is told how long."""
    answer = site.ask("GET", f"/api/v1/fail/{how}")

    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == retry
    assert {"type", "title", "detail"} <= set(body)
    assert "secret" not in answer.text


def test_an_unexpected_error_is_logged_under_the_id_that_is_told(site):
    """The caller has an id, the administrator finds it with everything."""
    with capture_logs() as logs:
        answer = site.ask("GET", "/api/v1/fail/bug")

    (line,) = [one for one in logs if one["event"] == "request_failed"]
    assert line["error_id"] == answer.json()["id"]


def test_fields_are_named_with_what_is_wrong(site):
    """A dotted place each; an unknown key with the nearest known one."""
    answer = site.ask("POST", "/api/v1/body", json={"count": 0, "inner": {"color": "x"}})

    assert answer.status_code == 422
    assert {one["field"]: one["detail"] for one in answer.json()["errors"]} == {
        "count": "'0' is not allowed: input should be greater than or equal to 1",
        "inner.color": "color is not known; did you mean colour?",
    }


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[]", b'"text"'])
def test_what_is_no_json_object_is_refused(site, body):
    """Nothing a stranger sends is an error of ours."""
    answer = site.ask("POST", "/api/v1/body", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 422 or (body == b"\xff" and answer.status_code == 400)
    assert answer.headers["content-type"] == "application/problem+json"


def test_no_such_address_and_no_such_method_are_problems_too(site):
    """404 and 405, the latter with what is allowed."""
    assert (site.ask("GET", "/api/v1/nothing").json()["code"], site.ask("GET", "/nothing").status_code) == ("not_found", 404)
    answer = site.ask("DELETE", "/api/v1/body")
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", "POST")


def test_openapi_describes_problems(site):
    """Every reference resolves, and every route says that it may answer with a problem."""
    document = site.ask("GET", "/api/v1/openapi.json").json()

    assert "Problem" in document["components"]["schemas"]
    assert "FieldProblem" in document["components"]["schemas"]
    responses = document["paths"]["/api/v1/body"]["post"]["responses"]
    assert {"200", "4XX", "5XX"} == set(responses)
