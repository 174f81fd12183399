"""How a server is reached: one value, `DifyConnection`, for both clients and every adapter.

An option is written here, in `ConnectionOptions` and as a field below it, and nowhere else:
the clients and the adapters take `**options: Unpack[ConnectionOptions]` or inherit the fields.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
)
from typing_extensions import Self, TypedDict, Unpack

from dify_api._advice import Advice
from dify_api._httpx import AsyncHTTPClient, HTTPClient, Timeout

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE_URL = "https://api.dify.ai/v1"

_MORE_THAN_AN_ADDRESS = re.compile(r"[\s\x00-\x20\x7f\\?#]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OF_EACH_REQUEST = ("content-length", "transfer-encoding", "expect")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_APP = "dify_app"
"""Where a pickle names its app, by the hash."""
_REFUSES_KEY = "_refuses_key"
"""Set on a loaded object whose app is not that of the environment's key."""

Verify = bool | str | Path | ssl.SSLContext
"""True, False, the path of a bundle of CA certificates, or a TLS context of your own, which may
hold a client certificate."""


class ConnectionOptions(TypedDict, total=False):
    """What every client and adapter takes beside its key; see the fields of `DifyConnection`."""

    base_url: str | None
    app_id: str | None
    timeout: Timeout | float | None
    progress_timeout: float | None
    turn_timeout: float | None
    max_retries: int
    recover: bool
    default_headers: Mapping[str, str] | None
    proxy: str | None
    verify: Verify
    http_client: HTTPClient | None
    http_async_client: AsyncHTTPClient | None


class DifyConnection(BaseModel):
    """Which app to talk to, and how: address, key, limits, HTTP clients.

    The value of both clients, and a base of the adapters' pydantic classes. Keys, headers, proxy
    and HTTP clients appear in no repr, serialisation or pickle: an object that is loaded takes
    its key from the environment again, and refuses that of another app. Connections are opened at
    the first request and shared by all objects that talk to one server.

    Raises:
        ValueError: For a missing key, a base URL that is none, or a header or proxy that
            cannot be one.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    key_variables: ClassVar[tuple[str, ...]] = ("DIFY_API_KEY",)
    """Environment variables that may hold the key, the first that is set counting."""
    adapter: ClassVar[str] = "dify_api"
    """Who asks, as the User-Agent says it."""
    advice: ClassVar[Advice] = Advice()
    """What errors advise those who ask."""

    api_key: SecretStr | str | None = Field(default=None, repr=False, exclude=True)
    """Key of the app ("app-..."), kept as a `SecretStr`. Default: `DIFY_API_KEY`."""
    base_url: str = ""
    """Address of the API. Default: `DIFY_BASE_URL`, else "https://api.dify.ai/v1"."""
    app_id: str | None = Field(default=None, min_length=1)
    """A name of yours for the app, such as "support-bot". Stored conversations and cached answers
    are then known by it, and stay so when the key is rotated or the server moves; by default they
    are known by a hash of base URL and key. Set it before the key changes: what was stored until
    then is recognised as long as the key is the same."""
    timeout: Timeout | float | None = None
    """Seconds for one network operation. Default: connect 10, read 60."""
    progress_timeout: float | None = 600.0
    """Seconds that an answer may bring nothing but pings; None for no limit."""
    turn_timeout: float | None = 60.0
    """Seconds to wait for an earlier turn of the same conversation to end; None for no limit."""
    max_retries: int = Field(default=2, ge=0)
    """Further attempts where repeating is safe."""
    recover: bool = True
    """Whether an answer whose connection breaks is found again, where the server goes on with it
    or has kept it: for at most `progress_timeout`, and without beginning a second one."""
    default_headers: Mapping[str, str] | None = Field(default=None, repr=False, exclude=True)
    """Headers for every request."""
    proxy: str | None = Field(default=None, repr=False, exclude=True)
    """URL of a proxy. Default: that of the environment."""
    verify: Verify = True
    """How the certificate of the server, and of an https proxy, is checked: True, False, the path
    of a bundle of CA certificates, or an `ssl.SSLContext`, which may hold a client certificate."""
    http_client: HTTPClient | None = Field(default=None, repr=False, exclude=True)
    """Your own client for sync calls, of httpx or httpx2, which you close. Default: a shared
    one."""
    http_async_client: AsyncHTTPClient | None = Field(default=None, repr=False, exclude=True)
    """Your own client for async calls, of httpx or httpx2, which you close. Default: a shared one
    per event loop."""

    @field_validator("api_key", mode="before")
    @classmethod
    def _find_api_key(cls, value: object) -> SecretStr:
        given = value if isinstance(value, SecretStr | str) else None
        return check_api_key(given or cls._key_of_environment(), cls.key_variables)

    @field_validator("base_url", mode="before")
    @classmethod
    def _find_base_url(cls, value: object) -> str:
        given = value if isinstance(value, str) else None
        return check_base_url(given or os.environ.get("DIFY_BASE_URL"))

    @field_validator("timeout", "progress_timeout", "turn_timeout")
    @classmethod
    def _check_seconds(cls, value: Any, info: ValidationInfo) -> Any:
        parts = [value] if isinstance(value, float | int | None) else value.as_dict().values()
        none = "httpx.Timeout(None)" if info.field_name == "timeout" else "None"
        for seconds in parts:
            if info.field_name == "turn_timeout" and seconds == 0:
                continue  # not to wait at all
            if seconds is not None and not 0 < seconds < math.inf:
                raise ValueError(
                    f"{info.field_name} must be a number of seconds above 0, not {seconds!r}; "
                    f"{none} is no limit"
                )
        return value

    @field_validator("default_headers")
    @classmethod
    def _check_headers(cls, value: Mapping[str, str] | None) -> Mapping[str, str] | None:
        for name, text in (value or {}).items():
            check_header(name, text)
        return value

    @field_validator("proxy")
    @classmethod
    def _check_proxy(cls, value: str | None) -> str | None:
        return check_proxy(value) if value else value

    @field_validator("verify")
    @classmethod
    def _check_verify(cls, value: Verify) -> Verify:
        if isinstance(value, str | Path) and not (value and os.path.exists(value)):
            raise ValueError(
                f"verify must be True, False, an ssl.SSLContext or the path of a bundle of CA "
                f"certificates, and there is none at {str(value)!r}"
            )
        return value

    @field_serializer("verify")
    def _verify_as_json(self, value: Verify) -> bool | str:
        return str(value) if isinstance(value, str | Path) else bool(value)

    @classmethod
    def _key_of_environment(cls) -> str | None:
        keys = (os.environ.get(name) for name in cls.key_variables)
        return next((key for key in keys if key and key.strip()), None)

    @property
    def key(self) -> SecretStr:
        """The key.

        Raises:
            ValueError: If there is none, as after loading where the environment has none, or that
                of another app.
        """
        if self.api_key is None and vars(self).get(_REFUSES_KEY):
            raise ValueError(
                f"{self.key_variables[0]} holds the key of another app than the one that this "
                f"{type(self).__name__} was pickled with: set it to that app's key before loading"
            )
        return _checked_key(self.api_key, self.key_variables)

    @property
    def limits(self) -> httpx.Timeout:
        """`timeout` in full."""
        timeout = self.timeout
        if timeout is None or isinstance(timeout, float | int):
            return _limits(timeout)
        return cast("httpx.Timeout", timeout)

    @property
    def app(self) -> str:
        """Names the app: `app_id`, else `fingerprint`."""
        return self.app_id or self.fingerprint

    @property
    def app_names(self) -> tuple[str, ...]:
        """`app`, and what the app was known by before it had an `app_id`."""
        return tuple(dict.fromkeys(filter(None, (self.app_id, self.fingerprint))))

    @property
    def fingerprint(self) -> str:
        """A short hash of base URL and key, which gives neither away; "" without a key."""
        return "" if self.api_key is None else _fingerprint(self.base_url, self.api_key)

    def __getstate__(self) -> dict[Any, Any]:
        # Taken out first: the frameworks' own __getstate__ tries to pickle each value.
        kept_back = self._kept_back()
        bare = self.model_copy(update=dict.fromkeys(kept_back))
        state = super(DifyConnection, bare).__getstate__()
        for name in kept_back:
            state["__dict__"].pop(name, None)
        state[_APP] = self.app or vars(self).get(_REFUSES_KEY, "")
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        app = state.get(_APP)
        super().__setstate__({name: value for name, value in state.items() if name != _APP})
        for name, field in DifyConnection.model_fields.items():
            if name not in vars(self):
                vars(self)[name] = field.default
        key = self._key_of_environment()
        vars(self)["api_key"] = check_api_key(key) if key else None
        if app and key and self.app != app:  # the answers of another app are no good here
            vars(self).update({"api_key": None, _REFUSES_KEY: app})

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        memo = {} if memo is None else memo
        for shared in (self.http_client, self.http_async_client, self.verify):
            memo[id(shared)] = shared  # connections and TLS contexts are shared, not copied
        return super().__deepcopy__(memo)

    def _kept_back(self) -> list[str]:
        """The fields that no pickle holds: secrets, and what cannot be pickled."""
        names = [name for name, field in DifyConnection.model_fields.items() if field.exclude]
        return [*names, "verify"] if isinstance(self.verify, ssl.SSLContext) else names


class Connection(DifyConnection):
    """A connection on its own, which knows no other field."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def of(
        cls, api_key: SecretStr | str | None = None, **options: Unpack[ConnectionOptions]
    ) -> Self:
        """The connection of a class that is no pydantic model.

        Raises:
            TypeError: For an option that there is not.
            ValueError: For a missing key, or an option that cannot have its value.
        """
        unknown = options.keys() - cls.model_fields.keys()
        if unknown:
            raise TypeError(f"unexpected argument: {', '.join(sorted(unknown))}")
        try:
            return cls.model_validate({"api_key": api_key, **options})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            reason = first.get("ctx", {}).get("error")
            name = ".".join(str(part) for part in first["loc"])
            raise ValueError(str(reason) if reason else f"{name}: {first['msg']}") from None


@lru_cache(maxsize=64)
def _limits(timeout: float | None) -> httpx.Timeout:
    import httpx  # which the classes of an adapter need not wait for

    if timeout is not None:
        return httpx.Timeout(timeout, pool=None)
    # Reading: six of the pings that a living server sends every ten seconds.
    return httpx.Timeout(60.0, connect=10.0, pool=None)


@lru_cache(maxsize=1024)
def _checked_key(api_key: SecretStr | str | None, variables: tuple[str, ...]) -> SecretStr:
    """Kept, for each call asks for it several times."""
    return check_api_key(api_key, variables)


@lru_cache(maxsize=1024)
def _fingerprint(base_url: str, api_key: SecretStr | str) -> str:
    """Kept, for each call asks for it several times."""
    text = f"{base_url}\n{check_api_key(api_key).get_secret_value()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_base_url(base_url: str | None) -> str:
    """The base URL without its trailing slash; Dify's cloud where none is given.

    Raises:
        ValueError: If it is not an http(s) URL, or more than an address. The message shows
            nothing that may be a secret.
    """
    url = (base_url or DEFAULT_BASE_URL).strip().rstrip("/")
    if _MORE_THAN_AN_ADDRESS.search(url):
        raise ValueError(
            "base_url must be an address alone, without blanks, line feeds, backslashes, a query "
            '("?...") or a fragment ("#..."): give what a gateway wants in default_headers'
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # no address, or no port, has this form
        parts, port = urlsplit(""), None
    if "@" in (parts.netloc or url):
        raise ValueError(
            "base_url must not hold a user name or password: they would be sent in place of the "
            "API key; give what a gateway wants in default_headers"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(
            f'base_url must be a URL such as "https://dify.example.com/v1", not {base_url!r}'
        )
    return url


def check_header(name: str, value: str) -> None:
    """Refuse a header that cannot be sent, or would be sent as several.

    Raises:
        ValueError: Names the header, and does not show its value, which may be a secret.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("default_headers: a name is not one that a header can have")
    if name.lower() in _OF_EACH_REQUEST:
        raise ValueError(f"default_headers: {name} is set by each request, for its own body")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(
            f"default_headers: the value of {name} holds line feeds or other characters that no "
            "header can have (ASCII can be sent)"
        )


def check_proxy(proxy: str) -> str:
    """Refuse what is no address of a proxy.

    Raises:
        ValueError: Does not show it, since it may hold a password.
    """
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # no address, or no port, has this form
        parts, port = urlsplit(""), None
    if parts.scheme not in _PROXY_SCHEMES or not parts.hostname or port == 0:
        raise ValueError(
            'proxy must be a URL such as "http://user:password@proxy.example.com:3128"'
        )
    return proxy


def check_api_key(
    api_key: SecretStr | str | None, variables: Sequence[str] = ("DIFY_API_KEY",)
) -> SecretStr:
    """The key as a secret, without blanks around it.

    Raises:
        ValueError: If there is none, or it cannot be sent in a header.
    """
    secret = api_key if isinstance(api_key, SecretStr) else SecretStr(api_key or "")
    text = secret.get_secret_value().strip()
    if not text:
        place = "the app's" if variables[0] == "DIFY_API_KEY" else "Knowledge's"
        raise ValueError(
            f"no API key: pass api_key=... or set {variables[0]} (in Dify: {place} API Access page)"
        )
    if not text.isascii() or not text.isprintable():
        raise ValueError("the API key holds characters that no key has: copy it again")
    return SecretStr(text)
