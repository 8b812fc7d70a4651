// Asks the server; whatever goes wrong becomes one line that a person can read.

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answerOf(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new ServerError("The review program does not answer. Is it still running in its terminal? Nothing that was saved is lost.", 0);
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).error ?? text;
  } catch { /* plain text */ }
  throw new ServerError(message, response.status);
}

export async function getJson(path) {
  return (await answerOf(fetch(path))).json();
}

export async function getBlob(path) {
  return (await answerOf(fetch(path))).blob();
}

export async function getBytes(path) {
  return new Uint8Array(await (await answerOf(fetch(path))).arrayBuffer());
}

export async function post(path, body = {}, keepalive = false) {
  const request = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), keepalive };
  return (await answerOf(fetch(path, request))).json();
}
