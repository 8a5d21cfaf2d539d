"""Chat completions as OpenAI's protocol has them, which local servers speak too: one request, one reply, within limits.

Sent straight to the endpoint: no proxy, no redirection, no credentials but the key that was given. A reply is data of a stranger: it is read up
to a limit of size and time, and anything that is no reply is one clear error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from aura_edge.errors import InputError, require

LARGEST_REPLY = 4 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class _Function(msgspec.Struct):
    name: str
    arguments: Any = ""


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool that the model asks for."""

    id: str
    name: str
    arguments: str
    """JSON, or what the model takes for it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said."""

    text: str
    calls: tuple[Call, ...]


class Endpoint:
    """One model behind one URL. `close` it."""

    def __init__(self, url: str, model: str, *, key: str | None = None, timeout_s: float = 120.0) -> None:
        """`url` is the base, as in `http://localhost:11434/v1`; `timeout_s` is for all requests together. Raises `InputError` for a URL that is
        none, or that would show the key to the network, and `MissingExtraError`."""
        self.url, self.model = _checked(url, key), model
        self._key = key
        self._until_s = time.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._httpx = require("httpx", extra="ask")
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._client = self._httpx.Client(headers=headers, trust_env=False, follow_redirects=False)

    def complete(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Reply:
        """The model's next message. Raises `InputError` for anything that is no reply."""
        body = msgspec.json.encode({"model": self.model, "messages": messages, **options})
        content = self._post(body)
        try:
            completion = msgspec.json.decode(content, type=_Completion)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._failure(
                f"replied what is no chat completion ({error}): {self._brief(content)}. Name the base of an OpenAI-compatible interface, "
                "as in http://localhost:11434/v1"
            ) from error
        if not completion.choices:
            raise self._failure("replied without a choice. Try another model.")
        message = completion.choices[0].message
        calls = [
            Call(call.id or f"call_{i}", call.function.name, _text(call.function.arguments))
            for i, call in enumerate(message.tool_calls or (), 1)
        ]
        return Reply(_THOUGHTS.sub("", readable(message.content or "")).strip(), tuple(calls))

    def close(self) -> None:
        self._client.close()

    def _post(self, body: bytes) -> bytes:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise self._late()
        content = bytearray()
        try:
            with self._client.stream(
                "POST", self.url, content=body, headers={"Content-Type": "application/json"}, timeout=left_s
            ) as response:
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > LARGEST_REPLY:
                        raise self._failure(f"replied more than {LARGEST_REPLY >> 20} MB. Try another model.")
                    if time.monotonic() > self._until_s:
                        raise self._late()
                status = response.status_code
        except self._httpx.TimeoutException as error:
            raise self._late() from error
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            raise self._failure(
                f"cannot be reached ({self._brief(str(error).encode())}). Check the address, and that it runs."
            ) from error
        if status != 200:
            raise self._failure(f"replied with status {status}: {self._brief(bytes(content))}. {_remedy(status)}")
        return bytes(content)

    def _brief(self, content: bytes) -> str:
        text = " ".join(readable(content.decode(errors="replace")).split())
        text = text.replace(self._key, "***") if self._key else text
        return text[:200] or "nothing"

    def _late(self) -> InputError:
        return self._failure(
            f"did not answer within {self._timeout_s:g} s. Allow more with --timeout, or try a smaller model."
        )

    def _failure(self, text: str) -> InputError:
        return InputError(f"{self.url}: {text}")


def readable(text: str) -> str:
    """A stranger's text without what would steer a terminal."""
    return _CONTROL.sub("", text)


def _checked(url: str, key: str | None) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InputError(f"{readable(url)!r}: expected the base of an interface, as in http://localhost:11434/v1")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "the endpoint's address holds a name or password, which others can see. Use the key's variable."
        )
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key and key):
        raise InputError("the key holds spaces or characters that no header takes. Set its variable again.")
    if key and parts.scheme == "http" and host not in _LOOPBACK:
        raise InputError(
            f"{url}: would carry the key unencrypted through the network. Use https, or unset the key's variable."
        )
    base = url.rstrip("/")
    return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


def _text(arguments: Any) -> str:
    """Some servers send an object where the protocol has its JSON."""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "Check the key in its variable."
    if status == 404:
        return "Check the address and the name of the model."
    if status == 429 or status >= 500:
        return "Try again later."
    return "Check the address, the model, and whether it can call tools."
