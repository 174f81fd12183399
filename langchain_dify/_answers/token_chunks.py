"""The chunks of an answer's text, one for each piece that comes: what every token pays.

Each is a copy of one chunk that pydantic has checked, with other text: building and validating its
two models costs several times as much. They are kept until the answer ends, by langchain-core, so
what each costs the garbage collector counts too.
"""

from __future__ import annotations

from langchain_core.outputs import ChatGenerationChunk

from langchain_dify._answers.replacement import DifyMessageChunk
from langchain_dify._names import MODEL_PROVIDER

_new = object.__new__
_set = object.__setattr__


class TokenChunks:
    """Makes chunks of text.

    Args:
        template: What they are like: a message without text.
    """

    # The sets of the fields that are set are those of the template: nobody takes any out.
    __slots__ = ("_chunk", "_chunk_fields", "_chunk_set", "_message_fields", "_message_set")

    def __init__(self, template: DifyMessageChunk) -> None:
        self._chunk = ChatGenerationChunk(message=template)
        self._chunk_fields, self._chunk_set = vars(self._chunk), self._chunk.model_fields_set
        self._message_fields, self._message_set = vars(template), template.model_fields_set

    def make(self, text: str) -> ChatGenerationChunk:
        """The chunk of a piece of text. What a consumer may change is its own."""
        # The outer before the inner: the garbage collector then passes each once, not thrice.
        chunk = _new(ChatGenerationChunk)
        fields = self._chunk_fields.copy()
        _set(chunk, "__dict__", fields)
        _set(chunk, "__pydantic_fields_set__", self._chunk_set)
        _set(chunk, "__pydantic_extra__", None)
        _set(chunk, "__pydantic_private__", None)
        fields["text"] = text
        fields["message"] = self._message(text)
        return chunk

    def pass_on(self, text: str) -> ChatGenerationChunk:
        """`make` for who takes the message and leaves the chunk, which is the same each time."""
        self._chunk_fields["text"] = text
        self._chunk_fields["message"] = self._message(text)
        return self._chunk

    def _message(self, text: str) -> DifyMessageChunk:
        message = _new(DifyMessageChunk)
        fields = self._message_fields.copy()
        _set(message, "__dict__", fields)
        _set(message, "__pydantic_fields_set__", self._message_set)
        _set(message, "__pydantic_extra__", {})
        _set(message, "__pydantic_private__", None)
        fields["content"] = text
        fields["additional_kwargs"] = {}
        fields["response_metadata"] = {"model_provider": MODEL_PROVIDER}
        fields["tool_calls"] = []
        fields["invalid_tool_calls"] = []
        fields["tool_call_chunks"] = []
        return message
