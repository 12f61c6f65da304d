export async function show(state) { return []; }
