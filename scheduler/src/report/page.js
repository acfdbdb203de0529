'use strict';
// Draws the report from the data blocks of the page. Every text of the catalog goes
// through textContent, never through markup.

const $ = (id) => document.getElementById(id);
const LOOK = {
  'accepted': ['ok', '✓', 'Accepted'], 'needs-human': ['warn', '!', 'Needs a human'],
  'rejected': ['bad', '✕', 'Rejected'], 'failed': ['bad', '✕', 'Failed'],
  'weak-reference': ['bad', '◌', 'Weak reference'], 'bad-row': ['bad', '✕', 'Bad row'],
  'over-budget': ['warn', '$', 'Over budget'], 'skipped': ['mute', '–', 'Skipped'],
  'pending': ['mute', '…', 'Pending'], 'cancelled': ['mute', '–', 'Cancelled'],
};
const WORST_FIRST = ['bad-row', 'weak-reference', 'failed', 'rejected', 'needs-human', 'over-budget', 'cancelled', 'pending', 'skipped', 'accepted'];
const CALM = new Set(['accepted', 'skipped']);
const look = (status) => LOOK[status] || ['mute', '?', status];
const words = (text) => text.charAt(0).toUpperCase() + text.slice(1).replaceAll('-', ' ');

function el(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === 'class') node.className = value;
    else if (name in node && !name.includes('-')) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const mark = (status) => el('span', { class: 'mark ' + look(status)[0], 'aria-hidden': 'true' }, look(status)[1]);
const pill = (status, text) => el('span', { class: 'pill ' + look(status)[0] }, el('span', { 'aria-hidden': 'true' }, look(status)[1]), text || look(status)[2]);

// A path of the report is relative and stays below it; anything else is no link.
function address(path) {
  if (!path || /^[a-z][a-z0-9+.-]*:/i.test(path) || path.startsWith('/') || path.includes('\\')) return '';
  const parts = path.split('/');
  return parts.includes('..') ? '' : parts.map(encodeURIComponent).join('/');
}
const picture = (source) => (source.startsWith('data:image/jpeg;base64,') ? source : address(source));

// ---- data
const skus = [];
const notices = [];
let head = {};
let summary = { numbers: {}, notices: 0 };
for (const block of document.querySelectorAll('script[type="application/json"]')) {
  const value = JSON.parse(block.textContent);
  block.remove();
  if (value.kind === 'sku') skus.push(value);
  else if (value.kind === 'notice') notices.push(value);
  else if (value.kind === 'head') head = value;
  else if (value.kind === 'summary') summary = value;
}
skus.forEach((sku, place) => {
  sku.place = place;
  const found = sku.roles.flatMap((role) => [role.reason, ...role.findings.map((f) => f.axis + ' ' + f.evidence)]);
  sku.haystack = [sku.sku, sku.title, sku.brand, sku.category, sku.reason, ...sku.warnings, ...found].join('\n').toLowerCase();
  sku.rank = WORST_FIRST.indexOf(sku.status) * 2 - (sku.warnings.length ? 1 : 0);
});

// ---- settings kept in the browser, where it allows
const kept = {
  get(name) { try { return localStorage.getItem('packshot.' + name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem('packshot.' + name, value); } catch { /* not allowed: not kept */ } },
};
function setTheme(theme) { document.documentElement.dataset.theme = theme; kept.set('theme', theme); }
setTheme(kept.get('theme') || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
function setSize(size) { document.documentElement.dataset.size = size; $('size').value = size; kept.set('size', size); }
setSize(kept.get('size') || 'm');

// ---- the head of the page
function drawHead() {
  $('batch').textContent = head.batch || 'Packshot report';
  document.title = (head.batch ? head.batch + ' – ' : '') + 'Packshot report';
  $('origin').textContent = [head.catalog, head.when].filter(Boolean).join(' · ');
  const n = summary.numbers;
  const cost = Number(n.cost_usd || 0);
  const per = n.accepted > n.cached && cost > 0 ? cost / (n.accepted - n.cached) : 0;
  const minutes = Math.floor((n.seconds || 0) / 60);
  const time = minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : minutes ? `${minutes} min ${Math.round(n.seconds % 60)} s` : `${(n.seconds || 0).toFixed(1)} s`;
  const tiles = [
    ['SKUs', n.skus], ['images accepted', n.accepted], ['from cache', n.cached], ['need a human', n.needs_human, 'warn'],
    ['failed', n.failed, 'bad'], ['skipped', n.skipped], ['weak references', n.weak_references, 'bad'], ['bad rows', n.bad_rows, 'bad'],
    ['time', time], ['images a minute', n.images_per_minute ? n.images_per_minute.toFixed(1) : 0],
    ['cost', '$' + cost.toFixed(2)], ['per accepted image', per ? '$' + per.toFixed(3) : 0],
  ];
  const always = new Set(['SKUs', 'images accepted', 'need a human', 'time', 'cost']);
  for (const [name, value, tone] of tiles) {
    if (!value && !always.has(name)) continue;
    const text = typeof value === 'number' ? value.toLocaleString('en') : value || '0';
    $('tiles').append(el('div', { class: value ? tone || '' : '' }, el('dt', {}, name), el('dd', {}, text)));
  }
  const counts = countBy(skus, (sku) => sku.status);
  const said = [];
  for (const status of [...WORST_FIRST].reverse()) {
    if (!counts[status]) continue;
    const part = el('span', { class: look(status)[0], title: `${look(status)[2]}: ${counts[status]}` });
    part.style.flexGrow = counts[status];
    $('bar').append(part);
    said.push(`${counts[status]} ${look(status)[2].toLowerCase()}`);
  }
  $('bar').setAttribute('aria-label', 'SKUs: ' + (said.join(', ') || 'none'));
  if (notices.length) {
    $('notices').hidden = false;
    const more = summary.notices - notices.length;
    $('notices').firstElementChild.textContent = `The catalog: ${summary.notices} ${summary.notices === 1 ? 'thing' : 'things'} to look at`;
    const kinds = { 'bad-row': 'Not used. ', 'warning': '', 'unmatched-file': 'Photo of no product. ' };
    $('notices').lastElementChild.append(
      ...notices.map((notice) => el('p', {}, el('b', {}, kinds[notice.about] || ''), notice.text, notice.hint ? el('span', { class: 'quiet' }, ' – ' + notice.hint) : null)),
      more > 0 ? el('p', { class: 'quiet' }, `and ${more} more`) : '');
  }
}
function countBy(list, of) {
  const counts = {};
  for (const item of list) counts[of(item)] = (counts[of(item)] || 0) + 1;
  return counts;
}

// ---- filters
const filter = { text: '', status: '', role: '', channel: '', order: 'attention' };
let visible = [];
let drawn = 0;
let current = -1;
const BATCH = 30;

function drawFilters() {
  const roles = new Set(skus.flatMap((sku) => sku.roles.map((role) => role.role)));
  const channels = new Set(skus.flatMap((sku) => sku.exports.map((e) => e.channel)));
  for (const role of roles) $('role').append(el('option', { value: role }, words(role)));
  for (const channel of [...channels].sort()) $('channel').append(el('option', { value: channel }, words(channel)));
  $('channel').parentElement.hidden = channels.size === 0;
  const counts = countBy(skus, (sku) => sku.status);
  const attention = skus.filter(needsAttention).length;
  const chips = [['', 'All', skus.length], ['attention', 'Attention', attention]];
  for (const status of WORST_FIRST) if (counts[status]) chips.push([status, look(status)[2], counts[status]]);
  for (const [value, text, count] of chips) {
    const chip = el('button', { type: 'button', value, on: { click: () => { filter.status = value; refilter(); } } }, text, el('b', {}, count.toLocaleString('en')));
    $('statuses').append(chip);
  }
}
const needsAttention = (sku) => !CALM.has(sku.status) || sku.warnings.length > 0;
const exported = (sku, channel) => sku.exports.find((e) => e.channel === channel);
const rolesShown = (sku) => sku.roles.filter((role) =>
  (!filter.role || role.role === filter.role) &&
  (!filter.channel || exported(sku, filter.channel)?.files.some((file) => file.role === role.role)));

function matches(sku) {
  if (filter.text && !filter.text.split(/\s+/).every((word) => sku.haystack.includes(word))) return false;
  if ((filter.role || filter.channel) && rolesShown(sku).length === 0) return false;
  if (filter.status === 'attention') return needsAttention(sku);
  if (!filter.status) return true;
  return filter.role ? rolesShown(sku).some((role) => role.status === filter.status) : sku.status === filter.status;
}
function refilter() {
  visible = skus.filter(matches);
  if (filter.order === 'attention') visible.sort((a, b) => a.rank - b.rank || a.place - b.place);
  if (filter.order === 'sku') visible.sort((a, b) => a.sku.localeCompare(b.sku, 'en', { numeric: true }));
  for (const chip of $('statuses').children) chip.setAttribute('aria-pressed', String(chip.value === filter.status));
  $('count').textContent = visible.length === skus.length ? `${skus.length.toLocaleString('en')} SKUs` : `${visible.length.toLocaleString('en')} of ${skus.length.toLocaleString('en')} SKUs`;
  $('empty').hidden = visible.length > 0;
  $('sheet').replaceChildren();
  drawn = 0;
  current = -1;
  drawMore(BATCH);
}
function drawMore(count) {
  const until = Math.min(visible.length, drawn + count);
  const cards = [];
  for (; drawn < until; drawn += 1) cards.push(card(visible[drawn], drawn));
  $('sheet').append(...cards);
}
new IntersectionObserver((seen) => {
  if (seen.some((entry) => entry.isIntersecting) && drawn < visible.length) drawMore(BATCH);
}, { rootMargin: '1200px' }).observe($('more'));

// ---- the contact sheet
function tile(sku, index, item, kind, caption, status, note) {
  const frame = item.frames ? item.frames[0] : item;
  const source = frame ? picture(frame.thumb) : '';
  const said = `${sku.sku}, ${caption}${status ? ', ' + look(status)[2].toLowerCase() : ''}`;
  const pic = el('span', { class: 'pic' },
    source ? el('img', { src: source, alt: '', loading: 'lazy', decoding: 'async' }) : el('span', { class: 'note' }, note || 'no picture'),
    status ? mark(status) : null);
  const extra = item.frames && item.frames.length > 1 ? `×${item.frames.length}` : item.cached && source ? 'cached' : '';
  return el('button', { type: 'button', class: `tile ${kind}${source ? '' : ' none'}`, 'aria-label': said, title: note || caption, on: { click: () => open(index, item) } },
    pic, el('span', { class: 'cap' }, el('span', {}, caption), el('span', { class: 'quiet' }, extra)));
}
function card(sku, index) {
  const info = el('div', { class: 'info' },
    pill(sku.status), el('h2', {}, sku.title || sku.sku), el('p', { class: 'code mono' }, sku.sku),
    sku.reason ? el('p', { class: 'why' }, sku.reason) : null,
    sku.warnings.length ? el('p', { class: 'warnings' }, '⚠ ' + sku.warnings[0] + (sku.warnings.length > 1 ? ` (+${sku.warnings.length - 1})` : '')) : null);
  const strip = el('div', { class: 'strip' });
  if (sku.references.length) strip.append(tile(sku, index, sku.references[0], 'reference', 'Reference', '', ''));
  const roles = rolesShown(sku);
  for (const role of roles) strip.append(tile(sku, index, role, '', words(role.role), role.status, role.reason));
  if (!roles.length) strip.append(el('p', { class: 'nothing quiet' }, sku.status === 'weak-reference' ? 'Nothing was made: the reference cannot be trusted.' : 'Nothing was made.'));
  return el('article', { class: 'card', 'aria-label': sku.sku, id: 'card-' + index }, info, strip);
}
function moveTo(index) {
  if (index < 0 || index >= visible.length) return;
  while (drawn <= index) drawMore(BATCH);
  $('card-' + current)?.classList.remove('current');
  current = index;
  const node = $('card-' + index);
  node.classList.add('current');
  node.scrollIntoView({ block: 'nearest' });
}
