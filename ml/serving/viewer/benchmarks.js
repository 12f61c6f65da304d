// The benchmarks: questions, the worst answered first, and one with truth and answer drawn on its picture.
import * as api from "./api.js";
import { el } from "./dom.js";
import { address, cards, counted, facts, filters, last, legend, pager, ramped, rampLegend, swatch } from "./parts.js";
import { Picture } from "./picture.js";

const TRUE = [60, 140, 255], RIGHT = [46, 204, 113], WRONG = [255, 80, 60], MAP = [255, 196, 0], OTHERS = [190, 190, 190];
const RIGHT_FROM = 0.5; // IoU
const read = last();

/** The elements of a state: { benchmark, split, kind, start, question, side }. */
export async function show(state) {
  const names = await api.told("/browse/api/benchmarks");
  if (!names.length) throw new Error("No benchmark is answered yet: arrcoc run --select +benchmark_scores");
  const at = { ...state, benchmark: state.benchmark || names[0] };
  const wanted = new URLSearchParams({ split: at.split || "", kind: at.kind || "", start: at.start || "0" });
  const found = await api.told(`/browse/api/benchmarks/${encodeURIComponent(at.benchmark)}?${wanted}`);
  const chosen = filters(at, [
    { name: "benchmark", words: "Benchmark", options: names.map((name) => [name, name]), drops: ["split", "kind"] },
    { name: "split", words: "Split", options: counted(found.splits, "any split", at.split) },
    { name: "kind", words: "Kind", options: counted(found.kinds, "any kind", at.kind) },
  ]);
  return [chosen, ...(at.question ? await one(at) : many(at, found))];
}

function many(at, found) {
  const items = found.questions.map(({ query_id, image, text, kind, split, score }) => ({
    href: address(at, { question: query_id }),
    picture: `/browse/api/benchmark-picture?small=true&image=${encodeURIComponent(image)}`,
    lines: [text || "describe the picture", `score ${score.toFixed(2)}`, `${kind}, ${split}`],
  }));
  return [el("p", { class: "soft" }, `The worst answered first. Score: ${found.measure}.`), pager(at, found), cards(items), items.length > 8 ? pager(at, found, "Further pages, below") : ""];
}

async function one(at) {
  const path = `/browse/api/benchmarks/${encodeURIComponent(at.benchmark)}/question?query_id=${encodeURIComponent(at.question)}`;
  const { told, picture } = await read(path, async () => {
    const told = await api.told(path), { image, text } = told.question;
    return { told, picture: new Picture(told.size, `/browse/api/benchmark-picture?image=${encodeURIComponent(image)}`, text || image) };
  });
  const shown = told.given ? relevance(at, told) : regions(told);
  const list = rows(shown.listed, picture);
  picture.draw(shown.layers, (index) => [...list.children].forEach((item) => item.firstChild.classList.toggle("lit", item.dataset.layer === String(index))));
  return [
    el("p", {}, el("a", { href: address(at, { question: "", side: "" }) }, "All questions")),
    el("div", { class: "detail" },
      el("div", {}, picture.element, shown.legend),
      el("div", {}, facts(said(told)), tryIt(at, told.question), el("h2", { id: "list-title" }, shown.title), shown.sides || "", list)),
  ];
}

function said({ question, truth, answer, measure }) {
  const known = { answer: "true answer", answers: "what people said", references: "true captions", present: "is there" };
  const truths = Object.entries(known).filter(([name]) => name in truth).map(([name, words]) => [words, tell(truth[name])]);
  const ours = answer ? answer.text === undefined ? "" : `“${answer.text}”` : "none";
  return [["question", question.text || "describe the picture"], ...truths, ["answer", ours],
    ["score", `${question.score.toFixed(3)} (${measure})`], ["kind", question.kind], ["split", question.split], ["image", question.image]];
}

function tell(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return Array.isArray(value) ? [...new Set(value)].join("; ") : String(value);
}

/** A link that asks the released model the same, where it is served, too. */
function tryIt({ benchmark }, { text, image }) {
  if (document.getElementById("asks").hidden) return "";
  const mode = benchmark === "vqa" ? "question" : text ? "ask" : "caption";
  return el("p", {}, el("a", { href: `/${address({ mode, query: text, example: image })}` }, "Ask the released model"));
}

/** Truth and answers that are regions; the first answer, the map's own region, and the others as they are lit. */
function regions({ size, truth, answer, question }) {
  const layers = [], listed = [];
  const add = (words, told, box, counts, colour, quiet = false) => {
    listed.push({ words, told, colour, layer: layers.length });
    layers.push({ box, mask: counts ? { size, counts } : null, colour, words: `${words} ${told}`, quiet });
  };
  (truth.boxes || []).forEach((box, i) => add("truth", "", box, (truth.counts || [])[i], TRUE));
  const boxes = answer && answer.boxes || [], colour = question.score >= RIGHT_FROM ? RIGHT : WRONG;
  boxes.forEach((box, i) => add(i ? `answer ${i + 1}` : "answer", `score ${answer.scores[i].toFixed(3)}`, box, answer.counts[i], i ? OTHERS : colour, i > 0));
  if (answer && answer.map_counts) add("grounding map", "", answer.map_box, answer.map_counts, MAP, true);
  const names = [[TRUE, "truth"], [colour, `answer, ${question.score >= RIGHT_FROM ? "right" : "wrong"}`], [OTHERS, "further answers, when lit"]];
  if (layers.at(-1)?.colour === MAP) names.push([MAP, "the grounding map's region, when lit"]);
  return { layers, listed, legend: listed.length ? legend(names) : "", title: listed.length ? "Truth and answers" : "" };
}

/** The given masks by relevance: ours, or the true one, as the state's side says. */
function relevance(at, { size, truth, answer, given }) {
  const side = at.side === "truth" ? "truth" : "answer", ours = answer ? answer.relevance : given.map(() => 0);
  const rows = given.map((counts, i) => ({ counts, ours: ours[i], truth: truth.relevance[i], i }));
  const layers = rows.map(({ counts, ours, truth, i }) => {
    const value = side === "truth" ? truth : ours;
    return { mask: { size, counts }, colour: ramped(value), alpha: 0.25 + 0.5 * value, words: `mask ${i + 1}: answer ${ours.toFixed(3)}, truth ${truth.toFixed(3)}` };
  });
  const listed = rows.sort((one, other) => Math.abs(other.ours - other.truth) - Math.abs(one.ours - one.truth))
    .map(({ ours, truth, i }) => ({ words: `mask ${i + 1}`, told: `answer ${ours.toFixed(2)}, truth ${truth.toFixed(2)}`, colour: layers[i].colour, layer: i }));
  const link = (name, words) => el("a", { href: address(at, { side: name }), "aria-current": side === name ? "true" : null }, words);
  const sides = el("p", { class: "sides" }, "Coloured by ", link("answer", "the answer"), " ", link("truth", "the truth"));
  return { layers, listed, sides, legend: rampLegend(), title: "Given masks, the worst judged first" };
}

function rows(listed, picture) {
  return el("ul", { class: "rows", tabindex: listed.length ? 0 : null, "aria-labelledby": "list-title" }, listed.map(({ words, told, colour, layer }) => {
    const lit = () => picture.light(layer);
    return el("li", { "data-layer": layer }, el("button", { type: "button", onmouseenter: lit, onfocus: lit }, swatch(colour), el("span", {}, words), el("span", { class: "soft" }, told)));
  }));
}
