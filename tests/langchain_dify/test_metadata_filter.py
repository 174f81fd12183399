from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from dify_api.endpoints.knowledge import MetadataFilteringConditions
from dify_local import LocalDify
from langchain_dify import DifyRetriever

QUERY = "Which planet has the most moons?"
MOONS = {"name": "topic", "comparison_operator": "is", "value": "moons"}


def retriever_of(server: LocalDify, **settings: Any) -> DifyRetriever:
    return DifyRetriever(
        api_key=server.dataset_key,
        base_url=server.base_url,
        dataset_id=server.dataset_id,
        **settings,
    )


def sent(server: LocalDify) -> list[tuple[str, str, object]]:
    body: Any = server.requests[-1].json
    filters = body["retrieval_model"]["metadata_filtering_conditions"]
    return [(c["name"], c["comparison_operator"], c.get("value")) for c in filters["conditions"]]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"topic": "moons"}, [("topic", "is", "moons")]),
        ({"year": 1877}, [("year", "=", 1877)]),
        ({"topic": "moons", "year": 1877}, [("topic", "is", "moons"), ("year", "=", 1877)]),
        ({"topic": ["moons", "rings"]}, [("topic", "in", ["moons", "rings"])]),
        ({"topic": {"not in": ["moons"]}}, [("topic", "not in", ["moons"])]),
        ({"topic": {"start with": "mo"}}, [("topic", "start with", "mo")]),
        ({"topic": {"empty": True}}, [("topic", "empty", None)]),
        ({"topic": {"not empty": None}}, [("topic", "not empty", None)]),
        ({"year": {"≥": 1800, "<": 1900}}, [("year", "≥", 1800), ("year", "<", 1900)]),
        ({"year": {"$gte": 1800, "$ne": 1850}}, [("year", "≥", 1800), ("year", "≠", 1850)]),
        (
            {"seen": {"after": datetime(2024, 3, 9, 16, tzinfo=timezone.utc)}},
            [("seen", "after", 1710000000.0)],
        ),
        ({"condition": "good"}, [("condition", "is", "good")]),
        ({"logical_operator": "or", "conditions": [MOONS]}, [("topic", "is", "moons")]),
        (
            MetadataFilteringConditions.model_validate({"conditions": [MOONS]}),
            [("topic", "is", "moons")],
        ),
    ],
)
async def test_what_is_sent(server: LocalDify, given: Any, wanted: object) -> None:
    retriever_of(server, metadata_filter=given).invoke(QUERY)
    assert sent(server) == wanted
    retriever_of(server).invoke(QUERY, metadata_filter=given)
    assert sent(server) == wanted
    await retriever_of(server, metadata_filter={"year": 1}).ainvoke(QUERY, metadata_filter=given)
    assert sent(server) == wanted


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"condition": [MOONS]}, 'Dify calls that "conditions"'),
        ({"condition": MOONS}, "no operator 'name'"),
        ({"$or": [{"topic": "moons"}]}, 'Dify calls that "conditions"'),
        ({"logical_operater": "or", "conditions": [MOONS]}, "no logical_operater"),
        ({"logical_operator": "or"}, "no conditions"),
        ({"logical_operator": "xor", "conditions": [MOONS]}, "'and' or 'or'"),
        ({"conditions": MOONS}, "valid list"),
        ({"conditions": [{**MOONS, "comparison_operator": "like"}]}, "'contains'"),
        ({"conditions": [{"name": "topic", "operator": "is", "value": "a"}]}, "no operator;"),
        ({"conditions": [{"name": "topic"}]}, "not nothing"),
        ({"conditions": [{**MOONS, "value": ["moons"]}]}, "takes a text or a number"),
        ({"topic": None}, "not nothing"),
        ({"topic": []}, "takes a list of texts"),
        ({"topic": True}, "texts, numbers or times"),
        ({"topic": {}}, "no operator"),
        ({"topic": {"like": "moons"}}, "no operator 'like'; it has contains"),
        ({"topic": {"is": ["moons"]}}, "takes a text or a number"),
        ({"year": {">": "soon"}}, "takes a number"),
        ({"seen": {"before": "2024-01-01"}}, "seconds since 1970"),
        ("moons", "must be a dict such as"),
        ([MOONS], "must be a dict such as"),
    ],
)
async def test_what_servers_would_drop_is_refused(server: LocalDify, given: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        retriever_of(server, metadata_filter=given)
    retriever = retriever_of(server)
    with pytest.raises(ValueError, match=told):
        retriever.invoke(QUERY, metadata_filter=given)
    with pytest.raises(ValueError, match=told):
        await retriever.ainvoke(QUERY, metadata_filter=given)
    assert server.requests == []


@pytest.mark.parametrize("nothing", [None, {}, {"conditions": []}])
def test_no_filter(server: LocalDify, nothing: Any) -> None:
    retriever_of(server, metadata_filter=nothing).invoke(QUERY)
    body: Any = server.requests[-1].json
    assert "retrieval_model" not in body
