// The keyboard: j and k from item to item, arrows to the pages beside, / to search, ? for help. All else are links.
'use strict';
(() => {
  const items = [...document.querySelectorAll('[data-item]')], dialog = document.getElementById('keys');
  const opener = document.querySelector('[data-opens=keys]');
  let place = -1;

  const go = (to) => {
    if (!items.length) return;
    items[place]?.classList.remove('here');
    place = Math.max(0, Math.min(items.length - 1, to));
    items[place].classList.add('here');
    items[place].scrollIntoView({block: 'nearest'});
    (items[place].querySelector('a, summary') ?? items[place]).focus({preventScroll: true});
  };
  const follow = (key) => document.querySelector(`[data-key=${key}]`)?.click();
  const fold = () => {
    const folds = items.filter((item) => item.tagName === 'DETAILS'), open = folds.some((item) => !item.open);
    folds.forEach((item) => { item.open = open; });
  };
  const KEYS = {
    j: () => go(place + 1),
    k: () => go(place - 1),
    e: fold,
    u: () => (document.querySelector('[data-key=up]') ?? document.querySelector('[data-key=home]')).click(),
    ArrowLeft: () => follow('before'),
    ArrowRight: () => follow('after'),
    '/': () => document.querySelector('[data-key=search]')?.focus(),
    '?': () => (dialog.open ? dialog.close() : dialog.showModal()),
  };

  document.addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, select, textarea');
    if (typing && event.key === 'Escape') event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  opener.hidden = false;
  opener.addEventListener('click', () => dialog.showModal());
  document.querySelectorAll('.filters select').forEach((choice) => {
    choice.addEventListener('change', () => choice.form.requestSubmit());
  });

  const linked = () => {
    const item = location.hash ? document.getElementById(location.hash.slice(1)) : null;
    if (item?.tagName === 'DETAILS') {
      item.open = true;
      go(items.indexOf(item));
    }
  };
  addEventListener('hashchange', linked);
  linked();
})();
