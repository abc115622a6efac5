"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const on = (element, kind, listener) => element.addEventListener(kind, listener);

  // ---- the table of scores: sort by a column, what is no number comes last ------------------
  const table = find("#per-image");
  const heads = all("thead th", table);
  heads.forEach((head, column) => on(find("button", head), "click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    const rows = all("tbody tr", table).map((row) => {
      const text = row.cells[column].textContent.trim();
      const number = Number(text.replace("inf", "Infinity"));
      return [Number.isNaN(number), Number.isNaN(number) ? text : number, row];
    });
    rows.sort(([aIsText, a], [bIsText, b]) => {
      if (aIsText !== bIsText) return aIsText - bIsText;
      return sign * (aIsText ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
    });
    find("tbody", table).append(...rows.map(([, , row]) => row));
  }));

  // ---- the viewer: two layers of a picture in a pane that scrolls ---------------------------
  const shots = data.shots;
  if (!shots.length) return;
  const [frame, pane, stage, split] = ["#frame", "#compare", "#stage", "#split"].map((s) => find(s));
  const sides = [["left", find(".over")], ["right", find(".under")]];
  let current = 0;
  let zoom = 1;

  function draw() {
    frame.style.setProperty("--split", split.value);
    // The divider stays in its place, so the upper layer is cut elsewhere when the pane scrolls.
    const edge = (pane.scrollLeft + pane.clientWidth * split.value / 100) / stage.clientWidth;
    find(".over").style.clipPath = `inset(0 ${100 - 100 * edge}% 0 0)`;
    find("#zoom").textContent = `${Number(zoom.toFixed(2))}×`;
  }

  // Enlarges so that what is at (px, py), shares of the pane, stays there; 0 shows the whole.
  function enlarge(factor, px = 0.5, py = 0.5) {
    const x = (pane.scrollLeft + px * pane.clientWidth) / stage.clientWidth;
    const y = (pane.scrollTop + py * pane.clientHeight) / stage.clientHeight;
    zoom = Math.min(Math.max(zoom * factor, 1), 16);
    stage.style.width = `${100 * zoom}%`;
    stage.classList.toggle("pixels", zoom > 1);
    pane.scrollTo(x * stage.clientWidth - px * pane.clientWidth,
      y * stage.clientHeight - py * pane.clientHeight);
    draw();
  }

  function showLayers() {
    for (const [side, image] of sides) {
      const layer = find(`#${side}`).value;
      image.src = shots[current].layers[layer];
      image.alt = `${shots[current].name}: ${data.labels[layer]}`;
      image.classList.toggle("pixels", layer === "LR");
      find(`.tag-${side}`).textContent = data.labels[layer];
    }
  }

  function show(index) {
    current = (index + shots.length) % shots.length;
    const shot = shots[current];
    const layers = data.order.filter((layer) => layer in shot.layers);
    find("#name").textContent = `${shot.set} x${shot.scale}: ${shot.name}`;
    find("#figures").textContent = shot.text;
    for (const [side, wanted] of [["left", "bicubic" in shot.layers ? "bicubic" : "HR"], ["right", "SR"]]) {
      const select = find(`#${side}`);
      const kept = layers.includes(select.value) ? select.value : wanted;
      select.replaceChildren(...layers.map((layer) => new Option(data.labels[layer], layer)));
      select.value = kept;
    }
    frame.style.maxWidth = `min(60rem, calc(80vh * ${shot.width / shot.height}))`;
    pane.style.aspectRatio = stage.style.aspectRatio = shot.width / shot.height;
    for (const row of all("tbody tr", table)) row.classList.toggle("chosen", row.dataset.shot === `${current}`);
    showLayers();
    enlarge(0);
  }

  // ---- input: mouse and keys; fingers scroll and pinch as everywhere --------------------
  const actions = {
    "+": () => enlarge(1.5), "=": () => enlarge(1.5), "-": () => enlarge(1 / 1.5), 0: () => enlarge(0),
    n: () => show(current + 1), p: () => show(current - 1),
  };
  on(pane, "scroll", draw);
  on(pane, "pointermove", (event) => {
    if (event.pointerType === "mouse" && event.buttons) pane.scrollBy(-event.movementX, -event.movementY);
  });
  on(pane, "dblclick", (event) => {
    const box = pane.getBoundingClientRect();
    enlarge(zoom > 1 ? 0 : 4, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  on(document, "keydown", (event) => {
    const typing = event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT";
    if (event.key in actions && !typing) actions[event.key]();
  });
  on(split, "input", draw);
  for (const [side] of sides) on(find(`#${side}`), "change", showLayers);
  all("[data-key]").forEach((button) => on(button, "click", actions[button.dataset.key]));
  all("#per-image .show").forEach((button) => on(button, "click", () => {
    show(Number(button.closest("tr").dataset.shot));
    find("#viewer").scrollIntoView({ block: "start" });
    pane.focus({ preventScroll: true });
  }));
  show(0);
})();
