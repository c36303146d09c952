/* What the page does besides the viewer: cards choose a frame, curves tell their values. */
document.querySelectorAll(".viewer").forEach(root => {
  const viewer = new Viewer(root), section = root.parentElement, cards = [...section.querySelectorAll(".card")];
  root.viewer = viewer;
  const choose = card => {
    cards.forEach(other => other.setAttribute("aria-pressed", String(other === card)));
    viewer.show(card);
  };
  cards.forEach(card => card.addEventListener("click", () => {
    choose(card);
    const top = viewer.stage.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight * 0.6) viewer.stage.scrollIntoView({ block: "center" });
  }));
  if (cards.length) choose(cards[0]);
});

const brief = value => Math.abs(value) >= 1e4 || value === 0 ? String(Math.round(value)) : Number(value.toPrecision(4)).toString();
document.querySelectorAll("[data-curves]").forEach(drawing => {
  const { curves, titles, runs } = JSON.parse(document.getElementById(drawing.dataset.curves).textContent);
  const probe = drawing.querySelector(".probe"), reading = drawing.parentElement.querySelector(".reading");
  const places = [...new Set(curves.flatMap(points => points.map(point => point[0])))].sort((a, b) => a - b);
  let place = places.length - 1;
  const nearest = (points, x) => points.reduce((best, point) => Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best);
  const read = x => {
    const found = curves.map(points => nearest(points, x));
    probe.setAttribute("visibility", "visible");
    const line = probe.querySelector("line");
    ["x1", "x2"].forEach(end => line.setAttribute(end, x));
    probe.querySelectorAll("circle").forEach((circle, i) => { circle.setAttribute("cx", found[i][0]); circle.setAttribute("cy", found[i][1]); });
    reading.textContent = curves.length > 1
      ? `step ${found[0][2]}: ` + found.map((point, i) => `${titles[runs[i]]} ${brief(point[3])}`).join(", ")
      : `step ${found[0][2]}: ${brief(found[0][3])}`;
  };
  const clear = () => { probe.setAttribute("visibility", "hidden"); reading.textContent = "\u00a0"; };
  drawing.addEventListener("pointermove", event => {
    const box = drawing.getBoundingClientRect(), x = (event.clientX - box.left) * drawing.viewBox.baseVal.width / box.width;
    place = places.reduce((best, at, i) => Math.abs(at - x) < Math.abs(places[best] - x) ? i : best, 0);
    read(places[place]);
  });
  drawing.addEventListener("pointerleave", clear);
  drawing.addEventListener("blur", clear);
  drawing.addEventListener("focus", () => read(places[place]));
  drawing.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    place = Math.max(0, Math.min(places.length - 1, place + step));
    read(places[place]);
  });
});

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => { part.open = true; }));
