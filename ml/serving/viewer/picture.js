// A picture under masks and boxes; what is under the pointer, or lit from a list, tells its words.
import * as api from "./api.js";
import { el } from "./dom.js";
import { paint, runs } from "./masks.js";

const FINE = 1024; // pixels in width that are drawn on at least: boxes on small pictures are sharp
const NOTHING = "\u00a0";

export class Picture {
  /** @param size [height, width] in pixels
   *  @param path of the picture on the server */
  constructor([height, width], path, alt) {
    Object.assign(this, { height, width, layers: [], lit: -1, scale: Math.max(1, Math.ceil(FINE / width)) });
    this.canvas = el("canvas", { width: width * this.scale, height: height * this.scale });
    this.image = el("img", { alt, width, height });
    this.words = el("figcaption", {}, NOTHING);
    const stage = el("div", { class: "picture", onmousemove: (event) => this.under(event), onmouseleave: () => this.light(-1) }, this.image, this.canvas);
    this.element = el("figure", {}, stage, this.words);
    api.show(this.image, path).catch((error) => { this.words.textContent = error.message; });
  }

  /** Show layers: [{ mask: { size, counts }, box: [x, y, w, h], colour: [r, g, b], alpha, words, quiet }], masks or boxes
   *  or both; what is quiet is seen when it is lit. The smaller a mask, the higher it lies. `onlight` is called with the index of the one that is lit, -1 for none. */
  draw(layers, onlight = () => {}) {
    this.layers = layers.map((layer, index) => ({ ...layer, index, runs: layer.mask ? runs(layer.mask) : null }));
    this.layers.sort((one, other) => area(other) - area(one));
    this.onlight = onlight;
    this.light(-1);
  }

  /** Light the layer of an index; the others step back. */
  light(index) {
    this.lit = index;
    const layer = this.layers.find((layer) => layer.index === index);
    this.words.textContent = layer ? layer.words : NOTHING;
    this.onlight(index);
    this.paint();
  }

  paint() {
    const pen = this.canvas.getContext("2d");
    pen.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const seen = this.layers.filter(({ index, quiet }) => this.lit < 0 ? !quiet : this.lit === index);
    for (const { index, runs: mask, colour, alpha = 0.45 } of seen) if (mask) paint(pen, mask, colour, this.lit === index ? 0.6 : alpha);
    for (const { box, colour } of seen) if (box) this.frame(pen, box, colour);
  }

  frame(pen, box, colour) {
    const width = Math.max(1, this.width / 256);
    for (const [line, ink] of [[3 * width, "rgba(0, 0, 0, .6)"], [1.5 * width, `rgb(${colour})`]]) {
      Object.assign(pen, { lineWidth: line, strokeStyle: ink });
      pen.strokeRect(...box);
    }
  }

  under(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - bounds.left) / bounds.width * this.width), y = Math.floor((event.clientY - bounds.top) / bounds.height * this.height);
    const found = this.layers.findLast((layer) => layer.runs && !layer.quiet && layer.runs.at(x, y));
    const index = found ? found.index : -1;
    if (index !== this.lit) this.light(index);
  }
}

function area({ runs: mask }) { return mask ? mask.spans.reduce((sum, [start, end]) => sum + end - start, 0) : 0; }
