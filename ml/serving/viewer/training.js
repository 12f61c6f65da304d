// The training set: pictures of a shard, and one with its masks, phrases, queries and the relevance of each mask.
import * as api from "./api.js";
import { el } from "./dom.js";
import { LEVELS } from "./masks.js";
import { address, cards, counted, facts, filters, last, legend, pager, ramped, rampLegend, swatch } from "./parts.js";
import { Picture } from "./picture.js";

const TARGET = [255, 60, 60], ANCHOR = [255, 255, 255];
const read = last();

/** The elements of a state: { shard, level, kind, start, image, query }. */
export async function show(state) {
  const shards = await api.told("/browse/api/training-set");
  if (!shards.length) throw new Error("No shard has labels yet: arrcoc run --select +pseudo_labels");
  const at = { ...state, shard: state.shard || shards[0] };
  const wanted = new URLSearchParams({ level: at.level || "", kind: at.kind || "", start: at.start || "0" });
  const found = await api.told(`/browse/api/training-set/${encodeURIComponent(at.shard)}?${wanted}`);
  const chosen = filters(at, [
    { name: "shard", words: "Shard", options: shards.map((name) => [name, name]) },
    { name: "level", words: "Masks of level", options: counted(found.levels, "any level", at.level) },
    { name: "kind", words: "Queries of kind", options: counted(found.kinds, "any kind", at.kind) },
  ], at.image ? ["image"] : []);
  return [chosen, ...(at.image ? await one(at) : many(at, found))];
}

function many(at, found) {
  const items = found.images.map(({ image_id, caption, file_name, masks, queries, asked }) => ({
    href: address(at, { image: image_id }),
    picture: `/browse/api/shard-picture/${encodeURIComponent(at.shard)}/${image_id}?small=true`,
    lines: [caption || file_name, `${masks} masks, ${queries} queries`, ...(at.kind ? asked : [])],
  }));
  return [pager(at, found), cards(items), found.images.length > 8 ? pager(at, found, "Further pages, below") : ""];
}

async function one(at) {
  const place = `${encodeURIComponent(at.shard)}/${encodeURIComponent(at.image)}`;
  const held = await read(place, async () => {
    const row = await api.told(`/browse/api/training-set/${place}`);
    return { row, picture: new Picture(row.size, `/browse/api/shard-picture/${place}`, row.caption || row.file_name) };
  });
  const { row, picture } = held, asked = row.queries[at.query], relevance = asked ? row.relevance[at.query] : null;
  const shown = row.masks.map((mask, i) => ({ ...mask, i, relevance: relevance && relevance[i] })).filter(({ level }) => !at.level || at.level === level);
  shown.sort((one, other) => relevance ? other.relevance - one.relevance : other.area - one.area);
  const list = masks(shown, picture);
  picture.draw([...shown.map(layer), ...meant(row, asked)], (index) => [...list.children].forEach((item, i) => item.firstChild.classList.toggle("lit", i === index)));
  return [
    el("p", { class: "pager" }, el("a", { href: address(at, { image: "", query: "" }) }, "All pictures"),
      el("a", { href: address({ page: "left-out", stage: "filtered_masks", shard: at.shard, image: at.image }) }, "Its masks that were dropped")),
    el("div", { class: "detail" },
      el("div", {}, picture.element, asked ? ramp(asked) : legend(Object.entries(LEVELS).map(([name, colour]) => [colour, name]))),
      el("div", {},
        facts([["caption", row.caption], ["file", row.file_name], ["used for", row.use]]),
        queries(at, row),
        el("h2", { id: "masks-title" }, asked ? "Masks, by relevance" : "Masks, by area"), list,
        questions(row))),
  ];
}

function queries(at, row) {
  const rows = row.queries.map((query, i) => ({ ...query, i })).filter(({ kind }) => !at.kind || at.kind === kind);
  return el("div", {}, el("h2", {}, `Queries (${rows.length})`), el("ul", { class: "rows", tabindex: 0, "aria-label": "Queries" },
    at.query ? el("li", {}, el("a", { href: address(at, { query: "" }) }, "none: colour by level")) : null,
    rows.map(({ text, kind, i }) => el("li", {}, el("a", { href: address(at, { query: i }), "aria-current": at.query === String(i) ? "true" : null }, el("span", {}, text), el("span", { class: "soft" }, kind))))));
}

function masks(shown, picture) {
  return el("ul", { class: "rows", tabindex: 0, "aria-labelledby": "masks-title" }, shown.map((mask, i) => {
    const lit = () => picture.light(i);
    const told = mask.relevance === null ? `${mask.area} px` : mask.relevance.toFixed(2);
    return el("li", {}, el("button", { type: "button", onmouseenter: lit, onfocus: lit }, swatch(colour(mask)), el("span", {}, mask.phrase || "not described"), el("span", { class: "soft" }, `${mask.level}, ${told}`)));
  }));
}

function questions(row) {
  if (!row.questions.length) return "";
  return el("div", {}, el("h2", {}, "Questions"), el("ul", { class: "rows", tabindex: 0, "aria-label": "Questions" }, row.questions.map(({ question, answer }) => el("li", {}, `${question} `, el("strong", {}, answer)))));
}

function colour({ level, relevance }) { return relevance === null ? LEVELS[level] : ramped(relevance); }

function layer(mask) {
  const numbers = `mask ${mask.mask_id}, ${mask.area} px, predicted IoU ${mask.predicted_iou.toFixed(3)}, stability ${mask.stability_score.toFixed(3)}`;
  const relevance = mask.relevance === null ? "" : `relevance ${mask.relevance.toFixed(3)}, `;
  return { mask: mask.segmentation, colour: colour(mask), alpha: mask.relevance === null ? 0.4 : 0.25 + 0.5 * mask.relevance, words: `${mask.phrase || "not described"}: ${relevance}${mask.level}, ${numbers}` };
}

/** The boxes of what a query means, and of what its place is told against. */
function meant(row, asked) {
  if (!asked) return [];
  return [[asked.anchor, ANCHOR], [asked.target, TARGET]].filter(([index]) => index >= 0).map(([index, colour]) => ({ box: row.masks[index].bbox, colour }));
}

function ramp(asked) {
  const boxes = asked.target < 0 ? [] : [[TARGET, "what is meant"], ...(asked.anchor < 0 ? [] : [[ANCHOR, "what it is told against"]])];
  return el("div", {},
    el("p", { class: "legend" }, el("span", {}, `“${asked.text}”`), asked.target < 0 ? " is nothing here: no mask is relevant" : ""),
    rampLegend(), legend(boxes));
}
