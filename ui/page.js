() => {
  // Gradio runs this once all parts are there; until then the page stays hidden.
  document.documentElement.classList.add("whole");

  // What Gradio leaves out: names of the example buttons.
  const nameExamples = () => {
    document.querySelectorAll("#examples button").forEach((button, index) => {
      const title = window.triptychExamples?.[index];
      if (title && button.title !== title) {
        button.title = title;
        button.setAttribute("aria-label", `Example: ${title}`);
      }
    });
  };

  new MutationObserver(nameExamples).observe(document.body, { childList: true, subtree: true });
  nameExamples();
}
