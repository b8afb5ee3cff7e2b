"use strict";
// Answers from the server that this page came from.

globalThis.answers = (() => {
  const TRIES = 5;

  /** `waiting` is told in how many seconds a busy server is asked again. */
  async function asked(path, parameters, body, { signal, waiting } = {}) {
    const known = Object.entries(parameters).filter(([, value]) => value !== undefined);
    const address = `${path}?${new URLSearchParams(known)}`;
    for (let left = TRIES; ; left--) {
      const reply = await fetch(address, { signal, ...(body && { method: "POST", body }) }).catch(() => {
        throw new Error(words.say("offline"));
      });
      if (reply.status === 503 && left > 1) {
        const seconds = Number(reply.headers.get("Retry-After")) || 1;
        waiting?.(seconds);
        await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
        continue;
      }
      const told = await reply.json().catch(() => ({}));
      if (reply.ok || told.predictions) return told;
      throw Object.assign(new Error(told.error ?? `${reply.status} ${reply.statusText}`), { status: reply.status });
    }
  }

  function form(blobs) {
    const found = new FormData();
    for (const blob of blobs) found.append("files", blob, blob.name ?? "picture.png");
    return found;
  }

  function one({ error, picture: _, ...heads }) {
    if (error) return { error };
    return { heads: Object.fromEntries(Object.entries(heads).map(([name, { probabilities }]) => [name, probabilities])) };
  }

  async function predictAll(blobs, { model, invert, ...how }) {
    return (await asked("/v1/predict", { model, invert }, form(blobs), how)).predictions.map(one);
  }

  return {
    models: async () => (await asked("/v1/models", {})).models,
    predictAll,
    async predict(blob, options) {
      const [{ error, heads }] = await predictAll([blob], options);
      if (error) throw new Error(error);
      return heads;
    },
    explain: (blob, { model, head, class: name, invert, ...how }) =>
      asked("/v1/explain", { model, head, class: name, invert, what: "map" }, form([blob]), how),
    activations: (blob, { model, invert, ...how }) =>
      asked("/v1/explain", { model, invert, what: "activations" }, form([blob]), how),
  };
})();
