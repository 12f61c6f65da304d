// What the pages of /browse are made of: links to states, filters, cards, pagers, legends.
import * as api from "./api.js";
import { el } from "./dom.js";

const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis

/** The address of a state with changes; what is empty is left out. */
export function address(state, changes = {}) {
  const wanted = Object.entries({ ...state, ...changes }).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `#${new URLSearchParams(wanted)}`;
}

/** Lists to choose from; a choice leads to the first page, and away from whatever is shown alone.
 *  @param choices [{ name, words, options: [[value, words]], drops }]; `drops`: the choices that mean nothing after it
 *  @param kept names in the state that a choice leaves as they are */
export function filters(state, choices, kept = []) {
  const names = ["page", ...choices.map(({ name }) => name), ...kept];
  const now = () => { // of the address: what is shown may still be that of the choice before
    const asked = new URLSearchParams(location.hash.slice(1));
    return Object.fromEntries(names.map((name) => [name, asked.get(name)]));
  };
  const without = (drops) => Object.fromEntries(drops.map((name) => [name, ""]));
  return el("form", { onsubmit: (event) => event.preventDefault() }, choices.map(({ name, words, options, drops = [] }) =>
    el("label", {}, words, el("select", { id: `filter-${name}`, onchange: (event) => { location.hash = address(now(), { ...without(drops), [name]: event.target.value }); } },
      options.map(([value, text]) => el("option", { value, selected: (state[name] || "") === value }, text))))));
}

/** Options with their counts, after one for all of them; the one that is chosen is among them though nothing has it. */
export function counted(counts, all, chosen) {
  const known = chosen && !(chosen in counts) ? { ...counts, [chosen]: 0 } : counts;
  return [["", all], ...Object.entries(known).map(([name, count]) => [name, `${name} (${count})`])];
}

/** Pictures that lead to states: [{ href, picture, lines }]; the first line is the name of the link. */
export function cards(items) {
  return el("ul", { class: "cards" }, items.map(({ href, picture, lines }) => {
    const image = el("img", { alt: "" });
    if (picture) api.show(image, picture).catch(() => {});
    const [first, ...others] = lines;
    return el("li", {}, el("a", { href }, image, el("div", {}, el("span", {}, first), others.map((line) => el("span", { class: "soft" }, line)))));
  }));
}

/** Where one is in what is counted, and the ways on and back. */
export function pager(state, { start, page, total }, name = "Further pages") {
  const to = (words, where, there) => there ? el("a", { href: address(state, { start: where || "" }) }, words) : null;
  return el("nav", { class: "pager", "aria-label": name },
    el("span", {}, total ? `${start + 1} to ${Math.min(start + page, total)} of ${total}` : "Nothing here."),
    to("Back", Math.max(0, start - page), start > 0), to("Next", start + page, start + page < total));
}

/** What the colours mean: [[rgb, words]]. */
export function legend(items) {
  return el("ul", { class: "legend" }, items.map(([colour, words]) => el("li", {}, swatch(colour), words)));
}

/** A square of a colour. */
export function swatch(colour) { return el("span", { class: "swatch", style: `background: rgb(${colour})` }); }

/** The colour of a relevance in [0, 1]. */
export function ramped(value) {
  const place = Math.min(Math.max(value, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[low].map((channel, i) => Math.round(channel + (RAMP[low + 1][i] - channel) * (place - low)));
}

/** What the colours of relevance mean. */
export function rampLegend() { return el("div", { class: "legend" }, "relevance 0", el("span", { class: "ramp" }), "1"); }

/** Names and values. */
export function facts(pairs) { return el("dl", {}, pairs.filter(([, value]) => value !== "").flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])); }

/** Remembers the last thing that was read, so that a choice within it reads nothing anew. */
export function last() {
  let held = {};
  return async (key, read) => {
    if (held.key !== key) held = { key, value: await read() };
    return held.value;
  };
}
