"use strict";
// Many pictures, one after the other, as a table and as a CSV like that of `noonchi predict --format csv`.

const batch = (() => {
  const FILES = 16; // and
  const BYTES = 48 * 2 ** 20; // of a request; a server takes 64 MiB
  const CLASSES = 3;
  const [section, state, fault, progress, stop, csv, table] = [
    "batch",
    "batch-state",
    "batch-fault",
    "batch-progress",
    "stop",
    "csv",
    "rows",
  ].map((id) => document.getElementById(id));
  let run = null;

  /** Classifies all `files`; those of a run before are forgotten. */
  async function start(files, model, options) {
    stopped();
    const mine = (run = { total: files.length, found: [], heads: model.heads, going: true, asking: new AbortController() });
    section.hidden = false;
    headings(mine);
    table.tBodies[0].replaceChildren();
    csv.hidden = true;
    show();
    section.scrollIntoView({ block: "nearest" });
    try {
      for (const some of parts(files)) {
        complain("");
        const found = await answersOf(some, { ...options, signal: mine.asking.signal, waiting });
        if (!mine.going) return;
        some.forEach((file, number) => add(mine, { name: file.name, ...found[number] }));
        show();
      }
      complain("");
    } catch (error) {
      if (!mine.going) return;
      complain(error.message);
    }
    finish();
  }

  const complain = (text) => (fault.textContent = text);
  const waiting = (seconds) => complain(words.say("waiting", { seconds }));

  function* parts(files) {
    let [part, bytes] = [[], 0];
    for (const file of files) {
      if (part.length === FILES || (part.length && bytes + file.size > BYTES)) {
        yield part;
        [part, bytes] = [[], 0];
      }
      part.push(file);
      bytes += file.size;
    }
    yield part;
  }

  /** An answer or an error for each; fails where none can be had, as without the server. */
  async function answersOf(files, options) {
    if (!answers.predictAll) return each(files, (file) => answers.predict(file, options).then((heads) => ({ heads }), told));
    try {
      return await answers.predictAll(files, options);
    } catch (error) {
      if (error.status !== 413) throw error;
      return files.length > 1 ? (await each(files, (file) => answersOf([file], options))).flat() : [told(error)];
    }
  }

  const told = (error) => ({ error: error.message });

  async function each(files, work) {
    const found = [];
    for (const file of files) found.push(await work(file));
    return found;
  }

  function headings({ heads }) {
    const names = heads.length > 1 ? heads.map((head) => head.name) : [words.say("answer")];
    const cells = [words.say("col_picture"), ...names].map((text) => answer.make("th", { scope: "col" }, text));
    table.tHead.replaceChildren(answer.make("tr", {}, ...cells));
  }

  function add(mine, one) {
    mine.found.push(one);
    const cells = one.error
      ? [answer.make("td", { colspan: mine.heads.length, class: "fault" }, one.error)]
      : mine.heads.map((head) => answer.make("td", {}, said(head, one.heads[head.name])));
    table.tBodies[0].append(answer.make("tr", {}, answer.make("th", { scope: "row" }, one.name), ...cells));
  }

  function said(head, probabilities) {
    const name = answer.top(head, probabilities);
    return head.kind === "labels" ? name : `${name} ${words.percent(probabilities[name])}`;
  }

  function show() {
    if (!run) return;
    const bad = run.found.filter((one) => one.error).length;
    const counts = { done: run.found.length, total: run.total };
    state.textContent = words.say("batch_state", counts) + (bad ? words.say("batch_bad", { bad }) : "");
    [progress.max, progress.value] = [run.total, run.found.length];
    progress.hidden = stop.hidden = !run.going;
  }

  function finish() {
    run.going = false;
    run.asking.abort();
    if (csv.href) URL.revokeObjectURL(csv.href);
    csv.href = URL.createObjectURL(new Blob([text(run)], { type: "text/csv" }));
    csv.hidden = !run.found.some((one) => one.heads);
    show();
  }

  function stopped() {
    if (run?.going) finish();
  }

  function text({ found, heads }) {
    const lines = [["picture", "head", "rank", "class", "probability"]];
    for (const { name, heads: byHead } of found.filter((one) => one.heads))
      for (const head of heads) {
        const probabilities = byHead[head.name];
        const ordered = [...head.classes].sort((one, other) => probabilities[other] - probabilities[one]);
        ordered.slice(0, CLASSES).forEach((label, at) => {
          lines.push([inert(name), inert(head.name), at + 1, inert(label), probabilities[label].toFixed(6)]);
        });
      }
    return lines.map((line) => line.map(cell).join(",") + "\n").join("");
  }

  /** No spreadsheet takes it for a formula; as `noonchi.results.inert`. */
  const inert = (name) => (/^[=+\-@\t\r']/.test(name) ? `'${name}` : name);
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);

  stop.addEventListener("click", stopped);
  document.addEventListener("language", () => {
    if (!run) return;
    headings(run);
    show();
  });

  return { start };
})();
