// Follow an organisation live without losing an event, in a browser or in Node 22 and newer:
// node listen.mjs URL ACCESS_TOKEN REFRESH_TOKEN

/** Calls `onFrame` with every frame, each activity exactly once, also after restarts and expired tokens. */
export function follow(base, tokens, onFrame) {
  const place = {}; // where to resume: `after` and `epoch`
  let pause = 500; // milliseconds
  const open = () => {
    const socket = new WebSocket(base.replace(/^http/, "ws") + "/ws");
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "AUTH", payload: { token: tokens.accessToken, ...place } }));
    };
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "CONNECTED") {
        pause = 500;
        place.after ??= frame.payload.seq;
        place.epoch = frame.payload.epoch;
      }
      if (frame.type === "RESYNC") place.after = frame.payload.seq;
      if (frame.seq) place.after = frame.seq;
      onFrame(frame);
    };
    socket.onclose = async ({ code }) => {
      if ([4403, 1008, 1009].includes(code)) return; // removed, too many messages or too large a message: stop
      if (code === 4401 && !(await refresh(base, tokens))) return; // the session is over: log in again
      setTimeout(open, pause * (0.5 + Math.random())); // random, so that not all clients reconnect at once
      pause = Math.min(2 * pause, 30_000);
    };
  };
  open();
}

/** Stores the next tokens in `tokens`, if the server answers. Returns false only when the session is over. */
async function refresh(base, tokens) {
  try {
    const reply = await fetch(base + "/api/auth/refresh", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ refreshToken: tokens.refreshToken }),
      signal: AbortSignal.timeout(5000),
    });
    if (reply.ok) Object.assign(tokens, (await reply.json()).data);
    return ![401, 403, 404].includes(reply.status);
  } catch {
    return true; // no answer
  }
}

if (globalThis.process?.argv[1]?.endsWith("listen.mjs")) {
  const [base, accessToken, refreshToken] = process.argv.slice(2);
  follow(base, { accessToken, refreshToken }, (frame) => console.log(JSON.stringify(frame)));
}
