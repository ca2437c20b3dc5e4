"""What a client may say; anything else is one line of an error and changes nothing."""

from typing import Annotated

import msgspec

from tracker.joints import Side

MAX_RATE_HZ = 1000.0


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="token"):
    """Says that the client may listen; needed first where a token is set."""

    token: str


class Want(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="want"):
    """What the client wants from now on, in place of all that it wanted before."""

    vertices: bool = False
    """Each hand's skin."""
    preview: bool = False
    """The camera's pictures."""
    stats: bool = False
    """The run's figures, once a second."""
    max_rate_hz: Annotated[float, msgspec.Meta(gt=0.0, le=MAX_RATE_HZ)] | None = None
    """Frames and previews a second, at most; None for all."""
    side: Side | None = None
    """Hands of one side only; None for both."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="record"):
    """Begin or end a recording where the tracker runs."""

    on: bool


ClientMessage = Token | Want | Record


def decode_client_message(message: str | bytes) -> ClientMessage:
    """The value of a text message, which is JSON, or of a binary one, which is MessagePack.

    Raises:
        ValueError: it is none of these; the error's text is one line for the client.
    """
    try:
        return _JSON.decode(message) if isinstance(message, str) else _MESSAGE_PACK.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise ValueError(f"not understood: {reason}; send token, want or record") from error


_MAX_REASON = 200
_JSON: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_MESSAGE_PACK: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
