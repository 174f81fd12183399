"""The application: its mode and name, its parameters, its tools' icons, its web site."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from dify_api.models import Items, Model, decode
from dify_api.operation import Operation


class Info(Model):
    """What an app is called and is for."""

    name: str = ""
    description: str = ""
    tags: Items[str] = []
    mode: str | None = None
    """completion, chat, agent-chat, advanced-chat, workflow or agent; 1.4.0 and later."""
    author_name: str | None = None


class Feature(Model):
    """A feature that an app has switched on or off."""

    enabled: bool = False


class TextToSpeech(Feature):
    """How an app reads its answers aloud."""

    voice: str | None = None
    language: str | None = None
    auto_play: str | None = Field(default=None, alias="autoPlay")
    """"enabled" or "disabled": whether streams carry the speech (0.6.14 and later)."""


class AnnotationReply(Feature):
    """Whether and when annotations answer instead of the model."""

    id: str | None = None
    score_threshold: float | None = None
    embedding_model: dict[str, Any] | None = None


class SensitiveWordAvoidance(Feature):
    """An app's moderation."""

    type: str = ""
    configs: Any = None


class ImageUpload(Feature):
    """Images that may go with a message."""

    number_limits: int | None = None
    detail: str | None = None
    transfer_methods: Items[str] = []


class FileUpload(Feature):
    """Files that may go with a message."""

    image: ImageUpload = ImageUpload()
    allowed_file_types: Items[str] = []
    allowed_file_extensions: Items[str] = []
    allowed_file_upload_methods: Items[str] = []
    number_limits: int | None = None


class SystemParameters(Model):
    """Limits of the server, sizes in MB."""

    image_file_size_limit: int | None = None
    video_file_size_limit: int | None = None
    audio_file_size_limit: int | None = None
    file_size_limit: int | None = None
    workflow_file_upload_limit: int | None = None


class UserInputFormItem(Model):
    """One variable of an app, as the form of its web site shows it.

    On the wire it is an object with one key, its type: `{"select": {"label": ...}}`; the API of
    2023 knew `{"key", "name", "type"}`. Both are read as this.
    """

    type: str = "text-input"
    """text-input, paragraph, select, number, checkbox, json_object, file, file-list or
    external_data_tool, whose value the server fills itself."""
    variable: str = Field(default="", validation_alias=AliasChoices("variable", "key"))
    """Its key in `inputs`."""
    label: str = Field(default="", validation_alias=AliasChoices("label", "name"))
    required: bool = False
    default: Any = None
    options: Items[str] = []
    """The values of a select."""
    max_length: int | None = None
    """Characters of a text; files of a file-list."""
    description: str | None = None
    hint: str | None = None
    placeholder: str | None = None
    hide: bool = False
    """Hidden on the web site; it takes a value all the same."""
    json_schema: Any = None
    """Of a json_object."""
    allowed_file_types: Items[str] = []
    allowed_file_extensions: Items[str] = []
    allowed_file_upload_methods: Items[str] = []


_TYPES_OF_2023 = {"string": "text-input"}


def _read_item(value: object) -> object:
    """Each control is decoded on its own, so that a misfit costs one field and not the item."""
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and isinstance(control := next(iter(value.values())), dict):
        return decode(UserInputFormItem, {**control, "type": next(iter(value))})
    kind = str(value.get("type") or "string")
    return decode(UserInputFormItem, {**value, "type": _TYPES_OF_2023.get(kind, kind)})


class Parameters(Model):
    """What an app takes and offers; a feature that is not mentioned is off."""

    opening_statement: str | None = Field(
        default=None, validation_alias=AliasChoices("opening_statement", "introduction")
    )
    """What the app says first; "introduction" in 2023."""
    suggested_questions: Items[str] = []
    suggested_questions_after_answer: Feature = Feature()
    speech_to_text: Feature = Feature()
    text_to_speech: TextToSpeech = TextToSpeech()
    retriever_resource: Feature = Feature()
    annotation_reply: AnnotationReply = AnnotationReply()
    more_like_this: Feature = Feature()
    sensitive_word_avoidance: SensitiveWordAvoidance = SensitiveWordAvoidance()
    user_input_form: Items[Annotated[UserInputFormItem, BeforeValidator(_read_item)]] = Field(
        default=[], validation_alias=AliasChoices("user_input_form", "variables")
    )
    """The app's variables: the keys of `inputs`."""
    file_upload: FileUpload = FileUpload()
    system_parameters: SystemParameters = SystemParameters()


class Meta(Model):
    """Icons of an app's tools: a URL, or an emoji on a background."""

    tool_icons: dict[str, str | dict[str, Any]] = {}


class Site(Model):
    """How an app's web site looks."""

    title: str = ""
    chat_color_theme: str | None = None
    chat_color_theme_inverted: bool = False
    icon_type: str | None = None
    """emoji, image or link."""
    icon: str | None = None
    icon_background: str | None = None
    icon_url: str | None = None
    description: str | None = None
    copyright: str | None = None
    privacy_policy: str | None = None
    custom_disclaimer: str | None = None
    input_placeholder: str | None = None
    default_language: str | None = None
    show_workflow_steps: bool = False
    use_icon_as_answer_icon: bool = False


def info() -> Operation[Info]:
    """Ask an app's name, description and mode (`GET /info`; servers since 0.6.2).

    Example:
        >>> client.send(info()).mode
        'advanced-chat'
    """
    return Operation("GET", "/info", Info, repeatable=True)


def parameters() -> Operation[Parameters]:
    """Ask what an app takes and offers (`GET /parameters`).

    Example:
        >>> [item.variable for item in client.send(parameters()).user_input_form]
        ['planet', 'style']
    """
    return Operation("GET", "/parameters", Parameters, repeatable=True)


def meta() -> Operation[Meta]:
    """Ask for the icons of an app's tools (`GET /meta`; servers since 0.5.0)."""
    return Operation("GET", "/meta", Meta, repeatable=True)


def site() -> Operation[Site]:
    """Ask how an app's web site looks (`GET /site`; servers since 1.4.0)."""
    return Operation("GET", "/site", Site, repeatable=True)
