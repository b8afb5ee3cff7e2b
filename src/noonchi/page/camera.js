"use strict";
// Frames of the camera, on a button or all the time.

const camera = (() => {
  const [view, open, take, live, close, fault] = ["view", "open", "take", "live", "close", "camera-fault"].map((id) =>
    document.getElementById(id),
  );
  let told = async () => {};
  let problem = null;
  let wanted = false;

  async function start() {
    problem = null;
    wanted = open.disabled = true;
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "NotFoundError");
      view.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      view.srcObject.getTracks().forEach((track) => track.addEventListener("ended", stop));
      if (wanted) await view.play();
    } catch (error) {
      if (wanted) problem = error.name === "NotAllowedError" ? "camera_denied" : "camera_none";
      wanted = false;
    }
    open.disabled = false;
    if (!wanted) return stop(); // perhaps since another way was chosen while the browser asked
    show();
    take.focus();
  }

  function stop() {
    wanted = false;
    for (const track of view.srcObject?.getTracks() ?? []) track.stop();
    view.srcObject = null;
    rest();
    show();
  }

  /** No more frames but those that are asked for. */
  function rest() {
    live.setAttribute("aria-pressed", "false");
  }

  function show() {
    const on = Boolean(view.srcObject);
    view.hidden = take.hidden = live.hidden = close.hidden = !on;
    open.hidden = on;
    fault.textContent = problem ? words.say(problem) : "";
  }

  async function frame() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
    canvas.getContext("2d").drawImage(view, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve));
  }

  /** The next frame is taken once the one before is answered; without an answer it ends. */
  async function follow() {
    const going = () => live.getAttribute("aria-pressed") === "true";
    while (going()) {
      const taken = await frame();
      if (!going()) return; // or an explanation that was asked for meanwhile would give way to it
      if (!(await told(taken, false))) return rest();
      await new Promise(requestAnimationFrame);
    }
  }

  open.addEventListener("click", start);
  close.addEventListener("click", () => {
    stop();
    open.focus();
  });
  take.addEventListener("click", async () => told(await frame(), true));
  live.addEventListener("click", () => {
    const starting = live.getAttribute("aria-pressed") !== "true";
    live.setAttribute("aria-pressed", starting);
    if (starting) follow();
  });
  document.addEventListener("language", show);

  /** `listener` is given each frame as a PNG, and whether it is one to keep; it says whether that was answered. */
  return { listen: (listener) => (told = listener), rest, stop };
})();
