// The page at /: a picture, a sentence, and what the model makes of them.
import * as api from "./api.js";
import { el } from "./dom.js";
import { LEVELS, runs, paint } from "./masks.js";

const $ = (id) => document.getElementById(id);
const WORDS = { ask: "What to find", question: "What to ask", caption: "Nothing to type: the picture is described" };
const state = { file: null, example: "", answer: null, size: null, heat: null, lit: -1 };

const mode = () => document.querySelector("input[name=mode]:checked").value;
const levels = () => new Set([...document.querySelectorAll("input[name=level]:checked")].map((box) => box.value));

function say(text) { $("said").textContent = text; }

function take(file, example = "") {
  if (!file) return;
  state.file = file;
  state.example = example;
  state.answer = null;
  $("picture").src = URL.createObjectURL(file);
  $("picture").hidden = false;
  $("stage").removeAttribute("data-empty");
  $("masks").replaceChildren();
  for (const button of document.querySelectorAll("#examples button")) button.setAttribute("aria-pressed", button.value === example);
  say("");
  draw();
  if ($("query").value || mode() === "caption") ask();
}

async function ask() {
  if (!state.file) return say("Choose a picture first.");
  if (mode() !== "caption" && !$("query").value.trim()) return say("Type what to look for.");
  const form = new FormData();
  form.append("image", state.file);
  if (mode() !== "caption") { form.append("query", $("query").value); form.append("heat_map", "true"); }
  say("Asking ...");
  remember();
  try { await show(await api.told(`/v1/${mode()}`, { method: "POST", body: form })); } catch (error) { say(error.message); }
}

async function show(told) {
  const { name, version, alias, lineage } = told.model;
  $("model").textContent = version ? `${name} version ${version} (${alias}), ${lineage.slice(0, 10)}` : "an unregistered model";
  state.size = told.size;
  const answer = told.answers ? told.answers[0] : { masks: [] };
  const masks = answer.masks || (answer.evidence ? [answer.evidence] : []);
  state.answer = { box: answer.box || (masks[0] && masks[0].box), masks: masks.map((mask) => ({ ...mask, runs: runs(mask.segmentation) })) };
  state.heat = answer.heat_map ? await glow(answer.heat_map) : null;
  state.lit = -1;
  if (told.caption !== undefined) say(told.caption);
  else if (answer.answer !== undefined) say(answer.answer);
  else say(answer.present ? `score ${answer.score.toFixed(2)}` : `Nothing here is “${answer.query}”; the nearest, score ${answer.score.toFixed(2)}:`);
  list();
  draw();
}

// The grey map as a warm light, clear where nothing is meant, so that the picture stays to be seen.
async function glow(base64) {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const pixels = pen.getImageData(0, 0, image.width, image.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const value = pixels.data[at];
    pixels.data.set([255, 210 - 0.6 * value, 40, 0.75 * value], at);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function list() {
  $("masks").replaceChildren(...state.answer.masks.map((mask, i) => {
    const item = document.createElement("li"), button = document.createElement("button"), swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `rgb(${LEVELS[mask.level]})`;
    button.type = "button";
    button.append(swatch, `${i + 1}. relevance ${mask.relevance.toFixed(2)}`, Object.assign(document.createElement("span"), { className: "level", textContent: `${mask.level}, ${mask.area} px` }));
    for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => light(i));
    item.append(button);
    item.hidden = !levels().has(mask.level);
    return item;
  }));
}

function light(i) {
  state.lit = i;
  [...document.querySelectorAll("#masks button")].forEach((button, k) => button.classList.toggle("lit", k === i));
  const mask = state.answer && state.answer.masks[i];
  $("under").textContent = mask ? `${i + 1}. ${mask.level}, relevance ${mask.relevance.toFixed(2)}, area ${mask.area} px, box ${mask.box.join(", ")}` : "\u00a0";
  draw();
}

function draw() {
  const layer = $("layer"), pen = layer.getContext("2d");
  layer.hidden = !state.answer;
  if (!state.answer) return;
  const [height, width] = state.size;
  Object.assign(layer, { width, height });
  if (state.heat && $("heat").checked) pen.drawImage(state.heat, 0, 0, width, height);
  const wanted = levels();
  state.answer.masks.forEach((mask, i) => {
    if (!wanted.has(mask.level) || (state.lit >= 0 && state.lit !== i)) return;
    paint(pen, mask.runs, LEVELS[mask.level], state.lit === i ? 0.6 : 0.15 + 0.4 * mask.relevance);
  });
  if ($("box").checked && state.answer.box) {
    pen.strokeStyle = "rgb(255, 40, 40)";
    pen.lineWidth = Math.max(2, width / 200);
    pen.strokeRect(...state.answer.box);
  }
}

function under(event) {
  if (!state.answer) return;
  const bounds = $("layer").getBoundingClientRect(), [height, width] = state.size;
  const x = Math.floor((event.clientX - bounds.left) / bounds.width * width), y = Math.floor((event.clientY - bounds.top) / bounds.height * height);
  const wanted = levels();
  light(state.answer.masks.findIndex((mask) => wanted.has(mask.level) && mask.runs.at(x, y)));
}

// The address holds mode, words and example, so that it can be sent to somebody; a picture of one's own stays here.
function remember() {
  const example = state.example ? { example: state.example } : {};
  history.replaceState(null, "", `#${new URLSearchParams({ mode: mode(), query: $("query").value, ...example })}`);
}

function recall() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const radio = document.querySelector(`input[name=mode][value="${CSS.escape(asked.get("mode") || "ask")}"]`);
  if (radio) radio.checked = true;
  $("query").value = asked.get("query") || "";
  adapt();
  if (asked.get("example")) choose(asked.get("example"));
}

/** Take a picture of a benchmark. */
async function choose(image) {
  try { take(await api.file(`/browse/api/benchmark-picture?image=${encodeURIComponent(image)}`), image); } catch (error) { say(error.message); }
}

/** Pictures to try, where the server has some; the words of one stand where none of one's own do. */
async function offer() {
  const here = await api.told("/browse/api").catch(() => null);
  if (!here || here.trouble) return;
  document.querySelector("nav").hidden = false;
  const offered = await api.told("/browse/api/examples").catch(() => []), words = new Set(offered.map(({ text }) => text));
  $("examples").replaceChildren(...offered.map(({ image, text }) => {
    const thumbnail = el("img", { alt: "" });
    api.show(thumbnail, `/browse/api/benchmark-picture?small=true&image=${encodeURIComponent(image)}`).catch(() => {});
    const chosen = () => {
      if (mode() === "ask" && (!$("query").value || words.has($("query").value))) $("query").value = text;
      choose(image);
    };
    const pressed = String(image === state.example);
    return el("button", { type: "button", value: image, "aria-label": `Example: ${text}`, title: text, "aria-pressed": pressed, onclick: chosen }, thumbnail);
  }));
  $("examples").hidden = !offered.length;
}

function adapt() {
  $("words").firstChild.textContent = WORDS[mode()];
  $("query").disabled = mode() === "caption";
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
$("image").addEventListener("change", (event) => take(event.target.files[0]));
for (const box of document.querySelectorAll("#shown input")) box.addEventListener("change", () => { if (state.answer) list(); draw(); });
for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", adapt);
$("stage").addEventListener("mousemove", under);
$("stage").addEventListener("mouseleave", () => light(-1));
for (const event of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(event, (met) => {
    met.preventDefault();
    $("stage").classList.toggle("over", event === "dragover");
    if (event === "drop") take(met.dataTransfer.files[0]);
  });
}
window.addEventListener("hashchange", recall);
api.onKey(() => {
  if (!state.file && location.hash) recall();
  offer();
});
recall();
offer();
