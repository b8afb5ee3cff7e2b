"use strict";
// What the page says, in the reader's language.

const words = (() => {
  const all = JSON.parse(document.getElementById("words").textContent);
  const KEY = "noonchi-language";
  let language = all[kept()] ? kept() : navigator.language.startsWith("ko") ? "ko" : "en";

  function kept() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // a file's page may have no storage
    }
  }

  /** A text with {names} filled in. */
  const say = (key, values = {}) => all[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);

  function show() {
    document.documentElement.lang = language;
    for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
    for (const element of document.querySelectorAll("[data-label]"))
      element.setAttribute("aria-label", say(element.dataset.label));
    for (const name of Object.keys(all)) document.getElementById(name).setAttribute("aria-pressed", name === language);
    document.dispatchEvent(new Event("language"));
  }

  for (const name of Object.keys(all))
    document.getElementById(name).addEventListener("click", () => {
      language = name;
      try {
        localStorage.setItem(KEY, name);
      } catch {
        // it is then asked for again next time
      }
      show();
    });

  const list = (names, most) => {
    const shown = names.slice(0, most);
    if (names.length > most) shown.push(say("more", { count: names.length - most }));
    return shown.length < 2 ? shown.join("") : shown.slice(0, -1).join(", ") + say("and") + shown.at(-1);
  };

  /** Never 0 or all of it where it only rounds to that. */
  function percent(share) {
    const within = Math.min(Math.max(share, 0.001), 0.999);
    const kept = share === 0 || share === 1 || Math.abs(share - within) < 0.0005 ? share : within;
    const mark = kept === share ? "" : share < kept ? "<" : ">";
    const form = { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 };
    return mark + new Intl.NumberFormat(language, form).format(kept);
  }

  return { say, show, list, percent, language: () => language };
})();
