"use strict";
// What the page holds: columns, compressed, of rounded numbers. Decoded once; rows become objects when they are shown.
const FIELDS = ["run", "what", "site", "task"], NONE = 127;

async function inflated(text) {
  const raw = atob(text), packed = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) packed[i] = raw.charCodeAt(i);
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate")));
}
async function integers(column) {
  const planes = new Uint8Array(await (await inflated(column.data)).arrayBuffer()), n = column.count;
  if (column.kind === "u1") return planes;
  const out = column.kind === "u2" ? new Uint16Array(n) : new Int32Array(n);
  for (let p = 0; p < out.BYTES_PER_ELEMENT; p++) for (let i = 0; i < n; i++) out[i] |= planes[p * n + i] << (8 * p);
  return out;
}
async function decimals(column) {
  const [whole, tens] = await Promise.all([integers(column.whole), integers(column.tens)]);
  return i => {
    const e = tens[i] - 128;
    return e === NONE ? null : e < 0 ? whole[i] / 10 ** -e : whole[i] * 10 ** e;
  };
}
async function decodedColumns(columns) {
  const names = Object.keys(columns);
  const read = await Promise.all(names.map(k => columns[k].whole ? decimals(columns[k]) : integers(columns[k])));
  return Object.fromEntries(names.map((k, i) => [k, read[i]]));
}

class Points {
  static async of(packed) {
    const made = new Points();
    [made.series, made.rows] = await Promise.all([decodedColumns(packed.series), decodedColumns(packed.rows)]);
    made.names = packed.names;
    return made;
  }
  nameOf(s, by) {
    return by.map(f => this.names[f][this.series[f][s]]).join(", ");
  }
  matching(chosen) {  // curves whose run, what, site and task are among those chosen
    const sets = FIELDS.map(f => chosen[f] && new Set(chosen[f].map(t => this.names[f].indexOf(t))));
    const found = [];
    for (let s = 0; s < this.series.start.length; s++)
      if (FIELDS.every((f, k) => !sets[k] || sets[k].has(this.series[f][s]))) found.push(s);
    return found;
  }
  decoded(found, by) {
    const out = [], {series, rows, names} = this;
    for (const s of found) {
      const about = Object.fromEntries(FIELDS.map(f => [f, names[f][series[f][s]]]));
      const name = this.nameOf(s, by), depth = series.depth(s);
      for (let i = series.start[s]; i < series.start[s] + series.count[s]; i++) {
        const value = rows.value(i), error = rows.error(i), known = value !== null && error !== null;
        out.push({...about, name, depth, step: rows.step[i], value, error, low: known ? value - error : value,
          high: known ? value + error : value, n: rows.n[i], ceiling: rows.ceiling(i), chance: rows.chance(i),
          reason: names.reason[rows.reason[i]]});
      }
    }
    return out;
  }
}

const COLUMNS = ["run", "what", "site", "task", "step", "value", "error", "n", "ceiling", "chance", "reason"];
function csvCell(v) {
  let text = v === null || v === undefined ? "" : String(v);
  if (typeof v === "string" && /^\s*[=+\-@\t\r\n]/.test(text)) text = "'" + text;  // a sheet would run it as a formula
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}
const csv = (shown, columns = COLUMNS) => [columns, ...shown.map(r => columns.map(c => r[c]))].map(row => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
