"""What an app is: its key, its mode, its input form, and how the API describes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from dify_local._protocol.values import JsonObject, stable_id

CHAT_MODES = frozenset({"chat", "agent-chat", "advanced-chat", "agent"})
WORKFLOW_MODES = frozenset({"workflow", "advanced-chat"})

_FILE_TYPES = ["image", "document", "audio", "video"]
_UPLOAD_METHODS = ["local_file", "remote_url"]
_IMAGE_EXTENSIONS = [".JPG", ".JPEG", ".PNG", ".GIF", ".WEBP", ".SVG"]


@dataclass(frozen=True)
class Control:
    """One field of an app's input form.

    Args:
        type: Kind of control: `text-input`, `paragraph`, `select`, `number`, `checkbox`,
            `json_object`, `file` or `file-list`.
        variable: Name in `inputs`.
        label: What a person reads.
        required: Whether `inputs` must have it.
        options: The choices of a `select`.
        max_length: Longest text, or most files.
        default: Used when the input is missing.
    """

    type: str
    variable: str
    label: str
    required: bool = False
    options: tuple[str, ...] = ()
    max_length: int = 48
    default: str | float | bool | None = None

    def entry(self, *, workflow: bool) -> JsonObject:
        """Return this control as `user_input_form` lists it.

        Args:
            workflow: Workflow apps list the whole variable of their start node.
        """
        value: JsonObject = {
            "variable": self.variable,
            "label": self.label,
            "required": self.required,
        }
        if self.type in {"text-input", "paragraph"} or workflow:
            value["max_length"] = self.max_length
        if self.type == "select" or workflow:
            value["options"] = list(self.options)
        if workflow:
            value["type"] = self.type
        if self.default is not None or not workflow:
            value["default"] = "" if self.default is None else self.default
        if self.type in {"file", "file-list"}:
            value["allowed_file_types"] = _FILE_TYPES
            value["allowed_file_extensions"] = []
            value["allowed_file_upload_methods"] = _UPLOAD_METHODS
        return {self.type: value}


@dataclass(frozen=True)
class App:
    """An app with its key.

    Args:
        name: Short name, the key of `LocalDify.keys`.
        mode: Dify's mode: `completion`, `chat`, `agent-chat`, `advanced-chat`, `workflow`, `agent`.
        title: Name as `/info` gives it.
        description: What it does, as `/info` gives it.
        form: Its input form.
        opening_statement: Greeting.
        suggested_questions: Questions to begin with.
        files: Whether it takes files.
    """

    name: str
    mode: str
    title: str
    description: str
    form: tuple[Control, ...] = ()
    opening_statement: str = ""
    suggested_questions: tuple[str, ...] = ()
    files: bool = False
    features: frozenset[str] = field(default_factory=lambda: frozenset({"citations"}))

    @property
    def key(self) -> str:
        """Return the API key."""
        return f"app-{self.name}"

    @property
    def id(self) -> str:
        """Return the app's id, the same in every process."""
        return stable_id("app", self.name)

    @property
    def workflow_id(self) -> str:
        """Return the id of the published workflow."""
        return stable_id("workflow", self.name)

    @property
    def retriever_from(self) -> str:
        """Return how this app's citations say where they come from."""
        return "workflow" if self.mode in WORKFLOW_MODES else "api"

    def parameters(self, *, auto_play: bool) -> JsonObject:
        """Return `/parameters`.

        Args:
            auto_play: Whether answers are read aloud unasked.
        """
        speech: JsonObject = {"enabled": False, "language": "", "voice": ""}
        if "speech" in self.features:
            speech = {"enabled": True, "language": "en-US", "voice": "alloy"}
            if auto_play:
                speech["autoPlay"] = "enabled"
        return {
            "opening_statement": self.opening_statement,
            "suggested_questions": list(self.suggested_questions),
            "suggested_questions_after_answer": {"enabled": "suggestions" in self.features},
            "speech_to_text": {"enabled": "speech" in self.features},
            "text_to_speech": speech,
            "retriever_resource": {"enabled": "citations" in self.features},
            "annotation_reply": {"enabled": False},
            "more_like_this": {"enabled": self.mode == "completion"},
            "user_input_form": [
                control.entry(workflow=self.mode in WORKFLOW_MODES) for control in self.form
            ],
            "sensitive_word_avoidance": {"enabled": False, "type": "", "configs": []},
            "file_upload": self._file_upload(),
            "system_parameters": {
                "image_file_size_limit": 10,
                "video_file_size_limit": 100,
                "audio_file_size_limit": 50,
                "file_size_limit": 15,
                "workflow_file_upload_limit": 10,
            },
        }

    def _file_upload(self) -> JsonObject:
        return {
            "enabled": self.files,
            "image": {
                "enabled": self.files,
                "number_limits": 3,
                "detail": "high",
                "transfer_methods": ["remote_url", "local_file"],
            },
            "allowed_file_types": _FILE_TYPES if self.files else [],
            "allowed_file_extensions": _IMAGE_EXTENSIONS if self.files else [],
            "allowed_file_upload_methods": ["remote_url", "local_file"],
            "number_limits": 3,
        }

    def info(self) -> JsonObject:
        """Return `/info`."""
        return {
            "name": self.title,
            "description": self.description,
            "tags": ["solar system"],
            "mode": self.mode,
            "author_name": "Dify Local",
        }
