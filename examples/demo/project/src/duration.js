const UNITS = [
  ['h', 3600],
  ['m', 60],
  ['s', 1],
];

/** 3725 → "1h 2m 5s". Units that are zero are left out; zero seconds is "0s". */
export function formatDuration(seconds) {
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(`${count}${unit}`);
  }
  return parts.join(' ') || '0s';
}
