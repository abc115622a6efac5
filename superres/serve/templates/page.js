"use strict";
const config = JSON.parse(document.querySelector("#config").textContent);
const $ = (selector, root = document) => root.querySelector(selector);
const form = { model: $("#model"), scales: $("#scales"), format: $("#format"), ensemble: $("#ensemble") };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const GONE = "superres is not running any more. Start it again, and reload this page.";

// ---- settings

function offerScales() {
  const model = config.models[form.model.selectedIndex];
  const before = Number($("input:checked", form.scales)?.value) || 4;
  const chosen = model.scales.includes(before) ? before : model.scales[model.scales.length - 1];
  form.scales.replaceChildren(...model.scales.map((scale) => {
    const label = document.createElement("label"), input = document.createElement("input");
    const text = document.createElement("span");
    Object.assign(input, { type: "radio", name: "scale", value: scale, checked: scale === chosen });
    text.textContent = `×${scale}`;
    if (!model.own.includes(scale)) label.title = "made larger by the network, then reduced";
    label.append(input, text);
    return label;
  }));
}

for (const { name } of config.models) form.model.append(new Option(name, name));
for (const format of config.formats) form.format.append(new Option(format, format));
form.model.addEventListener("change", offerScales);
offerScales();
$("#takes").textContent = `${config.kinds}; up to ${bytes(config.maxBytes)} and ${config.maxPixels / 1e6} million pixels`;
$("#fate").textContent = config.kept
  ? "Results are kept in the folder that --keep names. All else is removed when superres ends."
  : `Pictures and results are removed when superres ends; the last ${config.finished} results are held until then.`;

// ---- taking pictures in

$("#file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});
$("#form").addEventListener("submit", (event) => event.preventDefault());
let depth = 0;
const mark = (change) => {
  depth = Math.max(0, change ? depth + change : 0);
  $("#drop").classList.toggle("over", depth > 0);
};
addEventListener("dragenter", (event) => { event.preventDefault(); mark(1); });
addEventListener("dragleave", () => mark(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  mark(0);
  take([...event.dataTransfer.files]);
});
addEventListener("paste", (event) => take([...event.clipboardData.files]));

let line = Promise.resolve();
function take(files) {
  const settings = new URLSearchParams({
    model: form.model.value, scale: $("input:checked", form.scales).value,
    format: form.format.value, ensemble: form.ensemble.checked ? "1" : "0",
  });
  for (const file of files) {
    const card = new Card(file.name || "pasted.png");
    if (file.size > config.maxBytes) {
      card.fail(`${file.name}: the file has ${bytes(file.size)}, more than the ${bytes(config.maxBytes)} that this page takes (--max-upload raises it)`);
    } else {
      line = line.then(() => card.send(file, settings)).catch((error) => card.fail(String(error)));
    }
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { "X-Superres-Token": config.token } });
  } catch {
    throw new Error(GONE);
  }
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(content.error || `answer ${answer.status}`), { status: answer.status });
  return content;
}

// ---- one picture

class Card {
  constructor(name) {
    this.element = $("#job-template").content.cloneNode(true).firstElementChild;
    this.removed = false;
    this.part = (selector) => $(selector, this.element);
    this.part(".name").textContent = name;
    this.part(".remove").addEventListener("click", () => this.remove());
    this.phase("waiting to be sent");
    $("#jobs").prepend(this.element);
  }

  async send(file, settings) {
    if (this.removed) return;
    const query = new URLSearchParams(settings);
    query.set("name", this.part(".name").textContent);
    this.phase("sending");
    let job;
    while (!job && !this.removed) {
      try {
        job = await ask(`jobs?${query}`, { method: "POST", body: file });
      } catch (error) {
        if (error.status !== 429) return this.fail(error.message);
        this.phase("waiting for a place in the queue");
        await wait(1500);
      }
    }
    if (!job) return;
    this.id = job.id;
    if (this.removed) ask(`jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
    else this.follow(job);  // not waited for: the next one is sent meanwhile
  }

  async follow(job) {
    try {
      while (!this.removed) {
        this.show(job);
        if (["done", "failed", "cancelled"].includes(job.state)) return;
        await wait(300);
        job = await ask(`jobs/${this.id}`);
      }
    } catch (error) {
      if (!this.removed) this.fail(error.message);
    }
  }

  show(job) {
    this.part(".name").textContent = job.name;
    const facts = [`${job.model}, ×${job.scale}`];
    if (job.size) facts.push(`${job.size.join(" × ")} → ${job.result_size.join(" × ")} pixels`);
    if (job.state === "done") facts.push(bytes(job.bytes), `${job.seconds} s`);
    this.part(".facts").textContent = facts.join(" · ");
    if (job.state === "queued") {
      this.phase(job.ahead ? `waiting; ${job.ahead} before it` : "waiting");
    } else if (job.state === "working") {
      const left = job.left === null ? "" : `, about ${duration(job.left)} left`;
      const tiles = job.total > 1 ? `, tile ${job.done} of ${job.total}` : "";
      this.phase(`${job.phase}${tiles} · ${duration(job.seconds)}${left}`, job.total > 1 ? job.done / job.total : null);
    } else if (job.state === "done") {
      this.finish(job);
    } else {
      this.fail(job.message);
    }
  }

  phase(text, share = null) {
    const bar = this.part("progress");
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    bar.setAttribute("aria-label", text);
    this.part(".phase").textContent = text;
  }

  fail(message) {
    this.part(".status").hidden = true;
    const place = this.part(".message");
    place.textContent = message;
    place.hidden = false;
    this.part(".remove").textContent = "Remove";
  }

  finish(job) {
    const notes = [...job.notes];
    if (job.reduced > 1) notes.unshift(`shown at 1/${job.reduced} of its size; the download has all pixels`);
    this.part(".notes").replaceChildren(...notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
    const link = this.part(".download");
    link.href = `jobs/${job.id}/result`;
    link.setAttribute("download", job.result_name);
    link.textContent = `Download ${job.result_name}`;
    this.part(".remove").textContent = "Remove";
    this.part(".before").src = `jobs/${job.id}/before`;
    this.part(".after").src = `jobs/${job.id}/after`;
    this.part(".status").hidden = true;
    this.part(".viewer").hidden = false;
    new Viewer(this.part(".viewer"), job.result_size);
    $("#announce").textContent = `${job.name} is done`;
  }

  remove() {
    this.removed = true;
    if (this.id) ask(`jobs/${this.id}`, { method: "DELETE" }).catch(() => {});
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.element.remove();
    (next ? $(".remove", next) : $("#file")).focus();
  }
}

// ---- before and after

class Viewer {
  constructor(root, [width, height]) {
    this.root = root;
    this.pane = $(".pane", root);
    this.range = $("input[type=range]", root);
    this.size = [width, height];
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
    this.pane.style.aspectRatio = `${width} / ${height}`;
    // Small pictures are not blown up to the page's width, high ones fit the window.
    this.pane.style.width = `min(100%, ${Math.max(320, width)}px, ${(75 * width) / height}vh)`;
    this.pane.style.minWidth = "min(100%, 8rem)";
    this.range.addEventListener("input", () => this.split(Number(this.range.value)));
    $(".smaller", root).addEventListener("click", () => this.by(1 / 1.5));
    $(".larger", root).addEventListener("click", () => this.by(1.5));
    $(".fit", root).addEventListener("click", () => this.to(1));
    $(".actual", root).addEventListener("click", () => this.to(this.actual()));
    const pixels = $(".pixels", root);
    pixels.addEventListener("click", () => {
      const on = this.pane.classList.toggle("squares");
      pixels.setAttribute("aria-pressed", on);
    });
    this.pane.addEventListener("keydown", (event) => this.key(event));
    this.pane.addEventListener("wheel", (event) => {
      // The page scrolls, until the picture is magnified or Ctrl is held.
      if (this.zoom === 1 && !event.ctrlKey) return;
      event.preventDefault();
      this.by(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
    }, { passive: false });
    this.pane.addEventListener("dblclick", (event) => this.to(this.zoom > 1 ? 1 : Math.max(2, this.actual()), event.clientX, event.clientY));
    this.drag();
    this.draw();
    addEventListener("resize", () => this.draw());
  }

  actual() {
    return Math.max(1, this.size[0] / devicePixelRatio / this.pane.clientWidth);
  }

  split(value) {
    value = Math.min(100, Math.max(0, value));
    this.range.value = value;
    this.pane.style.setProperty("--split", `${value}%`);
  }

  by(factor, x, y) { this.to(this.zoom * factor, x, y); }

  to(zoom, clientX, clientY) {
    const box = this.pane.getBoundingClientRect();
    const at = [clientX === undefined ? .5 : (clientX - box.left) / box.width, clientY === undefined ? .5 : (clientY - box.top) / box.height];
    zoom = Math.min(Math.max(zoom, 1), Math.max(16, 8 * this.actual()));
    if (zoom < 1.02) zoom = 1;
    // What is under the pointer stays there. x and y are shares of the pane.
    this.x = at[0] - (at[0] - this.x) * zoom / this.zoom;
    this.y = at[1] - (at[1] - this.y) * zoom / this.zoom;
    this.zoom = zoom;
    this.draw();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.draw();
  }

  draw() {
    this.x = Math.min(0, Math.max(1 - this.zoom, this.x));
    this.y = Math.min(0, Math.max(1 - this.zoom, this.y));
    for (const image of this.pane.querySelectorAll("img")) {
      image.style.transform = `translate(${this.x * 100}%, ${this.y * 100}%) scale(${this.zoom})`;
    }
    this.pane.classList.toggle("magnified", this.zoom > 1);
    this.pane.classList.toggle("deep", this.zoom >= 4 * this.actual());
    const share = 100 * this.zoom * this.pane.clientWidth * devicePixelRatio / this.size[0];
    $(".zoom", this.root).textContent = this.zoom === 1 ? "fit" : `${Math.round(share)} %`;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (steps && this.zoom > 1) this.pan(-steps[0] / 10, -steps[1] / 10);
    else if (steps && steps[0]) this.split(Number(this.range.value) + 2 * steps[0]);
    else if (event.key === "+" || event.key === "=") this.by(1.5);
    else if (event.key === "-") this.by(1 / 1.5);
    else if (event.key === "0") this.to(1);
    else return;
    event.preventDefault();
  }

  drag() {
    const fingers = new Map();
    let mode = null;
    const share = (event) => 100 * (event.clientX - this.pane.getBoundingClientRect().left) / this.pane.clientWidth;
    this.pane.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      fingers.set(event.pointerId, event);
      this.pane.setPointerCapture(event.pointerId);
      mode = fingers.size > 1 ? "pinch" : this.zoom === 1 || event.target.closest(".divider") ? "split" : "pan";
      if (mode === "split" && !event.target.closest(".divider")) this.split(share(event));
    });
    this.pane.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const box = this.pane.getBoundingClientRect();
      if (mode === "split") this.split(share(event));
      else if (mode === "pan") this.pan((event.clientX - before.clientX) / box.width, (event.clientY - before.clientY) / box.height);
      else if (mode === "pinch" && fingers.size === 2) {
        const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
        const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
        this.by(apart(event) / apart(before), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
      }
      fingers.set(event.pointerId, event);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      this.pane.addEventListener(kind, (event) => {
        fingers.delete(event.pointerId);
        if (!fingers.size) mode = null;
      });
    }
  }
}

// ---- words

function bytes(count) {
  if (count < 1 << 20) return `${Math.max(1, Math.round(count / 1024))} KiB`;
  return `${(count / (1 << 20)).toFixed(count < 10 << 20 ? 1 : 0)} MiB`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
}
