"""The chunks of an answer's text, one for each piece that comes: what every token pays.

Each is a copy of one chunk that pydantic has checked, with other text: building and validating its
two models costs several times as much. langchain-core keeps them until the answer ends, so what
each costs the garbage collector counts too, except where nobody is to be told of them then.
"""

from __future__ import annotations

from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

from langchain_dify._answers.replacement import DifyMessageChunk, SummedChunk
from langchain_dify._names import MODEL_PROVIDER

_new = object.__new__
# The places of a pydantic object, each set directly: looking them up by name takes twice as long.
_set_fields, _set_fields_set, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in (
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    )
)


class TokenChunks:
    """Makes chunks of text.

    Args:
        template: What they are like: a message without text.
    """

    # The sets of the fields that are set are those of the template: nobody takes any out.
    __slots__ = (
        "_chunk",
        "_chunk_fields",
        "_chunk_set",
        "_message_fields",
        "_message_set",
        "_passed",
        "_template",
    )

    def __init__(self, template: DifyMessageChunk) -> None:
        self._template = template
        self._message_fields, self._message_set = vars(template), template.model_fields_set
        self._begin()

    def _begin(self) -> None:
        self._chunk = ChatGenerationChunk(message=self._template)
        self._chunk_fields, self._chunk_set = vars(self._chunk), self._chunk.model_fields_set
        self._passed: list[str] = []

    def make(self, text: str) -> ChatGenerationChunk:
        """The chunk of a piece of text. What a consumer may change is its own."""
        # The outer before the inner: the garbage collector then passes each once, not thrice.
        chunk = _new(ChatGenerationChunk)
        fields = self._chunk_fields.copy()
        _set_fields(chunk, fields)
        _set_fields_set(chunk, self._chunk_set)
        _set_extra(chunk, None)
        _set_private(chunk, None)
        fields["text"] = text
        fields["message"] = self._message(text)
        return chunk

    def pass_on(self, text: str) -> ChatGenerationChunk:
        """`make` for who takes the message and leaves the chunk, which is the same each time."""
        self._passed.append(text)
        self._chunk_fields["text"] = text
        self._chunk_fields["message"] = self._message(text)
        return self._chunk

    def sum_up(self) -> None:
        """Let the chunk that was passed on be all that it was: they add up to the answer again."""
        if self._passed:
            text, last = "".join(self._passed), self._chunk_fields["message"]
            self._chunk_fields["text"] = text
            self._chunk_fields["message"] = SummedChunk.of(last, text)
            self._begin()

    def _message(self, text: str) -> DifyMessageChunk:
        message = _new(DifyMessageChunk)
        fields = self._message_fields.copy()
        _set_fields(message, fields)
        _set_fields_set(message, self._message_set)
        _set_extra(message, {})
        _set_private(message, None)
        fields["content"] = text
        fields["additional_kwargs"] = {}
        fields["response_metadata"] = {"model_provider": MODEL_PROVIDER}
        fields["tool_calls"] = []
        fields["invalid_tool_calls"] = []
        fields["tool_call_chunks"] = []
        return message
