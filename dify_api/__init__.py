"""The Dify Service API, typed and framework-free.

Operations are values, made by pure functions that are grouped as Dify's reference groups them;
a client sends them::

    from dify_api import DifyClient, chat

    client = DifyClient("app-...")
    answer = client.send(chat.send_message("Which planet has most moons?", user="ann"))
    print(answer.text, answer.usage, answer.retriever_resources)
"""

from dify_api import chat as chat
from dify_api import completion as completion
from dify_api.answer import Answer as Answer
from dify_api.answer import AnswerBuilder as AnswerBuilder
from dify_api.client import AsyncDifyClient as AsyncDifyClient
from dify_api.client import DifyClient as DifyClient
from dify_api.errors import DifyError as DifyError
from dify_api.operation import Operation as Operation
