"use strict";
// The page of superres serve: settings, uploads, one card for each image. With viewer.js.
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
  form.scales.replaceChildren(...model.scales.map((scale) => make("label",
    { title: model.own.includes(scale) ? "" : "made larger by the network, then reduced" },
    make("input", { type: "radio", name: "scale", value: scale, checked: scale === chosen }),
    make("span", {}, `×${scale}`))));
}

for (const { name, label } of config.models) form.model.append(new Option(label, name));
for (const format of config.formats) form.format.append(new Option(format.toUpperCase(), format));
form.model.addEventListener("change", offerScales);
offerScales();
$("#takes").textContent = `${config.kinds}; up to ${bytes(config.maxBytes)} and ${config.maxPixels / 1e6} million pixels`;
for (const name of config.samples) {
  $("#samples").append(make("button", {
    type: "button", title: name,
    onclick: () => fetch(name).then((answer) => answer.blob()).then((blob) => take([new File([blob], name)])),
  }, make("img", { src: name, alt: name })));
}
$("#fate").textContent = config.kept
  ? "Results are kept in the folder that --keep names. All else is removed when superres ends."
  : `Images and results are removed when superres ends; the last ${config.finished} results are held until then.`;

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
function take(files, changes = {}) {
  const settings = {
    model: form.model.value, scale: $("input:checked", form.scales).value,
    format: form.format.value, ensemble: form.ensemble.checked ? "1" : "0", ...changes,
  };
  for (const file of files) {
    const card = new Card(file, settings);
    if (file.size > config.maxBytes) {
      card.fail(`${file.name}: the file has ${bytes(file.size)}, more than the ${bytes(config.maxBytes)} that this page takes (--max-upload raises it)`);
    } else {
      line = line.then(() => card.send()).catch((error) => card.fail(String(error)));
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
  constructor(file, settings) {
    this.element = $("#job-template").content.cloneNode(true).firstElementChild;
    Object.assign(this, { file, settings, removed: false });
    this.part = (selector) => $(selector, this.element);
    this.part(".name").textContent = file.name || "pasted.png";
    this.part(".remove").addEventListener("click", () => this.remove());
    const seen = this.part(".seen");
    seen.onerror = () => { seen.hidden = true; };  // a format that browsers do not show
    seen.src = URL.createObjectURL(file);
    this.phase("waiting to be sent");
    $("#jobs").prepend(this.element);
  }

  async send() {
    if (this.removed) return;
    const query = new URLSearchParams(this.settings);
    query.set("name", this.part(".name").textContent);
    this.phase("sending");
    let job;
    while (!job && !this.removed) {
      try {
        job = await ask(`jobs?${query}`, { method: "POST", body: this.file });
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
    URL.revokeObjectURL(this.part(".seen").src);
  }

  finish(job) {
    const notes = [...job.notes];
    if (job.reduced > 1) notes.unshift(`shown at 1/${job.reduced} of its size; the download has all pixels`);
    this.part(".notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
    const link = this.part(".download");
    link.href = `jobs/${job.id}/result`;
    link.setAttribute("download", job.result_name);
    link.textContent = `Download ${job.result_name}`;
    this.part(".remove").textContent = "Remove";
    URL.revokeObjectURL(this.part(".seen").src);
    this.part(".status").hidden = true;
    const { scales } = config.models.find(({ name }) => name === job.model);
    this.part(".again").append(...scales.filter((scale) => scale !== job.scale).map((scale) => make("button",
      { type: "button", onclick: () => take([this.file], { ...this.settings, scale }) }, `Again at ×${scale}`)));
    this.part(".finish").hidden = false;
    const [width, height] = job.result_size;
    new Viewer(this.part(".viewer")).show({ width, height, layers: ["before", "after"].map((side) => [side, `jobs/${job.id}/${side}`]) });
    this.element.dataset.done = job.id;
    offerAll();
    $("#announce").textContent = `${job.name} is done`;
  }

  remove() {
    this.removed = true;
    if (this.id) ask(`jobs/${this.id}`, { method: "DELETE" }).catch(() => {});
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.element.remove();
    offerAll();
    (next ? $(".remove", next) : $("#file")).focus();
  }
}

function offerAll() {
  const done = [...document.querySelectorAll("[data-done]")].map(({ dataset }) => `id=${dataset.done}`);
  $("#all").hidden = done.length < 2;
  $("#all").textContent = `Download all ${done.length} (zip)`;
  $("#all").href = `all.zip?${done.join("&")}`;
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
