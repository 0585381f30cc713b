// The page: pointer and keys on the label map, one request for an image at a time, always of the newest map.

import { LabelMap } from "/drawing.js";
import * as server from "/server.js";

const $ = (id) => document.getElementById(id);
const WAIT_MS = 40; // changes within so long become one request
const IDLE_MS = 350; // samples are drawn when nothing has changed for so long
const SAMPLES = 6;
const MANY_CLASSES = 30;
const LARGEST_SEED = 2 ** 31 - 1;

const page = { tool: "brush", chosen: 0, size: 6, seed: 0, style: null, samples: [] };
let about, map, colours;

/* ---- messages ---- */

function tell(error) {
  $("message").hidden = false;
  $("message").querySelector("span").textContent = error.message;
}
function quiet() { $("message").hidden = true; }
async function trying(work) {
  try {
    await work();
  } catch (error) {
    tell(error);
  }
}

/* ---- images: one request at a time, the newest map wins ---- */

const wanted = { image: false, timer: 0, idle: 0, busy: false };

function ask() {
  wanted.image = true;
  $("image").classList.add("old");
  clearTimeout(wanted.idle);
  for (const sample of page.samples) sample.stale = true;
  if (!wanted.timer) wanted.timer = setTimeout(() => { wanted.timer = 0; work(); }, WAIT_MS);
  if (page.samples.length) wanted.idle = setTimeout(work, IDLE_MS);
}

async function work() {
  if (wanted.busy) return;
  wanted.busy = true;
  try {
    for (;;) {
      if (wanted.image) {
        wanted.image = false;
        $("state").textContent = "rendering …";
        const started = performance.now();
        const told = await server.render(map.ids, page.seed, page.style);
        $("image").src = told.picture;
        $("image").dataset.renders = Number($("image").dataset.renders ?? 0) + 1;
        const whole = Math.round(performance.now() - started);
        $("state").textContent = `${whole} ms (model ${Math.round(told.milliseconds)} ms)`;
        if (!wanted.image) $("image").classList.remove("old");
        continue;
      }
      const sample = page.samples.find((each) => each.stale);
      if (!sample) break;
      sample.stale = false;
      sample.picture.src = (await server.render(map.ids, sample.seed, page.style)).picture;
    }
  } catch (error) {
    $("state").textContent = "no image";
    for (const sample of page.samples) sample.stale = false;
    tell(error);
  }
  wanted.busy = false;
}

/* ---- the label map ---- */

const canvas = $("map");
const pencil = canvas.getContext("2d", { willReadFrequently: true }); // a few pixels, all written at once: no GPU needed
let pen = null;

function show() {
  pencil.putImageData(map.picture(colours), 0, 0);
  $("undo").disabled = !map.past.length;
  $("redo").disabled = !map.future.length;
}
function changed() {
  show();
  shares();
  ask();
}
function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * map.width, ((event.clientY - box.top) / box.height) * map.height];
}
function cursor(x, y) {
  const across = page.tool === "brush" ? page.size : 1;
  const style = $("cursor").style;
  style.left = `${(100 * x) / map.width}%`;
  style.top = `${(100 * y) / map.height}%`;
  style.width = `${(100 * across) / map.width}%`;
  style.height = `${(100 * across) / map.height}%`;
  $("cursor").hidden = false;
  pen = [x, y];
  const id = map.at(x, y);
  $("under").textContent = id === null ? "" : about.classes[id].name;
}
function act(x, y) {
  if (page.tool === "pick") {
    const id = map.at(x, y);
    if (id !== null) choose(id);
    return;
  }
  map.remember();
  if (page.tool === "fill") map.fill(x, y, page.chosen);
  else map.stamp(x, y, page.size, page.chosen);
  map.forgetIfSame();
  changed();
}

let stroke = null;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  canvas.focus({ preventScroll: true });
  const [x, y] = place(event);
  if (page.tool !== "brush") return act(x, y);
  canvas.setPointerCapture(event.pointerId);
  map.remember();
  stroke = [x, y];
  map.stamp(x, y, page.size, page.chosen);
  changed();
});
canvas.addEventListener("pointermove", (event) => {
  cursor(...place(event));
  if (!stroke) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const [x, y] = place(each);
    map.line(...stroke, x, y, page.size, page.chosen);
    stroke = [x, y];
  }
  changed();
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (!stroke) return;
    stroke = null;
    map.forgetIfSame();
    show();
  });
}
canvas.addEventListener("pointerleave", () => { if (!stroke) $("cursor").hidden = true; });
canvas.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [x, y] = pen ?? [map.width / 2, map.height / 2];
  if (moves[event.key]) {
    const far = event.shiftKey ? 8 : 1;
    const within = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
    cursor(within(x + far * moves[event.key][0], map.width), within(y + far * moves[event.key][1], map.height));
  } else if (event.key === " ") {
    cursor(x, y);
    act(x, y);
  } else return;
  event.preventDefault();
});

function undo() { if (map.undo()) changed(); }
function redo() { if (map.redo()) changed(); }
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);

/* ---- tools and classes ---- */

function useTool(name) {
  page.tool = name;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
}
function useSize(value) {
  page.size = Math.min(Number($("size").max), Math.max(1, value));
  $("size").value = page.size;
  $("size-shown").textContent = page.size;
  if (pen && !$("cursor").hidden) cursor(...pen);
}
function choose(id) {
  page.chosen = id;
  for (const button of $("classes").querySelectorAll("button")) {
    const on = Number(button.dataset.id) === id;
    button.setAttribute("aria-pressed", String(on));
    if (on) button.scrollIntoView({ block: "nearest" });
  }
}
function listClasses() {
  const list = $("classes");
  for (const each of about.classes) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.id = each.id;
    button.title = `${each.name} (id ${each.id})`;
    const swatch = document.createElement("i");
    swatch.style.background = `rgb(${each.colour.join(",")})`;
    const name = document.createElement("span");
    name.textContent = each.name;
    button.append(swatch, name, document.createElement("small"));
    button.addEventListener("click", () => choose(each.id));
    list.append(button);
  }
  const none = document.createElement("p");
  none.textContent = "no class is called so";
  none.hidden = true;
  list.append(none);
}
// Many classes: those of the map that was opened come first. Not while drawing: the list stays where it is.
function sortClasses() {
  if (about.classes.length <= MANY_CLASSES) return;
  const counts = map.counts(about.classes.length);
  const buttons = [...$("classes").querySelectorAll("button")];
  const rank = (button) => (counts[button.dataset.id] ? 0 : 1);
  buttons.sort((a, b) => rank(a) - rank(b) || a.dataset.id - b.dataset.id);
  $("classes").prepend(...buttons);
}
function matching() {
  const text = $("search").value.trim().toLowerCase();
  const shown = [];
  for (const button of $("classes").querySelectorAll("button")) {
    const each = about.classes[button.dataset.id];
    button.hidden = !(each.name.toLowerCase().includes(text) || String(each.id) === text);
    if (!button.hidden) shown.push(each.id);
  }
  $("classes").querySelector("p").hidden = shown.length > 0;
  return shown;
}
function shares() {
  const counts = map.counts(about.classes.length);
  for (const button of $("classes").querySelectorAll("button")) {
    const share = (100 * counts[button.dataset.id]) / map.ids.length;
    const text = share === 0 ? "" : share < 1 ? "<1 %" : `${Math.round(share)} %`;
    const shown = button.querySelector("small");
    if (shown.textContent !== text) shown.textContent = text;
  }
}

for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => useTool(button.dataset.tool));
}
$("size").addEventListener("input", () => useSize(Number($("size").value)));
$("search").addEventListener("input", matching);
$("search").addEventListener("keydown", (event) => {
  const [first] = matching();
  if (event.key === "Enter" && first !== undefined) choose(first);
  if (event.key === "Escape") { $("search").value = ""; matching(); canvas.focus(); }
});

/* ---- maps and images in and out ---- */

function keep(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}
async function open(file) {
  quiet();
  map.replace(await server.load(file));
  $("start").value = "";
  sortClasses();
  changed();
}
async function save() {
  const address = URL.createObjectURL(await server.save(map.ids));
  keep(address, "label-map.png");
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
$("load").addEventListener("click", () => $("map-file").click());
$("map-file").addEventListener("change", () => {
  const [file] = $("map-file").files;
  if (file) trying(() => open(file));
  $("map-file").value = "";
});
$("frame").addEventListener("dragover", (event) => { event.preventDefault(); $("frame").classList.add("drop"); });
$("frame").addEventListener("dragleave", () => $("frame").classList.remove("drop"));
$("frame").addEventListener("drop", (event) => {
  event.preventDefault();
  $("frame").classList.remove("drop");
  const [file] = event.dataTransfer.files;
  if (file) trying(() => open(file));
});
$("save").addEventListener("click", () => trying(save));
$("download").addEventListener("click", () => {
  const look = about.z ? `-seed${page.seed}` : "";
  keep($("image").src, `image${look}.png`);
});
$("blank").addEventListener("click", () => {
  map.replace(new Uint16Array(map.ids.length).fill(page.chosen));
  changed();
});
$("start").addEventListener("change", () => trying(async () => {
  if ($("start").value === "") return;
  map.replace(await server.start(Number($("start").value)));
  sortClasses();
  changed();
}));

/* ---- seed, styles, samples ---- */

function useSeed(value) {
  page.seed = Math.min(LARGEST_SEED, Math.max(0, Math.floor(value) || 0));
  $("seed").value = page.seed;
  for (const sample of page.samples) sample.button.setAttribute("aria-pressed", String(sample.seed === page.seed));
  ask();
}
function useStyle(key, button) {
  page.style = key;
  for (const each of $("style-strip").querySelectorAll("[aria-pressed]")) each.setAttribute("aria-pressed", String(each === button));
  ask();
}
function pictured(caption) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "picture";
  button.setAttribute("aria-pressed", "false");
  const picture = document.createElement("img");
  picture.alt = "";
  const text = document.createElement("span");
  text.textContent = caption;
  button.append(picture, text);
  return [button, picture];
}
async function addStyle(file) {
  quiet();
  const told = await server.style(file);
  let button = document.querySelector(`[data-style="${told.key}"]`);
  if (!button) {
    let picture;
    [button, picture] = pictured(told.name);
    picture.src = told.picture;
    button.title = told.name;
    button.dataset.style = told.key;
    button.addEventListener("click", () => useStyle(told.key, button));
    $("add-style").before(button);
  }
  page.seed = 0;
  $("seed").value = 0;
  useStyle(told.key, button);
}
function showSamples(on) {
  $("sample-strip").hidden = !on;
  $("sample-strip").replaceChildren();
  page.samples = [];
  if (!on) return;
  for (let number = 0; number < SAMPLES; number++) {
    const seed = page.seed + number;
    const [button, picture] = pictured(`seed ${seed}`);
    button.addEventListener("click", () => useSeed(seed));
    page.samples.push({ seed, button, picture, stale: true });
    $("sample-strip").append(button);
  }
  page.samples[0].button.setAttribute("aria-pressed", "true");
  work();
}
$("seed").addEventListener("change", () => useSeed(Number($("seed").value)));
$("next").addEventListener("click", () => useSeed(page.seed + 1));
$("no-style").addEventListener("click", () => useStyle(null, $("no-style")));
$("add-style").addEventListener("click", () => $("style-file").click());
$("style-file").addEventListener("change", () => {
  const [file] = $("style-file").files;
  if (file) trying(() => addStyle(file));
  $("style-file").value = "";
});
$("show-samples").addEventListener("change", () => showSamples($("show-samples").checked));
$("message").querySelector("button").addEventListener("click", quiet);

/* ---- keys ---- */

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select");
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (command && key === "z" && !typing) event.shiftKey ? redo() : undo();
  else if (command && key === "y" && !typing) redo();
  else if (command && key === "s") trying(save);
  else if (typing || command || event.altKey) return;
  else if (key === "b") useTool("brush");
  else if (key === "f") useTool("fill");
  else if (key === "i") useTool("pick");
  else if (key === "[") useSize(page.size - 1);
  else if (key === "]") useSize(page.size + 1);
  else if (key === "n" && about.z) useSeed(page.seed + 1);
  else if (key === "/") { $("search").focus(); $("search").select(); }
  else if (/^[1-9]$/.test(key)) {
    const id = matching()[Number(key) - 1];
    if (id !== undefined) choose(id);
  } else return;
  event.preventDefault();
});

/* ---- begin ---- */

async function begin() {
  about = await server.model();
  document.title = `Paint with labels: ${about.dataset}`;
  $("model").textContent = `${about.dataset}, ${about.width} × ${about.height} px. ${about.name}`;
  document.documentElement.style.setProperty("--aspect", about.width / about.height);
  colours = about.classes.map((each) => each.colour);
  map = new LabelMap(about.width, about.height);
  canvas.width = about.width;
  canvas.height = about.height;
  $("size").max = Math.max(8, Math.round(about.height / 3));
  useSize(Math.max(2, Math.round(about.height / 12)));
  listClasses();
  about.maps.forEach((name, index) => $("start").add(new Option(name, index)));
  $("start").parentElement.hidden = !about.maps.length;
  for (const id of ["look", "samples"]) $(id).hidden = !about.z;
  $("styles").hidden = !about.styles;
  const notes = [];
  if (!about.z) notes.push("This model makes one image of a label map: it takes no z, so there are no seeds, samples or styles.");
  else if (!about.styles) notes.push("This model has no image encoder, so it cannot take the style of an image.");
  $("note").textContent = notes.join(" ");
  $("note").hidden = !notes.length;
  if (about.maps.length) {
    map.ids = await server.start(0);
    $("start").value = "0";
  } else map.ids.fill(about.first);
  sortClasses();
  choose(map.ids[map.ids.length - 1]);
  changed();
}
trying(begin);
