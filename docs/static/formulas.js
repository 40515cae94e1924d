// Typeset what Sphinx marks as mathematics, between \( and \) or \[ and \].
document.addEventListener("DOMContentLoaded", () => {
  for (const node of document.querySelectorAll(".math")) {
    katex.render(node.textContent.trim().slice(2, -2), node, { displayMode: node.tagName === "DIV", throwOnError: true });
  }
});
