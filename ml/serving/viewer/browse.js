// The page /browse: its address after the # says what is shown, so that every state can be sent to somebody.
import * as api from "./api.js";
import * as benchmarks from "./benchmarks.js";
import * as leftOut from "./left-out.js";
import * as training from "./training.js";

const PAGES = { training, "left-out": leftOut, benchmarks };
const $ = (id) => document.getElementById(id);
let turn = 0;

/** Show what the address says; an answer that comes after the address has changed is dropped. */
async function show() {
  const mine = ++turn, state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const name = PAGES[state.page] ? state.page : "training";
  for (const tab of document.querySelectorAll("nav[aria-label=Pages] a")) mark(tab, tab.hash === `#page=${name}`);
  $("said").textContent = "Reading ...";
  const { content, said } = await read(name, state);
  if (mine !== turn) return;
  const focused = document.activeElement && { id: document.activeElement.id, href: document.activeElement.getAttribute("href") };
  $("content").replaceChildren(...content);
  $("said").textContent = said;
  focus(focused);
  document.querySelector(".rows [aria-current]")?.scrollIntoView({ block: "nearest" });
}

async function read(name, state) {
  try {
    const here = await api.told("/browse/api");
    $("asks").hidden = !here.asks;
    if (here.trouble) return { content: [], said: here.trouble };
    return { content: await PAGES[name].show({ ...state, page: name }), said: "" };
  } catch (error) {
    return { content: [], said: error.message };
  }
}

function mark(tab, current) {
  if (current) tab.setAttribute("aria-current", "page");
  else tab.removeAttribute("aria-current");
}

/** The keyboard stays where it was, though what it stood on was made anew. */
function focus({ id, href }) {
  const same = id ? $(id) : [...document.querySelectorAll("#content a")].find((link) => href && link.getAttribute("href") === href);
  if (same && same !== document.activeElement) same.focus({ preventScroll: true });
}

window.addEventListener("hashchange", show);
api.onKey(show);
show();
