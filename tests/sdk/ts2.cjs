// The official TypeScript SDK 2.x as a client: connects, lists, asks, and prints what it got as JSON. ts2.cjs http|stdio TARGET TOKEN PROMPT MODE
const { createRequire } = require("node:module");
const sdk = createRequire(`${process.env.EXAI_TEST_SDKS}/ts2/`);
const { Client, StreamableHTTPClientTransport } = sdk("@modelcontextprotocol/client");

function transport(kind, target, token) {
  if (kind === "http") {
    const headers = { Authorization: `Bearer ${token}` };
    return new StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } });
  }
  const { StdioClientTransport } = sdk("@modelcontextprotocol/client/stdio");
  return new StdioClientTransport({ command: target, args: ["stdio"], env: process.env });
}

async function main([kind, target, token, prompt, mode]) {
  const client = new Client({ name: "sdk-test", version: "2" }, { versionNegotiation: { mode } });
  await client.connect(transport(kind, target, token));
  const protocol = client.getNegotiatedProtocolVersion();
  const { tools } = await client.listTools();
  const answer = await client.callTool({ name: "chat", arguments: { prompt } });
  const receipt = answer._meta["exai/receipt"];
  console.log(JSON.stringify({ protocol, tools: tools.map((tool) => tool.name), text: answer.content[0].text, receipt }));
  await client.close();
}

main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
