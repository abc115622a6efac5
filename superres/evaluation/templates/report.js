"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // ---- the table of scores: sort by a column, missing values last --------------------------
  const table = find("#per-image");
  const heads = all("thead th", table);
  const valueOf = (row, column) => {
    const text = row.cells[column].dataset.value;
    const number = text === "inf" ? Infinity : Number(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };
  const ordered = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  heads.forEach((head, column) => {
    find("button", head).addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = all("tbody tr", table).map((row) => [valueOf(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return down ? ordered(b, a) : ordered(a, b);
      });
      find("tbody", table).append(...rows.map(([, row]) => row));
    });
  });

  // ---- the viewer --------------------------------------------------------------------------
  const shots = data.shots;
  if (!shots.length) return;
  const compare = find("#compare");
  const split = find("#split");
  const sides = { left: find("#left"), right: find("#right") };
  const whole = { zoom: 1, x: 0.5, y: 0.5 };
  const view = { ...whole };
  const MAX_ZOOM = 32;
  let current = -1;

  // All pictures show the same part: view.x and view.y are its centre, as shares of the picture.
  function draw() {
    view.zoom = clamp(view.zoom, 1, MAX_ZOOM);
    const margin = 0.5 / view.zoom;
    view.x = clamp(view.x, margin, 1 - margin);
    view.y = clamp(view.y, margin, 1 - margin);
    // Percentages are of the picture's own size, so one transform fits panes of any size.
    const [left, top] = [view.x, view.y].map((share) => 50 - share * view.zoom * 100);
    for (const image of all("#viewer .pane img")) {
      image.style.transform = `translate(${left}%, ${top}%) scale(${view.zoom})`;
      image.classList.toggle("pixels", view.zoom > 1 || image.dataset.layer === "LR");
      image.parentElement.classList.toggle("inside", view.zoom > 1);
    }
    find("#zoom").textContent = `${Number(view.zoom.toFixed(2))}×`;
    // The divider stays where it is in the pane, so the upper picture, whose own transform moves
    // it, is clipped at another place of its own.
    compare.style.setProperty("--split", split.value);
    const edge = (Number(split.value) - left) / view.zoom;
    find(".over", compare).style.clipPath = `inset(0 ${100 - clamp(edge, 0, 100)}% 0 0)`;
  }

  function zoomAt(factor, px = 0.5, py = 0.5) {
    const before = view.zoom;
    view.zoom = clamp(before * factor, 1, MAX_ZOOM);
    view.x += (px - 0.5) * (1 / before - 1 / view.zoom);
    view.y += (py - 0.5) * (1 / before - 1 / view.zoom);
    draw();
  }

  function move(dx, dy) {
    view.x += dx / view.zoom;
    view.y += dy / view.zoom;
    draw();
  }

  function reset() {
    Object.assign(view, whole);
    draw();
  }

  function setLayer(image, layer) {
    image.src = shots[current].layers[layer];
    image.dataset.layer = layer;
    image.alt = `${shots[current].name}: ${data.labels[layer]}`;
  }

  function drawCompare() {
    for (const [side, image] of [["left", ".over"], ["right", ".under"]]) {
      setLayer(find(image, compare), sides[side].value);
      find(`.tag-${side}`, compare).textContent = data.labels[sides[side].value];
    }
    draw();
  }

  function show(index) {
    current = (index + shots.length) % shots.length;
    const shot = shots[current];
    const layers = data.order.filter((layer) => layer in shot.layers);
    const ratio = shot.width / shot.height;
    find("#name").textContent = `${shot.set} x${shot.scale}: ${shot.name}`;
    find("#figures").textContent = shot.text;
    const wanted = { left: "bicubic" in shot.layers ? "bicubic" : layers[0], right: "SR" };
    for (const [side, select] of Object.entries(sides)) {
      const kept = layers.includes(select.value) ? select.value : wanted[side];
      select.replaceChildren(...layers.map((layer) => new Option(data.labels[layer], layer)));
      select.value = kept;
    }
    compare.style.maxWidth = `min(60rem, calc(80vh * ${ratio}))`;
    find("#panes").replaceChildren(...layers.map((layer) => {
      const figure = find("#pane").content.cloneNode(true).firstElementChild;
      const pane = find(".pane", figure);
      pane.setAttribute("aria-label", `${data.labels[layer]}; + and - zoom, arrows move`);
      setLayer(find("img", pane), layer);
      find("figcaption", figure).textContent = data.labels[layer];
      listen(pane);
      return figure;
    }));
    all("#viewer .pane").forEach((pane) => { pane.style.aspectRatio = ratio; });
    all("tbody tr", table).forEach((row) => {
      row.classList.toggle("chosen", row.dataset.shot === String(current));
    });
    Object.assign(view, whole);
    drawCompare();
  }

  // ---- input: pointers (mouse, pen, fingers), wheel, keys ----------------------------------
  function listen(pane) {
    const pointers = new Map();
    const on = (kind, listener) => pane.addEventListener(kind, listener, { passive: false });
    const place = (event) => {
      const box = pane.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    on("pointerdown", (event) => {
      pointers.set(event.pointerId, place(event));
      if (event.pointerType !== "touch" || view.zoom > 1 || pointers.size > 1) {
        pane.setPointerCapture(event.pointerId);
      }
    });
    on("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const span = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
        zoomAt(span(now) / Math.max(span(before), 1e-3),
          (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
      const share = other ? 2 : 1;
      move((before[0] - now[0]) / share, (before[1] - now[1]) / share);
      pointers.set(event.pointerId, now);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      on(kind, (event) => pointers.delete(event.pointerId));
    }
    on("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== pane) return;
      event.preventDefault();
      zoomAt(Math.exp(-clamp(event.deltaY, -200, 200) / 400), ...place(event));
    });
    on("dblclick", (event) => (view.zoom > 1 ? reset() : zoomAt(4, ...place(event))));
    on("keydown", (event) => {
      const step = 0.1;
      const actions = {
        "+": () => zoomAt(1.5), "=": () => zoomAt(1.5), "-": () => zoomAt(1 / 1.5), "0": reset,
        ArrowLeft: () => move(-step, 0), ArrowRight: () => move(step, 0),
        ArrowUp: () => move(0, -step), ArrowDown: () => move(0, step),
      };
      if (!(event.key in actions) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      actions[event.key]();
    });
  }

  listen(compare);
  split.addEventListener("input", draw);
  const clicks = {
    larger: () => zoomAt(1.5), smaller: () => zoomAt(1 / 1.5), reset,
    next: () => show(current + 1), previous: () => show(current - 1),
  };
  for (const [id, click] of Object.entries(clicks)) find(`#${id}`).addEventListener("click", click);
  for (const select of Object.values(sides)) select.addEventListener("change", drawCompare);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
    if (event.key === "n") show(current + 1);
    if (event.key === "p") show(current - 1);
  });
  all("#per-image .show").forEach((button) => {
    button.addEventListener("click", () => {
      show(Number(button.closest("tr").dataset.shot));
      find("#viewer").scrollIntoView({ block: "start" });
      compare.focus({ preventScroll: true });
    });
  });
  show(0);
})();
