// A chart is read with a pointer or, once focused, with the arrow keys; a screen reader hears what is read.
const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -1e9, End: 1e9 };
for (const chart of document.querySelectorAll("svg.read")) {
  const places = [...chart.querySelectorAll(".at")];
  let now = Math.max(0, places.findIndex((place) => place.classList.contains("on")));
  const show = (to) => {
    places[now].classList.remove("on");
    now = Math.min(places.length - 1, Math.max(0, to));
    places[now].classList.add("on");
    chart.setAttribute("aria-valuenow", now + 1);
    chart.setAttribute("aria-valuetext", places[now].querySelector(".told").textContent);
  };
  for (const [name, value] of [["role", "slider"], ["tabindex", 0], ["aria-valuemin", 1], ["aria-valuemax", places.length]])
    chart.setAttribute(name, value);
  chart.addEventListener("pointerover", (event) => {
    const place = event.target.closest(".at");
    if (place) show(places.indexOf(place));
  });
  chart.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    show(now + steps[event.key]);
  });
  show(now);
}
