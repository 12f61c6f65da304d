// What the pages ask of the server, with the key where it wants one. The key lives as long as the tab.
const KEY = "arrcoc-key";
const field = document.getElementById("key");

field.value = sessionStorage.getItem(KEY) || "";
field.addEventListener("change", () => sessionStorage.setItem(KEY, field.value));

/** Call `again` when a key was typed. */
export function onKey(again) { field.addEventListener("change", again); }

/** The response of the server; null where it does not answer. Where it wants a key, the field for it is shown. */
export async function ask(path, options = {}) {
  const headers = field.value ? { Authorization: `Bearer ${field.value}` } : {};
  const response = await fetch(path, { ...options, headers }).catch(() => null);
  document.querySelector(".key").hidden = !response || response.status !== 401;
  return response;
}

/** What the server tells, as JSON. Throws an Error with its one line where it refuses. */
export async function told(path, options = {}) {
  const response = await ask(path, options);
  const body = response && await response.json().catch(() => null);
  if (!body) throw new Error("The server does not answer.");
  if (!response.ok) throw new Error(body.error);
  return body;
}

/** A file of the server. Throws an Error with its one line where it refuses. */
export async function file(path) {
  const response = await ask(path);
  if (!response) throw new Error("The server does not answer.");
  if (!response.ok) throw new Error((await response.json()).error);
  return response.blob();
}

/** Have an <img> show a picture of the server: its address alone would not bring the key. */
export async function show(image, path) {
  const address = URL.createObjectURL(await file(path));
  image.src = address;
  try { await image.decode(); } finally { URL.revokeObjectURL(address); }
}
