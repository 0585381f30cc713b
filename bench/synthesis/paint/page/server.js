// What the page asks its server; every refusal becomes an Error with the server's own words.

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is ./run_study.py paint still running?");
  }
  if (response.ok) return response;
  let told;
  try {
    told = (await response.json()).error;
  } catch {
    told = `the server failed (status ${response.status}); its terminal says why`;
  }
  throw new Error(told);
}

const post = (path, body, name = "") =>
  answer(path, { method: "POST", body, headers: { "X-Paint": "1", "X-Name": encodeURIComponent(name) } });
const bytes = (ids) => new Uint8Array(Uint16Array.from(ids).buffer);
const received = async (response) => new Uint16Array(await response.arrayBuffer());

export const model = async () => (await answer("/api/model")).json();
export const start = async (index) => received(await answer(`/api/maps/${index}`));
export const load = async (file) => received(await post("/api/load", file, file.name));
export const save = async (ids) => (await post("/api/save", bytes(ids))).blob();
export const style = async (file) => (await post("/api/style", file, file.name)).json();
export const render = async (ids, seed, chosen) =>
  (await post(`/api/render?seed=${seed}&style=${chosen ?? ""}`, bytes(ids))).json();
