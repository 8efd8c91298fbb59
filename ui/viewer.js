// Pictures of one photo, side by side, flipped or wiped, all at the same place and zoom.
// `props.value` is {panels: [{key, label, note, state, truth, image}]}; see ui/viewer.py.

const MOST = 32; // screen pixels per picture pixel, at the largest zoom
const SMALL = 1600; // longest side of the copy that is drawn when the whole of a large photo shows
const MIN_IN_ROW = 220; // CSS pixels of a panel's width, for all of them to stand in one row
const RESULTS = 4; // the input and three results come first, and stand in one row before the rest
const MIN_RESULT = 200; // CSS pixels of a panel's width, for that
const STRIP = 150_000; // pixels of an error map computed at a time, so that the page stays alive
const HEAT = {
  absolute: {
    low: 0,
    high: 32,
    stops: ["#000004", "#57106e", "#bc3754", "#f98e09", "#fcffa4"],
    meaning: "mean of the absolute errors of red, green and blue, in levels of 255",
  },
  signed: {
    low: -32,
    high: 32,
    stops: ["#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f"],
    meaning: "mean error of red, green and blue, in levels of 255: blue is too dark, red too bright",
  },
};
const KEYS = {
  0: "all", w: "wipe", "-": "out", "+": "in", "=": "in", f: "fit", o: "one", p: "eight",
  l: "loupe", r: "region", e: "colours", s: "full", m: "mask", u: "undo",
};
const PAINT = "#ff00c8"; // of the mask: a colour that photos hardly have
const MASK_SENT = 500; // milliseconds after the last stroke
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

class Viewer {
  constructor(element, props, trigger) {
    Object.assign(this, { element, props, trigger });
    this.stage = this.find(".stage");
    this.handle = this.find(".handle");
    this.sides = [this.find(".left"), this.find(".right")];
    this.frames = [];
    this.began = 0; // when the request began whose panels are shown
    this.mode = "all";
    this.single = 0; // index of the picture shown alone
    this.edge = 0.5; // of the wipe, as a part of the width
    this.size = { width: 1, height: 1 }; // of the photo
    this.view = { x: 0.5, y: 0.5, scale: 1 }; // photo's point in the middle; CSS pixels per pixel
    this.fitted = true;
    this.colours = "picture";
    this.tool = "pan"; // or "region", or "mask"
    this.erasing = false;
    this.edits = []; // of the mask, in their order: {image} or {erase, width, points}
    this.mask = null; // a canvas of the photo's size, opaque where pixels are lost
    this.loupe = false;
    this.spot = null; // under the pointer, in CSS pixels from a frame's corner
    this.region = null;
    this.pointers = new Map();
    this.scrolled = -Infinity; // when the page last scrolled
    this.listen();
    this.update();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  listen() {
    const { stage, element } = this;
    element.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button?.dataset.do) this.act(button.dataset.do);
      if (button?.dataset.index) this.flip(Number(button.dataset.index));
    });
    element.addEventListener("change", ({ target }) => {
      if (target.matches(".colours")) this.colour(target.value);
      if (target.matches(".side")) this.refresh();
      if (target.closest("fieldset.region")) this.readRegion();
    });
    element.addEventListener("mask", ({ detail }) => this.takeMask(detail));
    element.addEventListener("paint", () => this.act("mask"));
    stage.addEventListener("pointerdown", (event) => this.onDown(event));
    stage.addEventListener("pointermove", (event) => this.onMove(event));
    stage.addEventListener("pointerup", (event) => this.onUp(event));
    stage.addEventListener("pointercancel", (event) => this.onUp(event));
    stage.addEventListener("pointerleave", () => this.look(null));
    stage.addEventListener("dblclick", (event) => this.onDouble(event));
    stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    stage.addEventListener("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), {
      passive: false,
    });
    document.addEventListener("keydown", (event) => this.onKey(event));
    document.addEventListener("fullscreenchange", () => this.refresh());
    window.addEventListener("scroll", () => (this.scrolled = performance.now()), { passive: true });
    new ResizeObserver(() => this.refresh()).observe(stage);
  }

  // What the server says

  update() {
    const { panels = [], began = 0 } = this.props.value ?? {};
    if (began < this.began) return;
    this.began = began;
    if (panels.map(({ key }) => key).join() !== this.frames.map(({ key }) => key).join()) {
      this.build(panels);
    }
    panels.forEach((panel, index) => this.show(this.frames[index], panel));
    const measurable = panels.map(({ state, image }) => state === "shown" && image?.url).join();
    if (this.region && measurable !== this.measurable) this.measure();
    this.measurable = measurable;
    if (!this.truth) this.colours = "picture";
    this.refresh();
  }

  build(panels) {
    const old = new Map(this.frames.map((frame) => [frame.key, frame]));
    const chosen = this.sides.map(({ value }) => value);
    this.frames = panels.map(({ key }) => old.get(key) ?? this.frame(key));
    for (const frame of old.values()) {
      if (this.frames.includes(frame)) continue;
      this.put(frame, null);
      frame.url = null;
    }
    this.stage.querySelectorAll(".panel").forEach((node) => node.remove());
    this.stage.prepend(...this.frames.map(({ node }) => node));
    const buttons = panels.map(({ label }, index) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", title: `${label} alone (${index + 1})` });
      button.dataset.index = index;
      button.setAttribute("aria-keyshortcuts", index + 1);
      button.append(`${index + 1} `, Object.assign(document.createElement("span"), { textContent: label }));
      return button;
    });
    this.find(".numbers").replaceChildren(...buttons);
    this.sides.forEach((side, index) => {
      side.replaceChildren(...panels.map(({ key, label }) => new Option(label, key)));
      side.value = panels.some(({ key }) => key === chosen[index])
        ? chosen[index]
        : panels.at(index ? -1 : 0)?.key;
    });
    this.single = clamp(this.single, 0, panels.length - 1);
  }

  frame(key) {
    const node = document.createElement("figure");
    node.className = "panel";
    node.dataset.key = key;
    node.innerHTML =
      '<canvas role="img"></canvas><figcaption class="caption"><b></b><small></small></figcaption><p></p>';
    return { key, node, canvas: node.firstChild, url: null, picture: null, heat: null };
  }

  show(frame, panel) {
    const { label, note, state, image } = panel;
    const number = this.frames.indexOf(frame) + 1;
    frame.panel = panel;
    frame.node.dataset.state = state;
    frame.node.ariaBusy = ["waiting", "running"].includes(state);
    frame.node.querySelector("b").textContent = `${number} ${label}`;
    frame.node.querySelector("small").textContent = image ? note : "";
    frame.node.querySelector("p").textContent = image ? "" : note;
    frame.canvas.ariaLabel = note ? `${label}: ${note}` : label;
    const url = image?.url ?? null;
    if (url === frame.url) return;
    frame.url = url;
    if (url) this.load(frame, url);
    else this.put(frame, null);
  }

  async load(frame, url) {
    let picture = null;
    try {
      const response = await fetch(url);
      if (!response.ok) throw new Error(response.statusText);
      const settings = { colorSpaceConversion: "none" };
      picture = await this.reducible(await createImageBitmap(await response.blob(), settings));
    } catch (error) {
      if (frame.url === url) frame.node.querySelector("p").textContent = "This picture did not load.";
    }
    if (frame.url === url) this.put(frame, picture);
    else this.free(picture);
  }

  async reducible(source) {
    // Beside a large picture a small copy: shrinking the large one anew for each frame is slow.
    const factor = SMALL / Math.max(source.width, source.height);
    const resizeWidth = Math.max(1, Math.round(source.width * factor));
    const resizeHeight = Math.max(1, Math.round(source.height * factor));
    const settings = { resizeWidth, resizeHeight, resizeQuality: "high" };
    return { source, small: factor < 0.8 ? await createImageBitmap(source, settings) : null };
  }

  put(frame, picture) {
    this.free(frame.picture);
    frame.picture = picture;
    for (const other of frame.panel?.truth ? this.frames : [frame]) this.cool(other);
    if (picture) {
      const { width, height } = picture.source;
      if (width !== this.size.width || height !== this.size.height) this.resize(width, height);
    }
    this.refresh();
  }

  free(picture) {
    picture?.source.close?.();
    picture?.small?.close();
  }

  resize(width, height) {
    this.size = { width, height };
    this.fitted = true;
    if (this.region) this.select(null);
    this.edits = [];
    this.mask = null;
    if (this.tool === "mask") this.act("mask");
  }

  // Arrangement

  get truth() {
    return this.frames.find(({ panel }) => panel?.truth);
  }

  get visible() {
    if (this.mode === "all") return this.frames;
    const chosen = this.mode === "one" ? this.frames[this.single] : this.side(0);
    return chosen ? [chosen] : [];
  }

  side(index) {
    return this.frames.find(({ key }) => key === this.sides[index].value);
  }

  get box() {
    const canvas = this.visible[0]?.canvas;
    return { width: canvas?.clientWidth || 1, height: canvas?.clientHeight || 1 };
  }

  get unit() {
    // CSS pixels of a picture's pixel at 1:1: a whole number of the screen's own pixels.
    return Math.max(1, Math.round(devicePixelRatio)) / devicePixelRatio;
  }

  get fit() {
    return Math.min(this.box.width / this.size.width, this.box.height / this.size.height);
  }

  get full() {
    return document.fullscreenElement === this.element || this.element.classList.contains("full");
  }

  get across() {
    // How many to put in one row, where they compare best: all, or the results; 0: as they fit.
    const count = this.visible.length;
    if (this.stage.clientWidth / count >= MIN_IN_ROW) return count;
    const wide = this.stage.clientWidth / RESULTS >= MIN_RESULT;
    return wide && count > RESULTS && !this.full ? RESULTS : 0;
  }

  columns() {
    // Where nothing says how many, as many as make the pictures largest.
    const { clientWidth, clientHeight } = this.stage;
    const count = this.visible.length;
    if (this.across) return this.across;
    const scale = (columns) =>
      Math.min(
        clientWidth / columns / this.size.width,
        clientHeight / Math.ceil(count / columns) / this.size.height
      );
    const all = Array.from({ length: Math.max(1, count) }, (_, index) => index + 1);
    return all.reduce((best, columns) => (scale(columns) > scale(best) ? columns : best));
  }

  refresh() {
    // Everything but the pictures themselves follows from the state; they are drawn afterwards.
    const { full, visible } = this;
    for (const { node } of this.frames) node.hidden = !visible.some((frame) => frame.node === node);
    for (const part of [this.handle, ...this.sides]) part.hidden = this.mode !== "wipe";
    this.handle.style.left = `${100 * this.edge}%`;
    this.handle.ariaValueNow = Math.round(100 * this.edge);
    this.stage.dataset.mode = this.mode;
    this.stage.dataset.tool = this.tool;
    const columns = this.columns();
    const rows = Math.ceil(visible.length / columns);
    const rowHeight = (this.stage.clientWidth / columns) * (this.size.height / this.size.width);
    this.stage.style.setProperty("--tall", this.across ? `${rows * rowHeight}px` : "100vh");
    this.stage.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    this.stage.style.gridTemplateRows = `repeat(${rows}, minmax(0, 1fr))`;
    this.settle();
    const { scale } = this.view;
    const near = (zoom) => Math.abs(scale / this.unit - zoom) < 1e-6;
    const pressed = {
      all: this.mode === "all", wipe: this.mode === "wipe", fit: this.fitted, one: near(1),
      eight: near(8), loupe: this.loupe, region: this.tool === "region", full,
      mask: this.tool === "mask", brush: !this.erasing, eraser: this.erasing,
    };
    this.find("fieldset.mask").hidden = this.tool !== "mask";
    this.find("[data-do=undo]").disabled = this.find("[data-do=wash]").disabled = !this.edits.length;
    for (const [name, on] of Object.entries(pressed)) this.find(`[data-do=${name}]`).ariaPressed = on;
    this.element.querySelectorAll("[data-index]").forEach((button, index) => {
      button.ariaPressed = this.mode === "one" && index === this.single;
    });
    const percent = (100 * scale) / this.unit;
    const text = `${percent < 10 ? percent.toFixed(1) : Math.round(percent)}%`;
    this.find(".zoom").textContent = this.frames.some(({ picture }) => picture) ? text : "";
    // Where a finger has nothing to do here, it scrolls the page.
    this.stage.dataset.touch = this.loupe || this.tool !== "pan" || scale > this.fit * 1.001;
    this.legend();
    this.draw();
  }

  legend() {
    const select = this.find(".colours");
    const heat = HEAT[this.colours];
    select.value = this.colours;
    select.disabled = !this.truth;
    select.title = this.truth ? "What the pictures show (E)" : "Errors need the true picture";
    this.find(".legend").hidden = !heat;
    this.find(".hint").hidden = Boolean(heat) || this.tool === "mask";
    if (!heat) return;
    this.find(".low").textContent = heat.low < 0 ? `${heat.low} or less`.replace("-", "−") : heat.low;
    this.find(".high").textContent = `${heat.high} or more`;
    this.find(".ramp").style.background = `linear-gradient(to right, ${heat.stops})`;
    this.find(".meaning").textContent = `${heat.meaning}; the scale never changes.`;
  }

  settle() {
    // Keep the photo in its frame.
    const { view, size, box } = this;
    if (this.fitted) view.scale = this.fit;
    for (const [axis, side] of [["x", "width"], ["y", "height"]]) {
      const half = box[side] / 2 / view.scale;
      view[axis] = 2 * half >= size[side] ? size[side] / 2 : clamp(view[axis], half, size[side] - half);
    }
  }

  // What a person does

  act(name) {
    const { unit, view } = this;
    const actions = {
      all: () => (this.mode = "all"),
      wipe: () => (this.mode = this.mode === "wipe" ? "all" : "wipe"),
      out: () => this.zoom(view.scale / 1.5),
      in: () => this.zoom(view.scale * 1.5),
      fit: () => (this.fitted = true),
      one: () => this.zoom(unit),
      eight: () => this.zoom(8 * unit),
      loupe: () => (this.loupe = !this.loupe),
      region: () => this.toggleRegion(),
      clear: () => this.select(null),
      mask: () => this.toggleMask(),
      brush: () => (this.erasing = false),
      eraser: () => (this.erasing = true),
      undo: () => this.edits.pop() && this.repaint(),
      wash: () => this.edit({ image: null }),
      full: () => this.toggleFull(),
      colours: () => {
        const kinds = ["picture", "absolute", "signed"];
        if (this.truth) this.colour(kinds[(kinds.indexOf(this.colours) + 1) % 3]);
      },
    };
    const button = this.find(`[data-do=${name}]`);
    if (button?.offsetParent === null || button?.disabled) return; // not for this viewer, or not now
    actions[name]();
    this.refresh();
  }

  flip(index) {
    if (!this.frames[index]) return;
    this.mode = "one";
    this.single = index;
    this.refresh();
  }

  colour(kind) {
    this.colours = kind;
    for (const frame of this.frames) this.cool(frame);
    this.refresh();
  }

  toggleRegion() {
    this.tool = this.tool === "region" ? "pan" : "region";
    this.find("fieldset.region").hidden = this.tool !== "region" && !this.region;
  }

  toggleMask() {
    if (this.tool === "mask") {
      this.tool = "pan";
      this.mode = "all";
    } else {
      this.tool = "mask";
      this.find("fieldset.region").hidden = !this.region;
      this.flip(0);
      this.stage.scrollIntoView({ block: "nearest" });
    }
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (document.fullscreenEnabled) this.element.requestFullscreen();
    else this.element.classList.toggle("full");
  }

  zoom(scale, { x, y } = { x: this.box.width / 2, y: this.box.height / 2 }) {
    // The photo's point under (x, y) stays there.
    const { view, box, fit, unit } = this;
    const next = clamp(scale, Math.min(fit, unit), Math.max(fit, MOST * unit));
    view.x += (x - box.width / 2) * (1 / view.scale - 1 / next);
    view.y += (y - box.height / 2) * (1 / view.scale - 1 / next);
    view.scale = next;
    this.fitted = next === fit;
    this.refresh();
  }

  pan(x, y) {
    this.view.x -= x / this.view.scale;
    this.view.y -= y / this.view.scale;
    this.refresh();
  }

  look(spot) {
    this.spot = spot;
    if (this.loupe || this.tool === "mask") this.draw();
  }

  locate(event) {
    const { left, top } = (event.target.closest(".panel") ?? this.stage).getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  onWheel(event) {
    if (!event.target.closest(".panel") || this.frames.length === 0) return;
    // The page that scrolls goes on scrolling, as it does where there is nothing left to zoom out.
    if (performance.now() - this.scrolled < 250) return;
    if (event.deltaY > 0 && this.view.scale <= Math.min(this.fit, this.unit)) return;
    event.preventDefault();
    const step = event.deltaY * (event.deltaMode ? 20 : 1) * (event.ctrlKey ? 5 : 1);
    this.zoom(this.view.scale * Math.exp(-0.002 * clamp(step, -300, 300)), this.locate(event));
  }

  onDouble(event) {
    if (!event.target.closest(".panel") || this.tool !== "pan") return;
    if (this.fitted) this.zoom(Math.max(this.unit, 2 * this.fit), this.locate(event));
    else this.act("fit");
  }

  onDown(event) {
    if (event.button > 0) return;
    if (event.target === this.handle) {
      this.handle.setPointerCapture(event.pointerId);
      return;
    }
    if (!event.target.closest(".panel")) return;
    event.target.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    const at = this.locate(event);
    if (this.gesture?.name === "stroke") {
      this.edits.pop(); // the first finger of two, which mean to zoom
      this.repaint();
    }
    if (this.pointers.size > 1) this.gesture = { name: "pinch" };
    else if (this.tool === "mask") this.beginStroke(at);
    else if (this.tool === "region" || event.shiftKey) this.gesture = { name: "region", from: at };
    else if (this.loupe && event.pointerType === "touch") this.gesture = { name: "loupe" };
    else this.gesture = { name: "pan", from: at, swipe: this.mode === "one" && this.fitted };
    this.look(at);
  }

  onMove(event) {
    if (this.handle.hasPointerCapture(event.pointerId)) {
      const { left, width } = this.stage.getBoundingClientRect();
      this.wipe((event.clientX - left) / width);
      return;
    }
    const at = this.locate(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.look(event.target.closest(".panel") ? at : null);
      return;
    }
    const others = [...this.pointers.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    const { name, from } = this.gesture;
    this.spot = at;
    if (name === "pinch" && others.length) this.pinch(before, event, others[0]);
    else if (name === "pan") this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
    else if (name === "region") this.select(this.between(from, at), { final: false });
    else if (name === "stroke") this.goOn(at);
    else this.draw();
  }

  pinch(before, after, other) {
    const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const [a, b] = [this.locate(after), this.locate(other)];
    this.view.x -= (after.clientX - before.clientX) / 2 / this.view.scale;
    this.view.y -= (after.clientY - before.clientY) / 2 / this.view.scale;
    const ratio = distance(after) / Math.max(1, distance(before));
    this.zoom(this.view.scale * ratio, { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  }

  onUp(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { name, from, swipe } = this.gesture;
    const at = this.locate(event);
    if (name === "region" && event.type === "pointerup") this.select(this.between(from, at));
    if (name === "stroke") this.endStroke();
    const far = at.x - from?.x;
    if (swipe && Math.abs(far) > 50) {
      this.flip((this.single + (far < 0 ? 1 : this.frames.length - 1)) % this.frames.length);
    }
    if (event.pointerType === "touch" && name !== "loupe") this.look(null);
  }

  onKey(event) {
    const undo = event.key === "z" && (event.ctrlKey || event.metaKey) && this.tool === "mask";
    const modified = event.ctrlKey || event.metaKey || event.altKey;
    if (!this.element.isConnected || (modified && !undo)) return;
    const inside = this.element.contains(document.activeElement);
    const hovered = document.activeElement === document.body && this.stage.matches(":hover");
    if (!(inside || hovered) || event.target.matches("input, select, textarea")) return;
    const arrow = ARROWS[event.key];
    if (arrow && event.target === this.handle) this.wipe(this.edge + arrow[0] * 0.02);
    else if (arrow && event.target === this.stage) this.pan(-48 * arrow[0], -48 * arrow[1]);
    else if (/^[1-9]$/.test(event.key)) this.flip(Number(event.key) - 1);
    else if (undo) this.act("undo");
    else if (event.key === "Escape" && this.tool === "mask") this.act("mask");
    else if (event.key === "Escape" && this.element.classList.contains("full")) this.act("full");
    else if (event.key === "Escape") this.act("all");
    else if (KEYS[event.key.toLowerCase()]) this.act(KEYS[event.key.toLowerCase()]);
    else return;
    event.preventDefault();
  }

  wipe(edge) {
    this.edge = clamp(edge, 0, 1);
    this.refresh();
  }

  // The region

  between(a, b) {
    // Whole pixels of the photo that a rectangle of the screen touches.
    const { size, view, box } = this;
    const range = (axis, side) => {
      const ends = [a[axis], b[axis]].map((v) => view[axis] + (v - box[side] / 2) / view.scale);
      const start = clamp(Math.floor(Math.min(...ends)), 0, size[side] - 1);
      return [start, clamp(Math.ceil(Math.max(...ends)), start + 1, size[side]) - start];
    };
    const [[x, width], [y, height]] = [range("x", "width"), range("y", "height")];
    return { x, y, width, height };
  }

  readRegion() {
    const [x, y, width, height] = [...this.element.querySelectorAll("fieldset.region input")].map((input) =>
      Math.round(input.valueAsNumber)
    );
    if ([x, y, width, height].some(Number.isNaN)) return;
    const left = clamp(x, 0, this.size.width - 1);
    const top = clamp(y, 0, this.size.height - 1);
    this.select({
      x: left,
      y: top,
      width: clamp(width, 1, this.size.width - left),
      height: clamp(height, 1, this.size.height - top),
    });
  }

  select(region, { final = true } = {}) {
    this.region = region;
    for (const input of this.element.querySelectorAll("fieldset.region input")) {
      input.value = region ? region[input.name] : "";
    }
    this.find("fieldset.region").hidden = this.tool !== "region" && !region;
    if (final) this.measure();
    this.draw();
  }

  measure() {
    this.trigger("measure", { region: this.region });
  }

  // The mask

  onPhoto({ x, y }) {
    // The photo's point at a place in a frame.
    const { view, box } = this;
    return {
      x: view.x + (x - box.width / 2) / view.scale,
      y: view.y + (y - box.height / 2) / view.scale,
    };
  }

  get brush() {
    // Width in the photo's pixels; the slider gives it in parts of the picture, by its square.
    const part = (this.find(".mask [name=width]").valueAsNumber / 100) ** 2 / 4;
    return Math.max(1, Math.round(part * Math.max(this.size.width, this.size.height)));
  }

  beginStroke(at) {
    const point = this.onPhoto(at);
    this.gesture = { name: "stroke", from: at };
    this.edits.push({ erase: this.erasing, width: this.brush, points: [point] });
    this.goOn(at);
  }

  goOn(at) {
    const stroke = this.edits.at(-1);
    stroke.points.push(this.onPhoto(at));
    this.apply({ ...stroke, points: stroke.points.slice(-2) });
    this.draw();
  }

  endStroke() {
    this.gesture = {};
    this.sendMask();
    this.refresh();
  }

  edit(change) {
    this.edits.push(change);
    this.apply(change);
    this.sendMask();
    this.refresh();
  }

  repaint() {
    this.mask = null;
    this.edits.forEach((change) => this.apply(change));
    this.sendMask();
  }

  apply({ image, erase, width, points }) {
    const { size } = this;
    this.mask ??= new OffscreenCanvas(size.width, size.height);
    const context = this.mask.getContext("2d");
    if (image !== undefined) {
      context.clearRect(0, 0, size.width, size.height);
      if (image) context.drawImage(image, 0, 0);
      return;
    }
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    Object.assign(context, { strokeStyle: PAINT, lineWidth: width, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    for (const { x, y } of points) context.lineTo(x, y);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  sendMask() {
    clearTimeout(this.sending);
    this.sending = setTimeout(async () => {
      const blob = this.mask && this.edits.length ? await this.mask.convertToBlob() : null;
      const reader = new FileReader();
      reader.onload = () => this.trigger("paint", { mask: reader.result });
      if (blob) reader.readAsDataURL(blob);
      else this.trigger("paint", { mask: null });
    }, MASK_SENT);
  }

  async takeMask(url) {
    // A picture that was given, white where pixels are lost, becomes an edit as any other. None:
    // whatever was painted belonged to something else.
    clearTimeout(this.sending);
    if (!url) {
      this.edits = [];
      this.mask = null;
      this.refresh();
      return;
    }
    const { width, height } = this.size;
    const bitmap = await createImageBitmap(await (await fetch(url)).blob());
    if (bitmap.width !== width || bitmap.height !== height) return;
    const image = new OffscreenCanvas(width, height);
    const context = image.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const picture = context.getImageData(0, 0, width, height);
    const [paint] = this.ramp([PAINT, PAINT]);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = picture.data[4 * i] > 127 ? paint : 0;
    context.putImageData(picture, 0, 0);
    this.edits.push({ image });
    this.apply({ image });
    this.refresh();
  }

  // Drawing

  draw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      for (const frame of this.visible) this.paint(frame);
    });
  }

  paint(frame) {
    const { canvas } = frame;
    const { width, height } = this.box;
    const ratio = devicePixelRatio;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) {
      Object.assign(canvas, { width: across, height: down });
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const place = this.place(this.view.scale, { x: width / 2, y: height / 2 }, this.view);
    const parts = [[frame, 0, width]];
    if (this.mode === "wipe") {
      parts[0][2] = this.edge * width;
      parts.push([this.side(1), this.edge * width, width]);
    }
    const spot = this.loupe && (this.spot ?? { x: width / 2, y: height / 2 });
    for (const [part, left, right] of parts) {
      context.save();
      context.beginPath();
      context.rect(left, 0, right - left, height);
      context.clip();
      this.drawPicture(context, part, place);
      if (part.picture && this.tool === "mask") this.drawMask(context, place);
      if (part.picture && this.region) this.drawRegion(context, place);
      if (part.picture && spot) this.drawLoupe(context, part, spot);
      context.restore();
    }
  }

  place(scale, at, point) {
    // Where the photo's corner comes to lie if its `point` is to be `at`, on the screen's grid.
    const snap = (value) => Math.round(value * devicePixelRatio) / devicePixelRatio;
    return { scale, x: snap(at.x - point.x * scale), y: snap(at.y - point.y * scale) };
  }

  drawPicture(context, frame, { scale, x, y }) {
    const { width, height } = this.size;
    const picture = this.pictureOf(frame);
    if (!picture || picture.source.width !== width || picture.source.height !== height) return;
    // Only the pixels in view, and all of each, so that the edges of pixels stay sharp.
    const left = clamp(Math.floor(-x / scale), 0, width);
    const top = clamp(Math.floor(-y / scale), 0, height);
    const across = clamp(Math.ceil((this.box.width - x) / scale), 0, width) - left;
    const down = clamp(Math.ceil((this.box.height - y) / scale), 0, height) - top;
    if (across <= 0 || down <= 0) return;
    const { source, small } = picture;
    const useSmall = small && scale * devicePixelRatio * width <= small.width;
    const factor = useSmall ? small.width / width : 1;
    context.imageSmoothingEnabled = scale * devicePixelRatio < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(
      useSmall ? small : source,
      ...[left, top, across, down].map((value) => value * factor),
      x + left * scale, y + top * scale, across * scale, down * scale
    );
  }

  drawMask(context, { scale, x, y }) {
    const { width, height } = this.size;
    context.globalAlpha = 0.6;
    if (this.mask) context.drawImage(this.mask, x, y, width * scale, height * scale);
    context.globalAlpha = 1;
    if (!this.spot) return;
    context.beginPath();
    context.arc(this.spot.x, this.spot.y, Math.max(1, (this.brush * scale) / 2), 0, 2 * Math.PI);
    for (const [colour, line] of [["#000", 3], ["#fff", 1]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: line });
      context.stroke();
    }
  }

  drawLoupe(context, frame, spot) {
    const { width, height } = this.box;
    const { view, unit } = this;
    const radius = clamp(Math.min(width, height) * 0.3, 36, 120);
    const scale = Math.max(4, Math.round((4 * view.scale) / unit)) * unit;
    const point = this.onPhoto(spot);
    context.beginPath();
    context.arc(spot.x, spot.y, radius, 0, 2 * Math.PI);
    context.save();
    context.clip();
    context.fillStyle = "#808080";
    context.fill();
    this.drawPicture(context, frame, this.place(scale, spot, point));
    context.restore();
    for (const [colour, line] of [["#000", 4], ["#fff", 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: line });
      context.stroke();
    }
  }

  drawRegion(context, { scale, x, y }) {
    const { region } = this;
    for (const [colour, dashes] of [["#000", []], ["#fff", [5, 5]]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: 2 });
      context.setLineDash(dashes);
      context.strokeRect(x + region.x * scale, y + region.y * scale, region.width * scale, region.height * scale);
    }
    context.setLineDash([]);
  }

  // Errors

  pictureOf(frame) {
    if (this.colours === "picture" || frame === this.truth || !frame?.picture) return frame?.picture;
    if (!frame.heat) this.compute(frame, this.truth, HEAT[this.colours]);
    return frame.heat;
  }

  cool(frame) {
    this.free(frame.heat);
    frame.heat = null;
  }

  async compute(frame, truth, { low, high, stops }) {
    const { width, height } = this.size;
    const pair = [frame, truth].map((one) => one.picture?.source);
    if (pair.some((source) => source?.width !== width || source.height !== height)) return;
    const heat = { source: new OffscreenCanvas(width, height), small: null };
    frame.heat = heat;
    const target = heat.source.getContext("2d");
    const colours = this.ramp(stops);
    const rows = Math.min(height, Math.ceil(STRIP / width));
    const scratch = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
    for (let top = 0; top < height && frame.heat === heat; top += rows) {
      const [restored, clean] = pair.map((source) => {
        scratch.clearRect(0, 0, width, rows);
        scratch.drawImage(source, 0, -top);
        return scratch.getImageData(0, 0, width, rows);
      });
      const pixels = new Uint32Array(restored.data.buffer);
      for (let i = 0; i < pixels.length; i++) {
        let error = 0;
        for (let c = 4 * i; c < 4 * i + 3; c++) {
          const difference = restored.data[c] - clean.data[c];
          error += low < 0 ? difference : Math.abs(difference);
        }
        pixels[i] = colours[clamp(Math.round((255 * (error / 3 - low)) / (high - low)), 0, 255)];
      }
      target.putImageData(restored, 0, top);
      this.draw();
      await new Promise(requestAnimationFrame);
    }
    const { small } = await this.reducible(heat.source);
    if (frame.heat === heat) heat.small = small;
    else small?.close();
  }

  ramp(stops) {
    // 256 colours, each four bytes of RGBA in one number.
    const parts = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
    const bytes = new Uint8ClampedArray(4 * 256);
    for (let level = 0; level < 256; level++) {
      const place = (level / 255) * (stops.length - 1);
      const from = Math.min(Math.floor(place), stops.length - 2);
      const mix = (a, channel) => a + (place - from) * (parts[from + 1][channel] - a);
      bytes.set([...parts[from].map(mix), 255], 4 * level);
    }
    return new Uint32Array(bytes.buffer);
  }
}

const viewer = new Viewer(element, props, trigger);
watch("value", () => viewer.update());
