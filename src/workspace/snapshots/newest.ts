/** Puts a value into a cache as its newest, and lets the oldest go where there are too many. */
export function keepNewest<T>(
  cache: Map<string, T>,
  { key, value, limit }: { key: string; value: T; limit: number },
): void {
  cache.delete(key);
  cache.set(key, value);
  const [oldest] = cache.keys();
  if (cache.size > limit && oldest !== undefined) cache.delete(oldest);
}
