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
  let asking = 0;

  const options = () => ({ model: model.name, invert: model.channels === 1 ? byId("invert").value : "no" });

  function complain(error) {
    fault.textContent = error ? error.message : "";
  }

  /** Asks about one picture; an answer that comes after a later question is not shown. */
  async function ask(blob, name, keep = true) {
    const mine = ++asking;
    const of = model;
    if (keep) busy(true);
    complain(null);
    const heads = await answers.predict(blob, options()).catch((error) => {
      if (mine === asking) complain(error);
    });
    if (mine !== asking) return;
    busy(false);
    if (!heads) return;
    if (current && !tries.includes(current)) URL.revokeObjectURL(current.url);
    current = { blob, name, heads, model: of, url: URL.createObjectURL(blob) };
    if (keep) remember(current);
    showCurrent();
  }

  /** Until a question is answered, what is shown is of the one before, and not to be explained. */
  function busy(on) {
    result.setAttribute("aria-busy", on);
    for (const button of looks.children) button.disabled = on;
  }

  function showCurrent() {
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
          asking++;
          busy(false);
          current = tried;
          complain(null);
          showCurrent();
          byId("answer-title").scrollIntoView({ block: "nearest" });
        });
        return answer.make("li", {}, again);
      }),
    );
  }

  async function explain(kind, button) {
    const tried = current;
    const [head] = tried.model.heads;
    const how = { model: tried.model.name, head: head.name };
    camera.rest();
    button.disabled = true;
    look.replaceChildren(answer.make("p", { class: "quiet" }, words.say("working")));
    look.hidden = false;
    complain(null);
    try {
      const found = await (kind === "map" ? answers.explain(tried.blob, how) : answers.activations(tried.blob, how));
      if (tried === current) {
        seen = { kind, found };
        showSeen();
      }
    } catch (error) {
      if (tried === current) {
        showSeen();
        complain(error);
      }
    }
    button.disabled = false;
  }

  function showSeen() {
    look.hidden = !seen;
    look.replaceChildren(...(seen ? answer[seen.kind](seen.found) : []));
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
    byId("about").textContent = words.say("about", { classes: words.list(names, 8), height, width, colour });
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
      if (kind === "drop") give(event.dataTransfer.files);
    });
  document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
  document.addEventListener("paste", ({ clipboardData }) => {
    const [picture] = [...clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (picture) ask(picture, words.say("pasted"));
  });
  draw.listen((blob) => ask(blob, words.say("drawing")));
  camera.listen((blob, keep) => ask(blob, words.say("photo"), keep));
  byId("map").addEventListener("click", ({ target }) => explain("map", target));
  byId("layers").addEventListener("click", ({ target }) => explain("layers", target));
  byId("model").addEventListener("change", ({ target }) => {
    choose(target.value);
    if (current) ask(current.blob, current.name);
  });
  byId("invert").addEventListener("change", () => current && ask(current.blob, current.name));
  byId("forget").addEventListener("click", () => {
    for (const old of tries) if (old !== current) URL.revokeObjectURL(old.url);
    tries = [];
    showTries();
    byId("tab-files").focus();
  });
  document.addEventListener("waiting", ({ detail: seconds }) => complain(new Error(words.say("waiting", { seconds }))));
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
