// Reads what /metrics says, and estimates from it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const LISTS = new Set(["/v1/recommendations", "/v1/users/{user}/recommendations"]);

/** Name -> rows with labels and value. */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const parts = LINE.exec(line);
    if (!parts) continue;
    const labels = {};
    for (const [, name, value] of (parts[2] ?? "").matchAll(LABEL)) {
      labels[name] = value.replace(/\\(.)/g, (_, one) => (one === "n" ? "\n" : one));
    }
    const rows = found.get(parts[1]) ?? [];
    rows.push({ labels, value: Number(parts[3].replace("+Inf", "Infinity")) });
    found.set(parts[1], rows);
  }
  return found;
}

/** Label -> sum of a counter over all else. */
export function sums(found, name, label) {
  const total = new Map();
  for (const { labels, value } of found.get(name) ?? []) {
    total.set(labels[label], (total.get(labels[label]) ?? 0) + value);
  }
  return total;
}

export const total = (found, name, where = () => true) =>
  (found.get(name) ?? []).reduce((sum, row) => (where(row.labels) ? sum + row.value : sum), 0);

/** Upper bound -> requests for lists that took at most so many seconds. */
export function listSeconds(found) {
  const buckets = new Map();
  for (const { labels, value } of found.get("gnnrec_request_seconds_bucket") ?? []) {
    if (!LISTS.has(labels.route)) continue;
    const bound = Number(labels.le.replace("+Inf", "Infinity"));
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  return buckets;
}

/** What came to the buckets of a histogram since an earlier one. */
export const since = (now, before) => new Map([...now].map(([bound, value]) => [bound, value - (before.get(bound) ?? 0)]));

/** A quantile of a histogram, as if values were spread evenly in each bucket; null where there are none. */
export function quantile(buckets, share) {
  const rows = [...buckets].sort(([one], [other]) => one - other);
  const all = rows.length ? rows[rows.length - 1][1] : 0;
  if (!all) return null;
  let [low, below] = [0, 0];
  for (const [bound, value] of rows) {
    if (value >= share * all) {
      return bound === Infinity ? low : low + ((bound - low) * (share * all - below)) / Math.max(value - below, 1e-9);
    }
    [low, below] = [bound, value];
  }
  return low;
}
