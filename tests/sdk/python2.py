"""The official Python SDK 2.x as a client: connects, lists, asks, and prints what it got as JSON. python2.py http|stdio TARGET TOKEN PROMPT MODE"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


def server(kind, target, token):
    if kind == "http":
        client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
        return streamable_http_client(target, http_client=client)
    return StdioServerParameters(command=target, args=["stdio"], env=dict(os.environ))


async def main(kind, target, token, prompt, mode):
    async with Client(server(kind, target, token), mode=mode) as client:
        tools = (await client.list_tools()).tools
        answer = await client.call_tool("chat", {"prompt": prompt})
        print(json.dumps({
            "protocol": client.protocol_version,
            "tools": [tool.name for tool in tools],
            "text": answer.content[0].text,
            "receipt": answer.meta["exai/receipt"],
        }))


asyncio.run(main(*sys.argv[1:]))
