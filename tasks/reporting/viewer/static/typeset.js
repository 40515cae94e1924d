// Mathematics in the texts of problems and models, by KaTeX, once it comes into view. What is no mathematics, or is
// none that KaTeX reads, stays as it was written.
'use strict';
(() => {
  const WRITTEN = 'overthink-mathematics-as-written';
  // As Pandoc has it: $ is followed by no blank, and its partner neither follows one nor stands before a digit.
  const FORMULA = /\$\$([^$]+)\$\$|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|(?<![\\$\w])\$(?![\s$])((?:[^$\\]|\\[\s\S])+?)(?<!\s)\$(?![\d$])|(\\begin\{(align|equation|gather|array|cases|[pbv]?matrix)(\*?)\}[\s\S]+?\\end\{\6\7\})|(\\boxed\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})/g;
  const OPTIONS = {trust: false, throwOnError: true, strict: 'ignore', maxSize: 20, maxExpand: 300};
  const LONGEST = 4000; // characters of a formula

  const formula = (source, shown) => {
    const span = document.createElement('span');
    try {
      // With macros of its own: what one text defines must not change how another looks.
      katex.render(source, span, {...OPTIONS, displayMode: shown, macros: {}});
    } catch {
      return null;
    }
    return span;
  };

  const typeset = (node) => {
    const text = node.data, pieces = [];
    let end = 0;
    for (const found of text.matchAll(FORMULA)) {
      const shown = found[1] ?? found[2] ?? found[5], source = shown ?? found[3] ?? found[4] ?? found[8];
      const span = source.length > LONGEST ? null : formula(source, shown !== undefined);
      if (span === null) continue;
      pieces.push(text.slice(end, found.index), span);
      end = found.index + found[0].length;
      if (shown !== undefined) end += text.slice(end).match(/^[ \t]*\n?/)[0].length; // it has a line of its own
    }
    if (end) node.replaceWith(...pieces, text.slice(end));
  };

  const all = (element) => {
    // An answer is a formula as a whole, without marks around it.
    const whole = element.matches('.formula') && /[\\^]/.test(element.textContent) && !element.textContent.includes('$')
      && element.textContent.length <= LONGEST ? formula(element.textContent, false) : null;
    if (whole !== null) {
      element.replaceChildren(whole);
      return;
    }
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    nodes.forEach(typeset);
  };

  const written = () => {
    try { return localStorage.getItem(WRITTEN) === 'yes'; } catch { return false; }
  };
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'm' || event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input, select')) return;
    try { localStorage.setItem(WRITTEN, written() ? 'no' : 'yes'); } catch { return; }
    location.reload();
  });
  if (typeof katex === 'undefined' || written()) return;
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      watcher.unobserve(entry.target);
      all(entry.target);
    }
  }, {rootMargin: '400px'});
  document.querySelectorAll('.math').forEach((element) => watcher.observe(element));
})();
