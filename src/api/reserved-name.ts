/** The one name that JavaScript keeps for itself: schemas pass over it in silence, and what it named would be gone. */
const RESERVED = '__proto__';

/** Where in what JSON said that name stands, `metadata.__proto__`; undefined where it does not. However deep: nothing calls itself. */
export function reservedNameIn(value: unknown): string | undefined {
  const open = [{ at: '', value }];
  for (let each = open.pop(); each !== undefined; each = open.pop()) {
    if (typeof each.value !== 'object' || each.value === null) continue;
    for (const [name, inner] of Object.entries(each.value)) {
      const isReserved = name === RESERVED;
      if (!isReserved && typeof inner !== 'object') continue;
      const at = each.at === '' ? name : `${each.at}.${name}`;
      if (isReserved) return at;
      open.push({ at, value: inner });
    }
  }
  return undefined;
}
