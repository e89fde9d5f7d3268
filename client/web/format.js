/* Numbers and times as people read them. What is not known is an en dash. */
const UNKNOWN = "–";
const LARGE = 1e6;

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

const DURATIONS = [
  { below: 3600, large: 60, small: 1, units: ["m", "s"] },
  { below: 86400, large: 3600, small: 60, units: ["h", "m"] },
  { below: Infinity, large: 86400, small: 3600, units: ["d", "h"] },
];

/* 47s, 3m25s, 1h02m, 2d03h */
export function duration(seconds) {
  if (!isNumber(seconds) || seconds < 0)
    return UNKNOWN;
  const whole = Math.round(seconds);
  if (whole < 60)
    return `${whole}s`;
  const row = DURATIONS.find((r) => whole < r.below);
  const small = Math.floor((whole % row.large) / row.small);
  return `${Math.floor(whole / row.large)}${row.units[0]}${String(small).padStart(2, "0")}${row.units[1]}`;
}

export function ageSeconds(time) {
  return time ? Math.max(0, (Date.now() - Date.parse(time)) / 1000) : NaN;
}

export function clock(time) {
  return time ? new Date(time).toLocaleString() : UNKNOWN;
}

export function fixed(value, digits) {
  return isNumber(value) && Math.abs(value) < LARGE ? value.toFixed(digits) : short(value);
}

/* Few digits over any range: learning rates, gradient norms, and what a diverging job shows. */
export function short(value) {
  if (!isNumber(value))
    return UNKNOWN;
  return Math.abs(value) < LARGE ? String(Number(value.toPrecision(4)))
    : Number(value.toPrecision(3)).toExponential().replace("+", "");
}

export function count(value) {
  return isNumber(value) ? value.toLocaleString("en") : UNKNOWN;
}

export function percent(share) {
  return isNumber(share) ? `${Math.floor(100 * share)} %` : UNKNOWN;
}

export function bytes(value) {
  if (!isNumber(value))
    return UNKNOWN;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let u = 0;
  while (value >= 999.95 && u + 1 < units.length) {
    value /= 1000;
    u++;
  }
  return `${u ? value.toFixed(1) : value} ${units[u]}`;
}
