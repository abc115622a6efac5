"use strict";
// One image in several layers of one size, two of them on both sides of a line: slider, zoom, pan,
// difference; by mouse, fingers and keys.

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

class Viewer {
  // root: what it is appended to.
  constructor(root) {
    const button = (label, title, action) => make("button", { type: "button", title, ariaLabel: title, onclick: action }, label);
    const toggle = (label, title, name) => make("button", {
      type: "button", title, className: name, ariaPressed: "false", onclick: () => this.toggle(name),
    }, label);
    const select = (side) => make("select", { className: side, ariaLabel: `shown on the ${side}`, onchange: () => this.layers() });
    this.sides = ["left", "right"].map((side) => ({
      image: make("img", { draggable: false }), tag: make("span", { className: `tag ${side}` }), select: select(side), side,
    }));
    const [left, right] = this.sides;
    this.pane = make("div", {
      className: "pane", tabIndex: 0, role: "group", ariaLabel: "Two images on both sides of a line. Keys: arrows move the line, "
        + "or the image where it is magnified; plus and minus magnify; 0 shows all; d shows the difference.",
    }, make("div", { className: "stage" }, ...[right, left].map(({ side, image }) => make("div", { className: `side ${side}` }, image))),
    make("div", { className: "divider" }), left.tag, right.tag);
    this.range = make("input", { type: "range", min: 0, max: 100, step: 0.5, ariaLabel: "where the line is, percent", oninput: () => this.split(Number(this.range.value)) });
    this.output = make("output", { className: "zoom" });
    this.choice = make("div", {}, left.select, "|", right.select);
    this.bar = make("div", { className: "bar" }, this.choice, make("label", { className: "split" }, this.range), make("div", { role: "group", ariaLabel: "View" },
      button("−", "smaller", () => this.by(1 / 1.5)), this.output, button("+", "larger", () => this.by(1.5)),
      button("1:1", "one pixel of the image is one of the screen", () => this.to(this.actual())), button("fit", "the whole image", () => this.to(1)),
      toggle("pixels", "show pixels as squares", "squares"), toggle("difference", "the difference of the two sides, 8 times", "difference")));
    root.append(this.pane, this.bar);
    this.pane.addEventListener("keydown", (event) => this.key(event));
    this.pane.addEventListener("wheel", (event) => {
      // The page scrolls, until the image is magnified or Ctrl is held.
      if (this.zoom === 1 && !event.ctrlKey) return;
      event.preventDefault();
      this.by(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
    }, { passive: false });
    this.pane.addEventListener("dblclick", (event) => this.to(this.zoom > 1 ? 1 : Math.max(2, this.actual()), event.clientX, event.clientY));
    this.drag();
    addEventListener("resize", () => this.draw());
  }

  // given: width and height in pixels, layers as [label, address], and which are left and right.
  // What was chosen for the image before is kept where it has such a layer.
  show({ width, height, layers, left = 0, right = 1 }) {
    Object.assign(this, { size: [width, height], sources: layers, zoom: 1, x: 0, y: 0 });
    const labels = layers.map(([label]) => label);
    for (const [side, first] of [[this.sides[0], left], [this.sides[1], right]]) {
      const kept = labels.indexOf(side.select.selectedOptions[0]?.text);
      side.select.replaceChildren(...labels.map((label) => make("option", {}, label)));
      side.select.selectedIndex = kept < 0 ? first : kept;
    }
    this.choice.hidden = layers.length < 3;
    this.pane.style.aspectRatio = `${width} / ${height}`;
    // Small images are not blown up to the page's width, high ones fit the window.
    this.pane.style.width = `min(100%, ${Math.max(480, width)}px, ${Math.max(8, (62 * width) / height)}vh)`;
    this.layers();
    this.split(50);
    this.draw();
  }

  layers() {
    for (const { image, tag, select } of this.sides) {
      [image.alt, image.src] = this.sources[select.selectedIndex];
      tag.textContent = image.alt;
    }
    if (this.pane.classList.contains("difference")) this.sides[0].tag.textContent = `difference of ${this.sides.map(({ image }) => image.alt).join(" and ")}, 8 times`;
  }

  toggle(name) {
    this.bar.querySelector(`button.${name}`).ariaPressed = String(this.pane.classList.toggle(name));
    this.layers();
  }

  actual() { return Math.max(1, this.size[0] / devicePixelRatio / this.pane.clientWidth); }

  split(value) {
    this.range.value = value;
    this.pane.style.setProperty("--split", `${this.range.value}%`);
  }

  by(factor, x, y) { this.to(this.zoom * factor, x, y); }

  to(zoom, clientX, clientY) {
    const box = this.pane.getBoundingClientRect();
    const at = [clientX === undefined ? .5 : (clientX - box.left) / box.width, clientY === undefined ? .5 : (clientY - box.top) / box.height];
    zoom = Math.min(Math.max(zoom, 1), Math.max(16, 8 * this.actual()));
    if (zoom < 1.02) zoom = 1;
    // What is under the pointer stays there. x and y are shares of the pane.
    this.pan((at[0] - this.x) * (1 - zoom / this.zoom), (at[1] - this.y) * (1 - zoom / this.zoom), zoom);
  }

  pan(dx, dy, zoom = this.zoom) {
    Object.assign(this, { x: this.x + dx, y: this.y + dy, zoom });
    this.draw();
  }

  draw() {
    if (!this.size) return;
    this.x = Math.min(0, Math.max(1 - this.zoom, this.x));
    this.y = Math.min(0, Math.max(1 - this.zoom, this.y));
    for (const { image } of this.sides) image.style.transform = `translate(${this.x * 100}%, ${this.y * 100}%) scale(${this.zoom})`;
    this.pane.classList.toggle("magnified", this.zoom > 1);
    this.pane.classList.toggle("deep", this.zoom >= 4 * this.actual());
    const share = 100 * this.zoom * this.pane.clientWidth * devicePixelRatio / this.size[0];
    this.output.textContent = this.zoom === 1 ? "fit" : `${Math.round(share)} %`;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if ((dx || dy) && this.zoom > 1) this.pan(-dx / 10, -dy / 10);
    else if (dx) this.split(Number(this.range.value) + 2 * dx);
    else if (event.key === "+" || event.key === "=") this.by(1.5);
    else if (event.key === "-") this.by(1 / 1.5);
    else if (event.key === "0") this.to(1);
    else if (event.key === "d") this.toggle("difference");
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
