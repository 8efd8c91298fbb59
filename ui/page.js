() => {
  // What Gradio leaves out: names of the example buttons and of the compared pictures, and a
  // keyboard for the handle between before and after.
  const STEP = 16; // pixels per key press

  const nameExamples = () => {
    document.querySelectorAll("#examples button").forEach((button, index) => {
      const title = window.triptychExamples?.[index];
      if (title && button.title !== title) {
        button.title = title;
        button.setAttribute("aria-label", `Example: ${title}`);
      }
    });
  };

  const mouse = (target, type, x, y) =>
    target.dispatchEvent(
      new MouseEvent(type, { clientX: x, clientY: y, bubbles: true, cancelable: true, view: window })
    );

  const onKey = (event) => {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    const box = event.currentTarget.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    mouse(event.currentTarget, "mousedown", x, y);
    mouse(window, "mousemove", x + direction * STEP, y);
    mouse(window, "mouseup", x + direction * STEP, y);
  };

  const nameSliders = () => {
    document.querySelectorAll("#pictures [id^=picture-]:has([data-testid=slider])").forEach((panel) => {
      const title = panel.querySelector("[data-testid=block-label]").innerText.split(":")[0].trim();
      panel.querySelectorAll("img").forEach((image, index) => {
        const alt = index ? `Restored by ${title}` : "Before";
        if (image.alt !== alt) image.alt = alt;
      });
      const handle = panel.querySelector("[data-testid=slider]");
      if (handle.tabIndex === 0) return;
      handle.tabIndex = 0;
      handle.setAttribute("role", "separator");
      handle.setAttribute("aria-label", `${title}: move between before and after with the arrow keys`);
      handle.addEventListener("keydown", onKey);
    });
  };

  const name = () => {
    nameExamples();
    nameSliders();
  };
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
  name();
}
