// What is wrong with a report as it is shown, for a reader: cut off, empty, or hard to read. WCAG asks for 4.5.
(() => {
  const flaws = [], width = document.documentElement.clientWidth;
  const shown = (node) => node.checkVisibility() && node.getBoundingClientRect().width > 0;
  const scrolled = (node) => node.closest('.scroll, pre, .tree-box, .katex');
  if (document.documentElement.scrollWidth > width) flaws.push(`the page scrolls sideways: ${document.documentElement.scrollWidth} > ${width}`);
  for (const node of document.querySelectorAll('body *')) {
    if (shown(node) && !scrolled(node) && node.getBoundingClientRect().right > width + 1)
      flaws.push(`beyond the edge: ${node.tagName} ${node.textContent.slice(0, 40)}`);
  }
  for (const node of document.querySelectorAll('h1, h2, h3, figcaption')) if (!shown(node) && !node.closest('dialog')) flaws.push(`not shown: ${node.textContent}`);
  for (const svg of document.querySelectorAll('.panel svg')) {
    if (!shown(svg)) continue;
    const box = svg.getBoundingClientRect(), labels = [];
    if (box.width < 200 || box.height < 100) flaws.push(`too small: ${svg.ariaLabel}`);
    for (const text of svg.querySelectorAll('text')) {
      if (!shown(text)) continue;
      const label = text.getBoundingClientRect();
      for (const [other, name] of labels) {
        const across = Math.min(label.right, other.right) - Math.max(label.left, other.left);
        if (across > 0.5 && Math.min(label.bottom, other.bottom) - Math.max(label.top, other.top) > 3)
          flaws.push(`covers ${name}: ${text.textContent} in ${svg.ariaLabel}`);
      }
      labels.push([label, text.textContent]);
      if (label.right > box.right + 2 || label.left < box.left - 2) flaws.push(`cut off: ${text.textContent} in ${svg.ariaLabel}`);
      if (label.height < 8.5) flaws.push(`too small to read: ${text.textContent} in ${svg.ariaLabel}`);
    }
  }
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (data) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, place) => {
    const part = data[place] / 255;
    return sum + weight * (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  }, 0);
  for (const node of document.querySelectorAll('h1, h2, h3, p, dt, dd, th, td, a, code, summary, figcaption, .score, text')) {
    if (!shown(node) || !node.textContent.trim()) continue;
    const behind = [];
    for (let at = node; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(node), ink = node.tagName === 'text' ? style.fill : style.color;
    const [low, high] = [light(rgb(behind)), light(rgb([...behind, ink]))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) flaws.push(`contrast ${contrast.toFixed(1)}: ${node.tagName} ${node.textContent.slice(0, 40)}`);
  }
  return [...new Set(flaws)];
})()
