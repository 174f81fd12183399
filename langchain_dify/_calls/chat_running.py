"""All that a call of `ChatDify` runs with, in one place: it is imported at the first call.

To import the class then costs little more than langchain-core does.
"""

from dify_api._calls.chat_call import ChatOptions as ChatOptions
from langchain_dify._answers.metadata import without_anchor as without_anchor
from langchain_dify._calls.chat_call import plan_call as plan_call
from langchain_dify._calls.input_messages import input_messages as input_messages
from langchain_dify.errors import model_errors as model_errors
