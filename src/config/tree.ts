/** Puts a value where a path leads in a tree of maps. Something else than a map that stands in the way is replaced. */
export function put(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path;
  if (name === undefined) return;
  if (rest.length === 0) {
    set(tree, name, value);
    return;
  }
  const there = Object.hasOwn(tree, name) ? tree[name] : undefined;
  const branch = typeof there === 'object' && there !== null ? there : {};
  set(tree, name, branch);
  put(branch as Record<string, unknown>, rest, value);
}

/** People choose some of the names: `__proto__` is one like any other. */
function set(tree: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(tree, name, { value, enumerable: true, configurable: true, writable: true });
}
