"""All that a call of a model runs with, in one place: it is imported at the first call.

To import `Dify` then costs little more than LlamaIndex's core does.
"""

from dify_api._calls.chat_call import ChatOptions as ChatOptions
from dify_api._calls.chat_call import planned_marks as planned_marks
from dify_api._calls.chat_call import prepare_chat as prepare_chat
from dify_api._calls.conversation import Instructions as Instructions
from dify_api._runs.flows import arun as arun
from dify_api._runs.flows import run as run
from llama_index_dify._answers.responses import ChatResponses as ChatResponses
from llama_index_dify._answers.responses import CompletionResponses as CompletionResponses
from llama_index_dify._calls.input_messages import input_messages as input_messages
from llama_index_dify._calls.resumed_call import ResumedCall as ResumedCall
from llama_index_dify._calls.resumed_call import Resumption as Resumption
from llama_index_dify._calls.resumed_call import open_async_stream as open_async_stream
from llama_index_dify._calls.resumed_call import open_stream as open_stream
