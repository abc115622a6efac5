"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

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
  const view = { zoom: 1, x: 0.5, y: 0.5 };
  const MAX_ZOOM = 32;
  let current = -1;
  let panes = [];

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  function draw() {
    view.zoom = clamp(view.zoom, 1, MAX_ZOOM);
    const margin = 0.5 / view.zoom;
    view.x = clamp(view.x, margin, 1 - margin);
    view.y = clamp(view.y, margin, 1 - margin);
    // Percentages are of the picture's own size, so one transform fits panes of any size.
    const transform = `translate(${50 - view.x * view.zoom * 100}%, ` +
      `${50 - view.y * view.zoom * 100}%) scale(${view.zoom})`;
    for (const pane of panes) {
      pane.classList.toggle("inside", view.zoom > 1);
      for (const image of all("img", pane)) {
        image.style.transform = transform;
        image.classList.toggle("pixels", view.zoom > 1 || image.dataset.layer === "LR");
      }
    }
    find("#zoom").textContent = `${Number(view.zoom.toFixed(2))}×`;
  }

  function drawSplit() {
    compare.style.setProperty("--split", split.value);
    clip();
  }

  // The divider stays where it is in the pane, so the upper picture, whose own transform moves
  // it, is clipped at another place of its own.
  function clip() {
    const image = find(".over", compare);
    const left = 50 - view.x * view.zoom * 100;
    const edge = (Number(split.value) - left) / view.zoom;
    image.style.clipPath = `inset(0 ${100 - clamp(edge, 0, 100)}% 0 0)`;
  }

  function redraw() {
    draw();
    clip();
  }

  function zoomAt(factor, px = 0.5, py = 0.5) {
    const before = view.zoom;
    view.zoom = clamp(before * factor, 1, MAX_ZOOM);
    view.x += (px - 0.5) * (1 / before - 1 / view.zoom);
    view.y += (py - 0.5) * (1 / before - 1 / view.zoom);
    redraw();
  }

  function reset() {
    Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 });
    redraw();
  }

  function move(dx, dy) {
    view.x += dx / view.zoom;
    view.y += dy / view.zoom;
    redraw();
  }

  function setLayer(image, layer) {
    image.src = shots[current].layers[layer];
    image.dataset.layer = layer;
    image.alt = `${shots[current].name}: ${data.labels[layer]}`;
  }

  function drawCompare() {
    setLayer(find(".over", compare), sides.left.value);
    setLayer(find(".under", compare), sides.right.value);
    find(".tag-left", compare).textContent = data.labels[sides.left.value];
    find(".tag-right", compare).textContent = data.labels[sides.right.value];
    redraw();
  }

  function fillSelect(select, layers, wanted) {
    const kept = layers.includes(select.value) ? select.value : wanted;
    select.replaceChildren(...layers.map((layer) => new Option(data.labels[layer], layer)));
    select.value = kept;
  }

  function show(index) {
    current = (index + shots.length) % shots.length;
    const shot = shots[current];
    const layers = data.order.filter((layer) => layer in shot.layers);
    find("#name").textContent = `${shot.set} x${shot.scale}: ${shot.name}`;
    find("#figures").textContent = shot.text;
    fillSelect(sides.left, layers, layers.includes("bicubic") ? "bicubic" : layers[0]);
    fillSelect(sides.right, layers, "SR");
    const ratio = `${shot.width} / ${shot.height}`;
    compare.style.aspectRatio = ratio;
    compare.style.maxWidth = `min(60rem, calc(80vh * ${shot.width / shot.height}))`;
    find("#panes").replaceChildren(...layers.map((layer) => {
      const figure = document.createElement("figure");
      const pane = document.createElement("div");
      pane.className = "pane";
      pane.tabIndex = 0;
      pane.style.aspectRatio = ratio;
      pane.setAttribute("role", "group");
      pane.setAttribute("aria-label", `${data.labels[layer]}; + and - zoom, arrows move`);
      const image = new Image();
      image.draggable = false;
      setLayer(image, layer);
      const caption = document.createElement("figcaption");
      caption.textContent = data.labels[layer];
      pane.append(image);
      figure.append(pane, caption);
      listen(pane);
      return figure;
    }));
    panes = all(".pane", find("#viewer"));
    all("tbody tr", table).forEach((row) => {
      row.classList.toggle("chosen", Number(row.dataset.shot) === current && "shot" in row.dataset);
    });
    reset();
    drawCompare();
  }

  // ---- input: pointers (mouse, pen, fingers), wheel, keys ----------------------------------
  function listen(pane) {
    const pointers = new Map();
    const place = (event) => {
      const box = pane.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    pane.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, place(event));
      if (event.pointerType !== "touch" || view.zoom > 1 || pointers.size > 1) {
        pane.setPointerCapture(event.pointerId);
      }
    });
    pane.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      if (pointers.size === 1) {
        move(before[0] - now[0], before[1] - now[1]);
      } else {
        const [id] = [...pointers.keys()].filter((key) => key !== event.pointerId);
        const other = pointers.get(id);
        const span = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
        zoomAt(span(now) / Math.max(span(before), 1e-3),
          (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
        move((before[0] - now[0]) / 2, (before[1] - now[1]) / 2);
      }
      pointers.set(event.pointerId, now);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      pane.addEventListener(kind, (event) => pointers.delete(event.pointerId));
    }
    pane.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== pane) return;
      event.preventDefault();
      zoomAt(Math.exp(-clamp(event.deltaY, -200, 200) / 400), ...place(event));
    }, { passive: false });
    pane.addEventListener("dblclick", (event) => {
      if (view.zoom > 1) reset();
      else zoomAt(4, ...place(event));
    });
    pane.addEventListener("keydown", (event) => {
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
  split.addEventListener("input", drawSplit);
  find("#larger").addEventListener("click", () => zoomAt(1.5));
  find("#smaller").addEventListener("click", () => zoomAt(1 / 1.5));
  find("#reset").addEventListener("click", reset);
  find("#next").addEventListener("click", () => show(current + 1));
  find("#previous").addEventListener("click", () => show(current - 1));
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
  drawSplit();
})();
