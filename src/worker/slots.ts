/** Runs acts in the order in which they come, at most `most` at the same time; each is awaited by who handed it over. */
export function atMost(most: number): <T>(act: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let free = most;
  return async (act) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await act();
    } finally {
      // The slot passes to who waits longest, and is free only where nobody does.
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}
