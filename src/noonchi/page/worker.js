"use strict";
// Answers about pictures, one after the other, by ONNX Runtime Web.

let classifier;
let network; // once it is unpacked and compiled
let last = Promise.resolve();

onmessage = ({ data }) => {
  if (data.classifier) {
    classifier = data.classifier;
    network = opened(data);
    network.catch(() => {}); // told where an answer is asked for
    return;
  }
  last = last.then(() => answered(data)).then(postMessage);
};

async function opened(packed) {
  const [script, wasm, graph] = await Promise.all([packed.runtime, packed.wasm, packed.network].map(unpacked));
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const ort = await import(address);
  URL.revokeObjectURL(address);
  ort.env.wasm.numThreads = 1; // more would need headers that a file cannot send
  ort.env.wasm.wasmBinary = wasm;
  const session = await ort.InferenceSession.create(new Uint8Array(graph), { logSeverityLevel: 3 }); // errors alone
  return { ort, session };
}

async function unpacked(base64) {
  const bytes = Uint8Array.fromBase64?.(base64) ?? Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function answered({ number, blob, invert }) {
  try {
    return { number, heads: await predicted(blob, invert) };
  } catch (error) {
    return { number, error: error.message ?? String(error) };
  }
}

async function predicted(blob, invert) {
  const { pixels, heads, border_level } = classifier;
  const levels = inverted(await frame(blob, pixels), invert, pixels, border_level); // while the network is compiled
  const { ort, session } = await network;
  const pictures = new ort.Tensor("uint8", levels, [1, ...pixels.size, pixels.channels]);
  const found = await session.run({ pictures });
  return Object.fromEntries(heads.map((head) => [head.name, perClass(head, found[head.name].data)]));
}

/** A probability for every class: of a binary head the network gives the second's alone. */
function perClass({ kind, classes }, values) {
  const all = kind === "binary" ? [1 - values[0], values[0]] : values;
  return Object.fromEntries(classes.map((name, place) => [name, all[place]]));
}
