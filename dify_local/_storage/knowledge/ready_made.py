"""The knowledge base with a pipeline that every server has; no request can make one."""

from __future__ import annotations

from dify_local._protocol.values import stable_id
from dify_local._storage.knowledge.records import Dataset
from dify_local._storage.knowledge.splitting import AUTOMATIC_RULES
from dify_local._storage.knowledge.tables import Tables

PIPELINE_DATASET_ID = stable_id("dataset", "pipeline")
PIPELINE_NODE_ID = "file"
PIPELINE_INPUTS = ("note",)


def add_pipeline(tables: Tables) -> None:
    """Add the knowledge base with a pipeline, where it was not added before."""
    if tables.dataset(PIPELINE_DATASET_ID):
        return
    rules = {
        **AUTOMATIC_RULES,
        "segmentation": {"delimiter": "\n", "max_tokens": 1024, "chunk_overlap": 50},
    }
    tables.save_dataset(
        Dataset(
            name="Pipeline",
            id=PIPELINE_DATASET_ID,
            indexing_technique="economy",
            doc_form="text_model",
            process_rule={"id": stable_id("rule", "pipeline"), "mode": "custom", "rules": rules},
            pipeline_id=stable_id("pipeline"),
            retrieval_model={
                "search_method": "semantic_search",
                "reranking_enable": True,
                "reranking_mode": "reranking_model",
                "reranking_model": {"reranking_provider_name": None, "reranking_model_name": None},
                "weights": None,
                "top_k": 3,
                "score_threshold_enabled": False,
                "score_threshold": 0.5,
            },
        )
    )
