"use strict";
// Answers from the network that this page holds, on a thread beside the page's: nothing is sent anywhere.

globalThis.answers = (() => {
  const held = (id) => document.getElementById(id).textContent;
  const classifier = JSON.parse(held("classifier"));
  const asking = new Map(); // what waits for an answer, by its number
  let asked = 0;

  // no module: from a file, Chromium starts none
  const worker = new Worker(URL.createObjectURL(new Blob([held("worker")], { type: "text/javascript" })));
  worker.onmessage = ({ data: { number, heads, error } }) => {
    const { resolve, reject } = asking.get(number);
    asking.delete(number);
    if (error) reject(new Error(error));
    else resolve(heads);
  };
  worker.onerror = ({ message }) => {
    for (const { reject } of asking.values()) reject(new Error(message ?? "this browser did not start the network"));
    asking.clear();
  };
  const [runtime, wasm, network] = ["runtime", "runtime-wasm", "network"].map(held);
  worker.postMessage({ classifier, runtime, wasm, network });

  return {
    async models() {
      const { name, heads, pixels } = classifier;
      return [{ name, heads, size: pixels.size, channels: pixels.channels, explains: false }];
    },

    predict(blob, { invert = "no" } = {}) {
      return new Promise((resolve, reject) => {
        asked += 1;
        asking.set(asked, { resolve, reject });
        worker.postMessage({ number: asked, blob, invert });
      });
    },
  };
})();
