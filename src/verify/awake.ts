const TICK_MS = 100;

/**
 * Calls `late` after `ms` in which this process ran, unless it is called off before. While it stands still (a machine that is
 * paused, a disk that blocks it) its relays stand still too, and nobody behind them is to blame.
 */
export function afterAwake(ms: number, late: () => void): () => void {
  let leftMs = ms;
  // Ticks that were missed do not come later.
  const timer = setInterval(() => {
    leftMs -= TICK_MS;
    if (leftMs > 0) return;
    clearInterval(timer);
    late();
  }, TICK_MS);
  return () => clearInterval(timer);
}
