"""The ready-made apps: one for every mode of Dify's reference, and two for demonstrations."""

from __future__ import annotations

from dataclasses import dataclass, field

from dify_local.wire import JsonObject, stable_id

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


_CHAT_FEATURES = frozenset({"citations", "suggestions", "speech"})
_QUESTIONS = ("Which planet has the most moons?", "How long is a day on Mars?")

APPS: tuple[App, ...] = (
    App(
        "chat",
        "chat",
        "Solar System Chat",
        "Answers questions about the solar system from a knowledge base, with citations.",
        opening_statement="Hello! Ask me about the solar system.",
        suggested_questions=_QUESTIONS,
        files=True,
        features=_CHAT_FEATURES,
    ),
    App(
        "agent-chat",
        "agent-chat",
        "Solar System Agent",
        "Answers questions about the solar system with a knowledge tool and a calculator.",
        files=True,
    ),
    App(
        "advanced-chat",
        "advanced-chat",
        "Solar System Chatflow",
        "A chatflow that retrieves knowledge about the solar system and answers from it.",
        form=(Control("select", "lang", "Language", options=("en", "fr"), default="en"),),
        opening_statement="Welcome! Ask me about the solar system.",
        suggested_questions=_QUESTIONS[:1],
        files=True,
        features=_CHAT_FEATURES,
    ),
    App(
        "completion",
        "completion",
        "Solar System Completion",
        "Completes a query about the solar system from a knowledge base.",
        form=(
            Control("paragraph", "query", "Query", required=True, max_length=200_000),
            Control("select", "style", "Style", options=("formal", "casual"), default="formal"),
        ),
        files=True,
        features=frozenset({"citations", "speech"}),
    ),
    App(
        "workflow",
        "workflow",
        "Solar System Report",
        "Writes a short report about a topic of the solar system.",
        form=(
            Control("paragraph", "text", "Text", required=True, max_length=100_000),
            Control("select", "style", "Style", options=("formal", "casual")),
            Control("number", "count", "Number of sentences"),
            Control("text-input", "title", "Title", max_length=100),
            Control("checkbox", "shout", "Capital letters"),
            Control("json_object", "settings", "Settings"),
            Control("file", "document", "Document"),
            Control("file-list", "attachments", "Attachments", max_length=5),
        ),
    ),
    App(
        "agent",
        "agent",
        "Solar System New Agent",
        "A New Agent that looks things up about the solar system.",
        opening_statement="Hi from the new agent.",
        files=True,
    ),
    App(
        "planner",
        "chat",
        "Tool Planner",
        "Picks a tool from the prompt by a fixed policy, and answers from the tools' results.",
        features=frozenset(),
    ),
    App(
        "greeter",
        "chat",
        "Greeter",
        "A chat app with an input form, to show how inputs are checked.",
        form=(
            Control("text-input", "name", "Name", required=True, max_length=20),
            Control("select", "tone", "Tone", required=True, options=("warm", "cold")),
            Control("number", "age", "Age"),
            Control("checkbox", "polite", "Polite", default=False),
        ),
        features=frozenset(),
    ),
)
