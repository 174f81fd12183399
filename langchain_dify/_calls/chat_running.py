"""All that a call of `ChatDify` runs with, in one place: it is imported at the first call.

To import the class then costs little more than langchain-core does.
"""

from dify_api._calls.chat_call import ChatOptions as ChatOptions
from langchain_dify._answers.metadata import without_anchor as without_anchor
from langchain_dify._answers.tracing import anode_tracer as anode_tracer
from langchain_dify._answers.tracing import current_run as current_run
from langchain_dify._answers.tracing import is_untold as is_untold
from langchain_dify._answers.tracing import known_run as known_run
from langchain_dify._answers.tracing import node_tracer as node_tracer
from langchain_dify._calls.chat_call import CALL_ARGUMENTS as CALL_ARGUMENTS
from langchain_dify._calls.chat_call import plan_call as plan_call
from langchain_dify._calls.input_messages import input_messages as input_messages
from langchain_dify._human_input.streams import aanswering as aanswering
from langchain_dify._human_input.streams import answering as answering
from langchain_dify._human_input.streams import text_before as text_before
from langchain_dify.errors import model_errors as model_errors
