// Compares one image with its reference, with what the review found; and the keys.
// Follows page.js in the same script.

// ---- the viewer
const view = { sku: null, index: 0, item: null, frame: 0, mode: 'side', align: true, finding: null, split: 50, timer: 0, held: '' };
const MODES = [['side', 'Side by side'], ['slider', 'Slider'], ['flicker', 'Flicker'], ['heat', 'Heat map']];

const items = (sku) => [...sku.references, ...sku.roles];
function open(index, item) {
  const sku = visible[index];
  if (!sku) return;
  moveTo(index);
  view.sku = sku;
  view.index = index;
  const shown = rolesShown(sku);
  view.item = item || shown.find((role) => !CALM.has(role.status)) || shown[0] || sku.references[0] || null;
  view.frame = 0;
  view.finding = null;
  if (!$('viewer').open) $('viewer').showModal();
  $('v-stage').focus({ preventScroll: true });
  drawViewer();
}
function step(by) { if (visible[view.index + by]) open(view.index + by, null); }
function turn(by) {
  const list = items(view.sku);
  const next = list[list.indexOf(view.item) + by];
  if (next) { view.item = next; view.frame = 0; view.finding = null; drawViewer(); }
}
const isRole = (item) => Boolean(item && item.frames);
const result = () => (isRole(view.item) ? view.item.frames[view.frame] : null);
const reference = () => (isRole(view.item) ? view.sku.references[0] : view.item);

function drawViewer() {
  const { sku, item } = view;
  $('v-title').textContent = sku.title || sku.sku;
  $('v-sub').textContent = [sku.sku, sku.brand, sku.category, `line ${sku.line}`, `${view.index + 1} of ${visible.length}`].filter(Boolean).join(' · ');
  $('v-prev').disabled = view.index === 0;
  $('v-next').disabled = view.index + 1 >= visible.length;
  $('v-roles').replaceChildren(...items(sku).map((each, place) => {
    const frame = isRole(each) ? each.frames[0] : each;
    const source = frame ? picture(frame.thumb) : '';
    const name = isRole(each) ? words(each.role) : place ? `Reference ${place + 1}` : 'Reference';
    return el('button', { type: 'button', role: 'tab', 'aria-selected': String(each === item), on: { click: () => { view.item = each; view.frame = 0; view.finding = null; drawViewer(); } } },
      source ? el('img', { src: source, alt: '' }) : el('i', {}), name, isRole(each) ? mark(each.status) : null,
      isRole(each) ? el('span', { class: 'sr' }, look(each.status)[2]) : null);
  }));
  $('v-roles').querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  const frames = isRole(item) ? item.frames : [];
  $('v-frames').replaceChildren(...(frames.length > 1 ? frames : []).map((frame, place) =>
    el('button', { type: 'button', 'aria-pressed': String(place === view.frame), on: { click: () => { view.frame = place; drawViewer(); } } }, frame.name ? frame.name.replace('x', ':').replace('191:100', '1.91:1') : `${place + 1}`)));
  const made = result();
  const full = address(made ? made.full : isRole(item) ? '' : item?.full);
  $('v-open').hidden = !full;
  if (full) $('v-open').href = full;
  const comparable = Boolean(made && reference());
  $('v-modes').replaceChildren(...(comparable ? MODES : []).filter(([mode]) => mode !== 'heat' || made.heat).map(([mode, text]) =>
    el('button', { type: 'button', 'aria-pressed': String(mode === view.mode), on: { click: () => setMode(mode) } }, text)));
  $('v-align-box').hidden = !(comparable && made.product && reference().product);
  drawSide();
  drawStage();
  history.replaceState(null, '', '#' + [sku.sku, isRole(item) ? item.role : ''].filter(Boolean).map(encodeURIComponent).join('/'));
}
function setMode(mode) { view.mode = mode; if (view.item) drawViewer(); }

function drawStage() {
  clearInterval(view.timer);
  const stage = $('v-stage');
  const made = result();
  const known = reference();
  stage.replaceChildren();
  $('v-caption').textContent = '';
  if (!made && (isRole(view.item) || !known)) {
    stage.append(el('p', { class: 'message' }, view.item?.reason || view.sku.reason || 'There is no picture to show.'));
    return;
  }
  const size = (frame) => (frame.width ? `${frame.width} × ${frame.height} px` : '');
  if (!made || !known) {
    const only = made || known;
    stage.append(pane([[only, 'whole', '']]));
    $('v-caption').textContent = [only.file, size(only), ...(only.reasons || [])].filter(Boolean).join(' · ');
    layout();
    return;
  }
  const mode = view.held || (view.mode === 'heat' && !made.heat ? 'side' : view.mode);
  const names = ['Reference', words(view.item.role)];
  if (mode === 'side') stage.append(pane([[known, 'aligned', names[0]]]), pane([[made, 'whole', names[1]]], true));
  if (mode === 'heat') stage.append(pane([[made, 'whole', names[1]]], true), pane([[made, 'heat', 'Heat map']]));
  if (mode === 'slider') stage.append(slider(made, known, names));
  if (mode === 'flicker') stage.append(flicker(made, known, names));
  $('v-caption').textContent = [`Reference: ${known.file || ''}`, size(known), '→', size(made)].filter(Boolean).join(' ');
  layout();
}
// A pane holds pictures; where each goes is decided in layout().
function pane(pictures, regions) {
  const node = el('div', { class: 'pane' });
  node.pictures = pictures.map(([frame, how, label]) => {
    const image = el('img', { alt: label || 'reference', draggable: false });
    image.src = picture(how === 'heat' ? frame.heat : frame.thumb) || address(frame.full);
    const full = how === 'heat' ? '' : address(frame.full);
    if (full) {
      const large = new Image();
      large.onload = () => { image.src = full; };
      large.src = full;
    }
    if (!frame.width) image.onload = () => { frame.width = image.naturalWidth; frame.height = image.naturalHeight; layout(); };
    node.append(image);
    if (label) node.append(el('span', { class: 'label' }, label));
    return { frame, how, image };
  });
  node.regions = regions;
  return node;
}
function slider(made, known, names) {
  const node = pane([[made, 'whole', '']], true);
  const cover = pane([[known, 'aligned', '']]);
  cover.className = 'cut';
  const handle = el('div', { class: 'handle' });
  const range = el('input', { type: 'range', min: 0, max: 100, step: 0.5, value: view.split, 'aria-label': 'Reference on the left, result on the right' });
  const cut = () => {
    view.split = Number(range.value);
    cover.style.clipPath = `inset(0 ${100 - view.split}% 0 0)`;
    handle.style.left = `calc(${view.split}% - 1px)`;
  };
  range.addEventListener('input', cut);
  node.append(cover, handle, range, el('span', { class: 'label' }, names[0]), el('span', { class: 'label right' }, names[1]));
  cut();
  return node;
}
function flicker(made, known, names) {
  const node = pane([[made, 'whole', '']], true);
  const cover = pane([[known, 'aligned', '']]);
  cover.className = 'cut';
  const label = el('span', { class: 'label' });
  const show = (first) => { cover.hidden = !first; label.textContent = names[first ? 0 : 1]; };
  node.append(cover, label);
  show(true);
  if (!view.held && !matchMedia('(prefers-reduced-motion: reduce)').matches) view.timer = setInterval(() => show(cover.hidden), 700);
  node.addEventListener('click', () => { clearInterval(view.timer); show(cover.hidden); });
  return node;
}
// Whole frames fit their pane; with alignment the reference is scaled and moved so that
// its product covers the result's.
function layout() {
  const made = result();
  for (const node of document.querySelectorAll('#v-stage .pane, #v-stage .cut')) {
    const { width, height } = node.getBoundingClientRect();
    for (const { frame, how, image } of node.pictures) {
      if (!frame.width) continue;
      let at = contain(frame, width, height);
      if (how === 'aligned' && view.align && made?.product && frame.product && made.width) {
        const fit = contain(made, width, height);
        const target = { x: fit.x + made.product.x * fit.scale, y: fit.y + made.product.y * fit.scale, w: made.product.w * fit.scale, h: made.product.h * fit.scale };
        const scale = Math.sqrt((target.w / frame.product.w) * (target.h / frame.product.h));
        at = {
          scale,
          x: target.x + target.w / 2 - (frame.product.x + frame.product.w / 2) * scale,
          y: target.y + target.h / 2 - (frame.product.y + frame.product.h / 2) * scale,
        };
      }
      image.style.width = `${frame.width * at.scale}px`;
      image.style.height = `${frame.height * at.scale}px`;
      image.style.transform = `translate(${at.x}px, ${at.y}px)`;
      if (node.regions && how === 'whole') drawRegions(node, at);
    }
  }
}
function contain(frame, width, height) {
  const scale = Math.min(width / frame.width, height / frame.height);
  return { scale, x: (width - frame.width * scale) / 2, y: (height - frame.height * scale) / 2 };
}
function drawRegions(node, at) {
  node.querySelectorAll('.region').forEach((box) => box.remove());
  if (!isRole(view.item) || view.frame !== 0) return;
  for (const finding of view.item.findings) {
    const r = finding.region;
    if (!r || (view.finding ? view.finding !== finding : finding.severity === 'note')) continue;
    const box = el('div', { class: view.finding ? 'region' : 'region quietly' });
    box.style.left = `${at.x + r.x * at.scale}px`;
    box.style.top = `${at.y + r.y * at.scale}px`;
    box.style.width = `${Math.max(4, r.w * at.scale)}px`;
    box.style.height = `${Math.max(4, r.h * at.scale)}px`;
    node.append(box);
  }
}

// ---- the panel beside the pictures
const number = (value) => (value === null || value === undefined ? '–' : Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString());
function section(title, ...children) { return el('section', {}, el('h3', {}, title), ...children); }

function drawSide() {
  const { sku, item } = view;
  const parts = [];
  const alerts = [...sku.warnings];
  if (sku.reason) alerts.unshift(sku.reason);
  if (alerts.length) parts.push(el('section', {}, ...alerts.map((text) => el('p', { class: 'alert' }, text))));
  if (isRole(item)) parts.push(...reviewParts(item));
  else if (item) parts.push(section('Reference', el('ul', { class: 'files' }, ...item.reasons.map((reason) => el('li', {}, reason)))));
  if (sku.facts.length) {
    parts.push(section('Facts that must stay true', el('dl', { class: 'facts' }, ...sku.facts.map((fact) => {
      const swatch = /^#[0-9a-f]{6}$/i.test(fact.hex || '') ? el('span', { class: 'swatch' }) : null;
      if (swatch) swatch.style.background = fact.hex;
      return el('div', {}, el('dt', {}, words(fact.name)), el('dd', {}, swatch, fact.value), el('small', {}, fact.source));
    }))));
  }
  for (const channel of sku.exports) {
    const files = channel.files.filter((file) => !isRole(item) || file.role === item.role);
    if (!files.length && !channel.gaps.length) continue;
    parts.push(section(words(channel.channel), el('ul', { class: 'files' },
      ...files.map((file) => {
        const name = file.path.split('/').pop();
        const link = address(file.path);
        return el('li', {}, link ? el('a', { href: link, target: '_blank', rel: 'noopener' }, name) : name, el('span', { class: 'quiet' }, ` ${file.slot || ''}`));
      }),
      ...channel.gaps.map((gap) => el('li', { class: 'gap' }, gap)))));
  }
  $('v-side').replaceChildren(...parts);
  $('v-side').scrollTop = 0;
}
function reviewParts(role) {
  const parts = [el('section', { class: 'verdict' }, pill(role.status),
    role.verdict && role.verdict !== 'accept' ? el('span', { class: 'quiet' }, `verdict: ${role.verdict}`) : null,
    role.cached ? el('span', { class: 'quiet' }, 'from cache') : null,
    role.reason ? el('p', {}, role.reason) : null)];
  if (role.findings.length) {
    const tone = { drift: 'bad', warning: 'warn', note: 'mute' };
    const sign = { drift: '✕', warning: '!', note: 'i' };
    const show = (finding) => () => { view.finding = finding; layout(); };
    parts.push(section('Findings', el('ul', { class: 'findings' }, ...role.findings.map((finding) => el('li', {},
      el('button', { type: 'button', on: { mouseenter: show(finding), focus: show(finding), mouseleave: show(null), blur: show(null) } },
        el('span', { class: 'mark ' + (tone[finding.severity] || 'mute'), 'aria-hidden': 'true' }, sign[finding.severity] || 'i'),
        el('span', {}, finding.evidence, el('small', {}, `${words(finding.axis)}, ${finding.severity} · ${number(finding.value)} against ${number(finding.threshold)}`))))))));
  }
  if (role.axes.length) {
    parts.push(section('Drift from the reference', el('div', { class: 'axes' }, ...role.axes.map((axis) => {
      const share = axis.score === null ? 0 : Math.min(100, (axis.score / Math.max(axis.threshold, 1e-9)) * 66.6);
      const bar = el('b', { hidden: axis.score === null });
      bar.style.width = `${share}%`;
      const text = axis.score === null ? 'not seen' : `${number(axis.score)} / ${number(axis.threshold)}`;
      return el('div', { class: 'axis' + (axis.pass ? '' : ' fails'), title: `confidence ${Math.round(axis.confidence * 100)} %` },
        el('span', {}, words(axis.axis)), el('span', { class: 'meter' }, bar, el('i', {})), el('span', { class: 'num' }, text, el('span', { class: 'sr' }, axis.pass ? ', passes' : ', fails')));
    }))));
  }
  const facts = [['Maker', role.maker], ['Source type', role.source], ['Attempts', role.attempts || ''], ['Cost', Number(role.cost) > 0 ? '$' + Number(role.cost).toFixed(3) : '']];
  const known = facts.filter(([, value]) => value);
  if (known.length || role.notes.length) {
    parts.push(section('How it was made', el('dl', { class: 'facts' }, ...known.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, String(value))))),
      ...role.notes.map((note) => el('p', { class: 'quiet' }, note))));
  }
  return parts;
}

// ---- what the user does
let typing = 0;
$('search').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(() => { filter.text = $('search').value.trim().toLowerCase(); refilter(); }, 120);
});
for (const name of ['role', 'channel', 'order']) $(name).addEventListener('change', () => { filter[name] = $(name).value; refilter(); });
$('size').addEventListener('change', () => setSize($('size').value));
$('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
$('help-open').addEventListener('click', () => $('help').showModal());
$('reset').addEventListener('click', () => {
  Object.assign(filter, { text: '', status: '', role: '', channel: '' });
  for (const name of ['search', 'role', 'channel']) $(name).value = '';
  refilter();
});
$('v-close').addEventListener('click', () => $('viewer').close());
$('v-prev').addEventListener('click', () => step(-1));
$('v-next').addEventListener('click', () => step(1));
$('v-align').addEventListener('change', () => { view.align = $('v-align').checked; layout(); });
$('viewer').addEventListener('close', () => { clearInterval(view.timer); view.held = ''; history.replaceState(null, '', '#'); });
$('viewer').addEventListener('click', (event) => { if (event.target === $('viewer')) $('viewer').close(); });
addEventListener('resize', () => { if ($('viewer').open) layout(); });

addEventListener('keydown', (event) => {
  const typed = event.target.closest('input:not([type="range"]):not([type="checkbox"]), select, textarea');
  if (event.ctrlKey || event.metaKey || event.altKey || $('help').open) return;
  if (typed) { if (event.key === 'Escape') typed.blur(); return; }
  const inViewer = $('viewer').open;
  const onRange = event.target.matches('input[type="range"]');
  const onButton = event.target.matches('button, a, summary');
  const does = {
    'j': () => (inViewer ? step(1) : moveTo(current + 1)),
    'k': () => (inViewer ? step(-1) : moveTo(Math.max(0, current - 1))),
    't': () => $('theme').click(),
    '?': () => $('help').showModal(),
    '/': () => !inViewer && $('search').focus(),
    'Enter': () => !inViewer && !onButton && current >= 0 && open(current, null),
    'ArrowLeft': () => inViewer && !onRange && turn(-1),
    'ArrowRight': () => inViewer && !onRange && turn(1),
    'a': () => inViewer && $('v-align').click(),
    '1': () => inViewer && setMode('side'), '2': () => inViewer && setMode('slider'),
    '3': () => inViewer && setMode('flicker'), '4': () => inViewer && setMode('heat'),
    ' ': () => inViewer && !onButton && result() && hold(event),
  }[event.key];
  if (!does) return;
  if (does() !== false && !onButton) event.preventDefault();
});
function hold(event) {
  if (!event.repeat) { view.held = 'flicker'; drawStage(); }
}
addEventListener('keyup', (event) => {
  if (event.key === ' ' && view.held) { view.held = ''; drawStage(); }
});

// A link to one SKU, and perhaps one image of it: report.html#SKU/role
function openLinked() {
  let parts = [];
  try { parts = location.hash.slice(1).split('/').map(decodeURIComponent); } catch { return; }
  const index = visible.findIndex((sku) => sku.sku === parts[0]);
  if (index >= 0) open(index, visible[index].roles.find((role) => role.role === parts[1]));
}

drawHead();
drawFilters();
refilter();
openLinked();
