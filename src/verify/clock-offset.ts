/**
 * A clock that is off, for the whole process: libraries (a queue's timestamps, a log's) read `Date` as Capybara does, so a
 * clock handed to a few functions would prove less. Monotonic clocks stay right, as on a machine whose wall clock is wrong.
 */
export function offsetClock(ms: number): void {
  if (ms === 0) return;
  const real = Date;
  const now = () => real.now() + ms;
  globalThis.Date = new Proxy(real, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new real(now()).toString(),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  });
}
