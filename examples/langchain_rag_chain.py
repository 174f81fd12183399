"""A chain over a knowledge base: retriever -> prompt -> ChatDify -> parser.

The passages are found in a knowledge base of Dify, and a Dify app answers from them.

Runs offline against a local server. With yours: DIFY_BASE_URL, DIFY_API_KEY (a chat app),
DIFY_DATASET_API_KEY and DIFY_DATASET_ID:

    python langchain_rag_chain.py "Which planets have rings?"
"""

from __future__ import annotations

import os
import sys

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from dify_local import app_from_environment, dataset_from_environment
from langchain_dify import ChatDify, DifyRetriever

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from these passages:\n{passages}"), ("human", "{question}")]
)


def numbered(documents: list[Document]) -> str:
    passages = (
        f"[{number}] {d.metadata['document_name']}: {d.page_content}"
        for number, d in enumerate(documents, 1)
    )
    return "\n".join(passages)


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Which planets have rings?"
    retriever = DifyRetriever(dataset_id=os.environ["DIFY_DATASET_ID"], k=2)
    chain = RunnablePassthrough.assign(
        passages=(lambda given: given["question"]) | retriever | numbered
    ) | RunnablePassthrough.assign(answer=PROMPT | ChatDify(user="ann") | StrOutputParser())
    result = chain.invoke({"question": question})
    print(f"Q: {question}\n\n{result['passages']}\n\nA: {result['answer']}")


if __name__ == "__main__":
    with app_from_environment("chat"), dataset_from_environment():
        main()
