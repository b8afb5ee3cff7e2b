"use strict";
// The page: what is shown to the classifier, and where its answers go.

(async () => {
  const MOST_TRIES = 60;
  const byId = (id) => document.getElementById(id);
  const [fault, result, look, looks, history] = ["fault", "result", "look", "looks", "history"].map(byId);
  let models = [];
  let model = null;
  let tries = [];
  let current = null;
  let seen = null; // what `look` holds: {kind, found}
  let asking = new AbortController();
  let looking = new AbortController();

  const options = () => ({ model: model.name, invert: model.channels === 1 ? byId("invert").value : "no" });
  const waiting = (seconds) => complain(new Error(words.say("waiting", { seconds })));

  function complain(error) {
    fault.textContent = error ? error.message : "";
  }

  /** What was asked before is no longer waited for. */
  function instead() {
    asking.abort();
    asking = new AbortController();
    busy(false);
    complain(null);
    return asking.signal;
  }

  /** Asks about one picture, and says whether that was answered; without `keep` it is one of many that follow. */
  async function ask(blob, name, keep = true) {
    const signal = instead();
    const [of, how] = [model, options()];
    if (keep) busy(true);
    result.setAttribute("aria-live", keep ? "polite" : "off");
    const heads = await answers.predict(blob, { ...how, signal, waiting }).catch((error) => {
      if (!signal.aborted) complain(error);
    });
    if (signal.aborted) return false;
    busy(false);
    if (!heads) return false;
    complain(null);
    if (current && !tries.includes(current)) URL.revokeObjectURL(current.url);
    current = { blob, name, heads, model: of, invert: how.invert, url: URL.createObjectURL(blob) };
    if (keep) remember(current);
    showCurrent();
    return true;
  }

  /** Until a question is answered, what is shown is of the one before, and not to be explained. */
  function busy(on) {
    result.setAttribute("aria-busy", on);
    for (const button of looks.children) button.disabled = on;
  }

  function showCurrent() {
    looking.abort();
    seen = null;
    showSeen();
    if (current) result.replaceChildren(answer.shown(current, current.model.heads));
    looks.hidden = !current?.model.explains;
  }

  function remember(tried) {
    tries.unshift(tried);
    for (const old of tries.splice(MOST_TRIES)) URL.revokeObjectURL(old.url);
    showTries();
  }

  function showTries() {
    byId("tries").hidden = !tries.length;
    history.replaceChildren(
      ...tries.map((tried) => {
        const said = tried.model.heads.map((head) => answer.top(head, tried.heads[head.name])).join(" · ");
        const label = words.say("again", { name: tried.name, answer: said });
        const again = answer.make("button", { type: "button", "aria-label": label });
        again.append(answer.make("img", { src: tried.url, alt: "" }), answer.make("span", {}, said));
        again.addEventListener("click", () => {
          camera.rest();
          instead();
          current = tried;
          showCurrent();
          byId("answer-title").scrollIntoView({ block: "nearest" });
        });
        return answer.make("li", {}, again);
      }),
    );
  }

  /** A heat map, of a head and a class that are `asked` for or else the likeliest, or what the layers give. */
  async function explain(kind, asked = {}) {
    camera.rest();
    instead();
    looking.abort();
    const { signal } = (looking = new AbortController());
    const { blob, invert, model: of } = current;
    if (seen?.kind !== kind) look.replaceChildren(answer.make("p", { class: "quiet" }, words.say("working")));
    look.setAttribute("aria-busy", "true");
    look.hidden = false;
    const get = kind === "map" ? answers.explain : answers.activations;
    try {
      const found = await get(blob, { model: of.name, invert, ...asked, signal, waiting });
      if (signal.aborted) return;
      complain(null);
      seen = { kind, found };
      showSeen();
    } catch (error) {
      if (signal.aborted) return;
      seen = null;
      look.removeAttribute("aria-busy");
      look.replaceChildren(answer.make("p", { class: "fault", role: "alert" }, error.message));
    }
    look.scrollIntoView({ block: "nearest" });
  }

  function showSeen() {
    const choosing = look.contains(document.activeElement);
    look.hidden = !seen;
    look.removeAttribute("aria-busy");
    const again = (asked) => explain("map", asked);
    look.replaceChildren(...(seen ? answer[seen.kind](seen.found, current.model.heads, again) : []));
    if (choosing) look.querySelector("select")?.focus();
  }

  function give(files) {
    const given = [...files];
    if (given.length === 1) ask(given[0], given[0].name);
    if (given.length > 1) batch.start(given, model, options());
  }

  function choose(name) {
    model = models.find((each) => each.name === name);
    const names = model.heads.flatMap((head) => head.classes);
    const [height, width] = model.size;
    const colour = words.say(model.channels === 1 ? "about_grey" : "about_colour");
    byId("name").textContent = model.name;
    byId("about").textContent = words.say("about", { classes: words.list(names, 12), height, width, colour });
    byId("inverting").hidden = model.channels !== 1;
  }

  function startWith() {
    byId("which").hidden = models.length < 2;
    byId("model").replaceChildren(...models.map(({ name }) => answer.make("option", { value: name }, name)));
    choose(models[0].name);
    if (model.channels === 1 && Math.max(...model.size) <= 64) select(byId("tab-draw"));
  }

  function select(tab) {
    for (const each of document.querySelectorAll("[role=tab]")) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", chosen);
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (tab.id !== "tab-camera") camera.stop();
  }

  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = tabs.at((at + step) % tabs.length);
      select(next);
      next.focus();
    });
  });

  byId("chosen").addEventListener("change", (event) => {
    give(event.target.files);
    event.target.value = ""; // so that the same file may be chosen again
  });
  for (const kind of ["dragover", "drop"])
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") dropped.files(event.dataTransfer).then(give);
    });
  document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
  document.addEventListener("paste", ({ clipboardData }) => {
    const [picture] = [...clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (picture) ask(picture, words.say("pasted"));
  });
  draw.listen((blob) => ask(blob, words.say("drawing")));
  camera.listen((blob, keep) => ask(blob, words.say("photo"), keep));
  byId("instead").addEventListener("click", () => {
    select(byId("tab-files"));
    byId("chosen").focus();
    byId("chosen").click();
  });
  byId("map").addEventListener("click", () => explain("map"));
  byId("layers").addEventListener("click", () => explain("layers"));
  byId("model").addEventListener("change", ({ target }) => {
    choose(target.value);
    if (current) ask(current.blob, current.name);
  });
  byId("invert").addEventListener("change", () => current && ask(current.blob, current.name));
  byId("forget").addEventListener("click", () => {
    for (const old of tries) if (old !== current) URL.revokeObjectURL(old.url);
    tries = [];
    showTries();
    document.querySelector("[role=tab][aria-selected=true]").focus();
  });
  document.addEventListener("language", () => {
    if (model) choose(model.name);
    const kept = seen;
    if (current) showCurrent();
    seen = kept;
    showSeen();
    showTries();
  });

  words.show();
  try {
    models = await answers.models();
    startWith();
  } catch (error) {
    complain(new Error(words.say("no_models", { reason: error.message })));
  }
})();
