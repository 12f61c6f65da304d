// What each stage left out and why: tables of rows, and pictures with the masks that were dropped.
import * as api from "./api.js";
import { el } from "./dom.js";
import { address, cards, counted, filters, last, legend, pager, swatch } from "./parts.js";
import { Picture } from "./picture.js";

const PALETTE = [[230, 80, 60], [255, 176, 0], [60, 140, 255], [200, 90, 255], [0, 200, 120], [0, 200, 220], [255, 110, 180], [150, 150, 150]];
const OF_ALL = "benchmark_data", IN_PICTURES = "filtered_masks";
const read = last();

/** The elements of a state: { stage, shard, reason, start, image }. */
export async function show(state) {
  const { stages, shards } = await api.told("/browse/api/left-out");
  const at = { ...state, stage: state.stage || stages[0], shard: state.shard || shards[0] || "" };
  const wanted = new URLSearchParams({ shard: at.shard, reason: at.reason || "", start: at.start || "0" });
  const found = await api.told(`/browse/api/left-out/${encodeURIComponent(at.stage)}?${wanted}`);
  const choices = [{ name: "stage", words: "Left out by", options: stages.map((name) => [name, name]), drops: ["reason"] }];
  if (at.stage !== OF_ALL) choices.push({ name: "shard", words: "Shard", options: shards.map((name) => [name, name]), drops: ["reason"] });
  if (at.stage !== IN_PICTURES) choices.push({ name: "reason", words: "Reason", options: counted(found.reasons, "any reason", at.reason) });
  const chosen = filters(at, choices);
  if (at.stage === IN_PICTURES && at.image) return [chosen, ...await one(at)];
  const rows = at.stage === IN_PICTURES ? pictures(at, found) : table(at, found.rows);
  return [chosen, ...(at.stage === IN_PICTURES ? [reasons(found.reasons)] : []), pager(at, found), rows];
}

function reasons(counts) {
  return el("ul", { class: "legend" }, Object.entries(counts).map(([reason, count]) => el("li", {}, `${reason}: ${count}`)));
}

function pictures(at, found) {
  return cards(found.rows.map(({ image_id, masks, dropped }) => ({
    href: address(at, { image: image_id }),
    picture: `/browse/api/shard-picture/${encodeURIComponent(at.shard)}/${image_id}?small=true`,
    lines: [`image ${image_id}`, `${dropped} of ${masks} masks dropped`],
  })));
}

function table(at, rows) {
  if (!rows.length) return "";
  const columns = Object.keys(rows[0]);
  return el("div", { class: "wide-table", tabindex: 0, role: "region", "aria-label": "What was left out" }, el("table", {},
    el("thead", {}, el("tr", {}, columns.map((column) => el("th", { scope: "col" }, column)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, columns.map((column) => el("td", {}, cell(at, column, row[column]))))))));
}

/** A value; the picture of a copy is in the training set's pages. */
function cell(at, column, value) {
  if (value === null || value === undefined) return "";
  if (column !== "image_id" || at.stage !== "training_set") return String(value);
  return el("a", { href: address({ page: "training", shard: at.shard, image: value }) }, String(value));
}

async function one(at) {
  const place = `${encodeURIComponent(at.shard)}/${encodeURIComponent(at.image)}`;
  const { row, picture } = await read(place, async () => {
    const row = await api.told(`/browse/api/dropped/${place}`);
    return { row, picture: new Picture(row.size, `/browse/api/shard-picture/${place}`, row.file_name) };
  });
  const names = [...new Set(row.masks.map(({ reason }) => reason))].sort();
  const colour = (mask) => PALETTE[names.indexOf(mask.reason) % PALETTE.length];
  const list = el("ul", { class: "rows", tabindex: 0, "aria-labelledby": "masks-title" }, row.masks.map((mask, i) => {
    const lit = () => picture.light(i);
    return el("li", {}, el("button", { type: "button", onmouseenter: lit, onfocus: lit }, swatch(colour(mask)), el("span", {}, mask.reason), el("span", { class: "soft" }, `${mask.area} px`)));
  }));
  const layers = row.masks.map((mask) => ({ mask: mask.segmentation, colour: colour(mask), words: words(mask) }));
  picture.draw(layers, (index) => [...list.children].forEach((item, i) => item.firstChild.classList.toggle("lit", i === index)));
  return [
    el("p", {}, el("a", { href: address(at, { image: "" }) }, "All pictures")),
    el("div", { class: "detail" },
      el("div", {}, picture.element, legend(names.map((name) => [colour({ reason: name }), name]))),
      el("div", {}, el("h2", { id: "masks-title" }, `${row.masks.length} of ${row.present} masks dropped`), list)),
  ];
}

function words({ mask_id, reason, area, predicted_iou, stability_score }) {
  return `${reason}: mask ${mask_id}, ${area} px, predicted IoU ${predicted_iou.toFixed(3)}, stability ${stability_score.toFixed(3)}`;
}
