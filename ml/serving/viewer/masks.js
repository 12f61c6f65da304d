// COCO run lengths: pixels are numbered down the columns, runs of zeros first.

export const LEVELS = { part: [255, 196, 0], object: [0, 200, 120], group: [60, 140, 255], scene: [200, 90, 255] }; // their colours

/** Run lengths of a compressed string, as pycocotools' rleFrString reads them. */
export function decode(counts) {
  const found = [];
  for (let at = 0; at < counts.length;) {
    let value = 0, shift = 0, group;
    do {
      group = counts.charCodeAt(at++) - 48;
      value |= (group & 0x1f) << shift;
      shift += 5;
    } while (group & 0x20);
    if (group & 0x10 && shift < 32) value |= -1 << shift;
    if (found.length > 2) value += found[found.length - 2];
    found.push(value);
  }
  return found;
}

/** A mask that can be painted, and asked for a pixel. */
export function runs({ size: [height, width], counts }) {
  const spans = [];
  let pixel = 0;
  decode(counts).forEach((length, i) => {
    if (i % 2 && length) spans.push([pixel, pixel + length]);
    pixel += length;
  });
  const at = (x, y) => {
    const wanted = x * height + y;
    return spans.some(([start, end]) => start <= wanted && wanted < end);
  };
  return { height, width, spans, at };
}

/** Fill a mask: a rectangle for each part of a run that lies in one column, and for whole columns between. */
export function paint(pen, { height, spans }, colour, alpha) {
  pen.fillStyle = `rgba(${colour}, ${alpha})`;
  for (const [start, end] of spans) {
    for (let pixel = start; pixel < end;) {
      const column = Math.floor(pixel / height), row = pixel % height;
      const whole = row === 0 ? Math.floor((end - pixel) / height) : 0;
      const length = whole ? whole * height : Math.min(height - row, end - pixel);
      pen.fillRect(column, row, Math.max(whole, 1), whole ? height : length);
      pixel += length;
    }
  }
}
