// The live picture: a whole one, then what changes. A gap brings the whole one again, a lost socket another socket.

export const picture = { parts: new Map(), events: [], linked: false };
const EVENTS_MAX = 1000;
const listeners = new Set();
let socket = null;
let seq = 0;
let wait = 500;
let wanted = false;

export function onChange(listener) { listeners.add(listener); }
function tell(changed) { for (const listener of listeners) listener(changed); }

export function open() {
  wanted = true;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/feed`);
  socket.onmessage = (message) => take(JSON.parse(message.data));
  socket.onopen = () => { wait = 500; };
  socket.onclose = () => {
    picture.linked = false;
    tell(new Set(["link"]));
    if (!wanted) return;
    setTimeout(async () => {
      if (!wanted) return;
      const alive = await ask("/api/config").catch(() => null);
      if (alive && alive.status === 401) location.reload();
      else open();
    }, wait);
    wait = Math.min(wait * 1.7, 10000);
  };
}

export function close() { wanted = false; socket?.close(); }

function take(words) {
  if (!words.whole && words.seq !== seq + 1) { socket.send("whole"); return; }
  seq = words.seq;
  if (words.whole) { picture.parts.clear(); picture.events.length = 0; }
  const changed = new Set(["link"]);
  for (const [name, part] of Object.entries(words.set ?? {})) { picture.parts.set(name, part); changed.add(name.split("/")[0]); }
  for (const name of words.gone ?? []) { picture.parts.delete(name); changed.add(name.split("/")[0]); }
  if (words.events?.length || words.whole) {
    picture.events.push(...(words.events ?? []));
    picture.events.splice(0, picture.events.length - EVENTS_MAX);
    changed.add("events");
  }
  picture.linked = true;
  tell(changed);
}

export const part = (name) => picture.parts.get(name);
export function all(kind) {
  const found = [];
  for (const [name, value] of picture.parts) if (name.startsWith(`${kind}/`)) found.push([name.slice(kind.length + 1), value]);
  return found;
}

// Whatever changes something says that it comes from this page.
export async function post(path, body = {}) {
  return fetch(path, { method: "POST", headers: { "content-type": "application/json", "x-exai-page": "1" }, body: JSON.stringify(body) });
}

// The header also keeps the browser from asking for a password by itself.
export const ask = (path) => fetch(path, { headers: { "x-exai-page": "1" } });

export async function get(path) {
  const answer = await ask(path);
  if (answer.status === 401) location.reload();
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error?.message ?? `The server answered ${answer.status}.`);
  return body;
}
