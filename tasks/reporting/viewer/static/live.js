// A page that shows a run being made is loaded again, unless its reader is about to choose, type, mark or read help.
'use strict';
(() => {
  const SECONDS = 5;
  if (!document.querySelector('[data-live]')) return;
  const isBusy = () => document.hidden || document.activeElement?.matches('input, select, textarea')
    || !getSelection().isCollapsed || document.querySelector('dialog[open]');
  setInterval(() => { if (!isBusy()) location.reload(); }, 1000 * SECONDS);
})();
