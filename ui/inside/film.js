// Pictures shown one after the other. `props.value` is {label, names, start, frames: [{note,
// images}]}, an image per name and frame; see ui/inside/exhibit.py.

const PACE = 500; // milliseconds a frame is shown for

const film = {
  at: 0,
  timer: null,
  loaded: [], // keeps all frames in memory, so that scrubbing never waits

  find: (selector) => element.querySelector(selector),

  show(index) {
    const { frames = [], names = [] } = props.value;
    if (!frames.length) return;
    this.at = Math.min(Math.max(index, 0), frames.length - 1);
    const { images, note } = frames[this.at];
    element.querySelectorAll("img").forEach((img, i) => {
      img.src = images[i].url;
      img.alt = `${names[i]}, ${note}`;
    });
    this.find("input").value = this.at;
    this.find("input").setAttribute("aria-valuetext", note);
    this.find(".note").textContent = note;
  },

  play(on) {
    clearInterval(this.timer);
    this.timer = on ? setInterval(() => this.next(), PACE) : null;
    this.find("button").textContent = on ? "❚❚" : "▶";
    this.find("button").setAttribute("aria-label", on ? "Pause" : "Play");
  },

  next() {
    if (!element.isConnected || this.at + 1 >= props.value.frames.length) return this.play(false);
    this.show(this.at + 1);
  },

  update() {
    const { frames = [], start = 0 } = props.value;
    this.play(false);
    this.find("input").max = Math.max(0, frames.length - 1);
    this.loaded = frames.flatMap(({ images }) =>
      images.map(({ url }) => Object.assign(new Image(), { src: url })),
    );
    this.show(start);
  },
};

element.addEventListener("input", ({ target }) => {
  film.play(false);
  film.show(Number(target.value));
});
element.addEventListener("click", ({ target }) => {
  if (!target.closest("button")) return;
  const playing = film.timer !== null;
  if (!playing && film.at + 1 >= props.value.frames.length) film.show(0);
  film.play(!playing);
});
film.update();
watch("value", () => film.update());
