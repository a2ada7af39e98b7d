// The official TypeScript SDK 1.x as a client: connects, lists, asks, and prints what it got as JSON. ts1.cjs ws|http|stdio TARGET TOKEN PROMPT
const { createRequire } = require("node:module");
const sdk = createRequire(`${process.env.EXAI_TEST_SDKS}/ts1/`);
const { Client } = sdk("@modelcontextprotocol/sdk/client/index.js");

function transport(kind, target, token) {
  if (kind === "ws") {
    const { WebSocketClientTransport } = sdk("@modelcontextprotocol/sdk/client/websocket.js");
    globalThis.WebSocket ??= sdk("ws");
    // It takes no headers: the token stands in the address.
    return new WebSocketClientTransport(new URL(target.replace("ws://", `ws://exai:${token}@`)));
  }
  if (kind === "http") {
    const { StreamableHTTPClientTransport } = sdk("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const headers = { Authorization: `Bearer ${token}` };
    return new StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } });
  }
  const { StdioClientTransport } = sdk("@modelcontextprotocol/sdk/client/stdio.js");
  return new StdioClientTransport({ command: target, args: ["stdio"], env: process.env });
}

async function main([kind, target, token, prompt]) {
  const client = new Client({ name: "sdk-test", version: "1" });
  const used = transport(kind, target, token);
  // Each transport is told by the client what was agreed on; those that keep nothing of it are asked by a hook.
  let protocol = null;
  const agreed = used.setProtocolVersion?.bind(used);
  used.setProtocolVersion = (version) => { protocol = version; agreed?.(version); };
  await client.connect(used);
  const { tools } = await client.listTools();
  const answer = await client.callTool({ name: "chat", arguments: { prompt } });
  const receipt = answer._meta["exai/receipt"];
  console.log(JSON.stringify({ protocol, tools: tools.map((tool) => tool.name), text: answer.content[0].text, receipt }));
  await client.close();
}

main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
