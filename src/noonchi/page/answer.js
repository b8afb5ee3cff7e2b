"use strict";
// One picture's answer as bars, and what speaks for it.

const answer = (() => {
  const FEW = 10; // classes that are all shown at once
  const MOST = 5;

  /** An element with attributes, texts and elements in it; nothing is ever taken for HTML. */
  function make(name, attributes = {}, ...inside) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...inside);
    return element;
  }

  /** What a head answers, in one text. */
  function top({ kind, classes }, probabilities) {
    if (kind === "labels") return classes.filter((name) => probabilities[name] >= 0.5).join(", ") || words.say("none");
    return classes.reduce((best, name) => (ahead(kind, probabilities[name], probabilities[best]) ? name : best));
  }

  /** At exactly one half a binary head answers its second class. */
  const ahead = (kind, one, other) => (kind === "binary" ? one >= other : one > other);

  function bars(head, probabilities, several) {
    const ordered = [...head.classes].sort((one, other) => probabilities[other] - probabilities[one]);
    const said = make("p", { class: "said" }, top(head, probabilities));
    const most = ordered.length > FEW ? MOST : FEW;
    const list = make("ol", { class: "bars" }, ...ordered.slice(0, most).map((name) => bar(name, probabilities[name])));
    const block = make("div", { class: "head" }, ...(several ? [make("h3", {}, head.name)] : []), said, list);
    if (ordered.length > most) {
      const rest = ordered.slice(most);
      block.append(
        make(
          "details",
          {},
          make("summary", {}, words.say("rest", { count: rest.length })),
          make("ol", { class: "bars" }, ...rest.map((name) => bar(name, probabilities[name]))),
        ),
      );
    }
    return block;
  }

  function bar(name, probability) {
    const filled = make("i");
    filled.style.width = `${100 * probability}%`;
    return make(
      "li",
      {},
      make("span", { class: "name" }, name),
      make("span", { class: "track", "aria-hidden": "true" }, filled),
      make("span", { class: "share" }, words.percent(probability)),
    );
  }

  function shown(tried, heads) {
    const picture = make("img", { class: "picture", src: tried.url, alt: words.say("picture_alt", { name: tried.name }) });
    const blocks = heads.map((head) => bars(head, tried.heads[head.name], heads.length > 1));
    return make("div", { class: "shown" }, picture, make("div", { class: "heads" }, ...blocks));
  }

  /** The heat map of one class, and a choice of the others, which `chosen` is told of. */
  function map(found, heads, chosen) {
    const says = found.checks?.says?.[words.language()] ?? [];
    const heat = make("img", { class: "heat", src: found.overlay, alt: words.say("map_alt", { name: found.class }) });
    const about = make("p", { class: "quiet" }, words.say("map_about"));
    return [
      make("h2", {}, words.say("map_title", { name: found.class })),
      make(
        "div",
        { class: "beside" },
        heat,
        make("div", {}, choice(found, heads, chosen), about, ...says.map((text) => make("p", {}, text))),
      ),
    ];
  }

  function choice(found, heads, chosen) {
    const asked = heads.flatMap((head) => head.classes.map((name) => ({ head: head.name, class: name })));
    const select = make("select");
    for (const [at, one] of asked.entries()) {
      const option = make("option", { value: at }, heads.length > 1 ? `${one.head}: ${one.class}` : one.class);
      option.selected = one.head === found.head && one.class === found.class;
      select.append(option);
    }
    select.addEventListener("change", () => chosen(asked[select.value]));
    return make("label", { class: "choice" }, words.say("map_class"), " ", select);
  }

  function layers(found) {
    const figures = found.layers.map(({ name, shape, picture }) =>
      make(
        "figure",
        {},
        make("img", { src: picture, alt: words.say("layer_alt", { name }), loading: "lazy" }),
        make("figcaption", {}, make("code", {}, name), make("br"), size(shape)),
      ),
    );
    return [make("h2", {}, words.say("layers_title")), make("div", { class: "layers" }, ...figures)];
  }

  function size(shape) {
    const [channels, height, width] = shape;
    return shape.length === 3
      ? words.say("shape", { channels, height, width })
      : words.say("values", { count: shape.reduce((one, other) => one * other, 1) });
  }

  return { make, top, shown, map, layers };
})();
