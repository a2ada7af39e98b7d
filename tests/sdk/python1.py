"""The official Python SDK 1.x as a client: connects, lists, asks, and prints what it got as JSON. python1.py ws|http|stdio TARGET TOKEN PROMPT"""

import asyncio
import json
import sys
import warnings

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import get_default_environment, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.websocket import websocket_client

warnings.simplefilter("ignore", DeprecationWarning)


def transport(kind, target, token):
    if kind == "ws":
        # It takes no headers: the token stands in the address.
        return websocket_client(target.replace("ws://", f"ws://exai:{token}@"))
    if kind == "http":
        client = httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
        return streamable_http_client(target, http_client=client)
    import os

    return stdio_client(StdioServerParameters(command=target, args=["stdio"], env=dict(os.environ)))


async def main(kind, target, token, prompt):
    async with transport(kind, target, token) as streams, ClientSession(streams[0], streams[1]) as session:
        hello = await session.initialize()
        tools = (await session.list_tools()).tools
        answer = await session.call_tool("chat", {"prompt": prompt})
        print(json.dumps({
            "protocol": hello.protocolVersion,
            "tools": [tool.name for tool in tools],
            "text": answer.content[0].text,
            "receipt": answer.meta["exai/receipt"],
        }))


asyncio.run(main(*sys.argv[1:]))
