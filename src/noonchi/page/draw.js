"use strict";
// A drawing, white on black as the pictures that digits are learned from.

const draw = (() => {
  const paper = document.getElementById("paper");
  const context = paper.getContext("2d");
  const undo = document.getElementById("undo");
  const clear = document.getElementById("clear");
  let strokes = [];
  let told = () => {};

  const place = (event) => {
    const box = paper.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * paper.width, ((event.clientY - box.top) / box.height) * paper.height];
  };

  function paint() {
    context.fillStyle = "black";
    context.fillRect(0, 0, paper.width, paper.height);
    context.strokeStyle = "white";
    context.lineWidth = paper.width / 13; // a pen stroke of MNIST's digits, at ten times their size
    context.lineCap = context.lineJoin = "round";
    for (const points of strokes) {
      context.beginPath();
      context.moveTo(...points[0]);
      for (const point of points.length > 1 ? points.slice(1) : points) context.lineTo(...point);
      context.stroke();
    }
    undo.disabled = clear.disabled = !strokes.length;
  }

  async function tell() {
    if (strokes.length) told(await new Promise((resolve) => paper.toBlob(resolve)));
  }

  paper.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return; // a second finger draws nothing
    event.preventDefault();
    paper.setPointerCapture(event.pointerId);
    strokes.push([place(event)]);
    paint();
  });
  paper.addEventListener("pointermove", (event) => {
    if (!paper.hasPointerCapture(event.pointerId)) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) strokes.at(-1).push(place(each));
    paint();
  });
  paper.addEventListener("lostpointercapture", tell);
  undo.addEventListener("click", () => {
    strokes.pop();
    paint();
    tell();
  });
  clear.addEventListener("click", () => {
    strokes = [];
    paint();
  });
  paint();

  /** `listener` is given each drawing as a PNG, after each stroke. */
  return { listen: (listener) => (told = listener) };
})();
