"""What is made of the messages of clients."""

import asyncio

from tracker.sinks.messages import Failure
from tracker.web.access import Access
from tracker.web.client import RECORDING_S, Client
from tracker.web.client_messages import Record, Token, Want, decode_client_message
from tracker.web.connections import WebConnection
from tracker.web.goodbye import say_goodbye
from tracker.web.options import ServerOptions
from tracker.web.routes import MESSAGE_PACK
from tracker.web.server_messages import websocket_frame

TOKEN_S = 5.0
"""How long a client may take to say the token."""
WRONG_TOKEN = 4401
"""The code a connection is closed with."""


async def hear_token(connection: WebConnection, access: Access) -> bool:
    """Whether the first message is the token; otherwise the connection is closed.

    Raises:
        ConnectionClosed: the client went.
    """
    try:
        async with asyncio.timeout(TOKEN_S):
            message = decode_client_message(await connection.recv())
        if not isinstance(message, Token):
            reason = "the first message must be the token"
        elif not access.is_token(message.token):
            reason = "that is not the token"
        else:
            return True
    except TimeoutError:
        reason = f"no token came within {TOKEN_S:g} seconds"
    except ValueError as error:
        reason = str(error)
    await dismiss(connection, reason, WRONG_TOKEN)
    return False


async def dismiss(connection: WebConnection, reason: str, code: int) -> None:
    """Tell a client why it is let go, and let it go."""
    connection.transport.write(
        websocket_frame(Failure(reason), binary=connection.subprotocol == MESSAGE_PACK)
    )
    await say_goodbye(connection, code, reason)


def obey(client: Client, message: str | bytes, options: ServerOptions) -> None:
    """Do what a client asks for, or tell it why not."""
    try:
        said = decode_client_message(message)
    except ValueError as error:
        client.fail(str(error))
        return
    match said:
        case Want():
            client.set_wishes(said)
            if said.preview and not options.preview:
                client.fail("previews are not offered; the tracker was started without --preview")
        case Record():
            if options.switch_recording is None:
                client.fail("recordings cannot be switched on here")
            elif said.on and not client.may_begin_recording():
                client.fail(f"a recording can begin once in {RECORDING_S:g} s; ask again")
            else:
                client.asked_to_record = True
                options.switch_recording(said.on)
        case Token():
            pass
