/** What `capybara doctor` prints. */
import { oneLine } from './untrusted-text.ts';

interface Found {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'wrong';
  readonly found: string;
  readonly cure?: string;
}

const MARKS = { ok: '✓', warning: '!', wrong: '✗' } as const;
const ASCII_MARKS = { ok: '+', warning: '!', wrong: 'x' } as const;
const MAX_LENGTH = 1_000;

/** A line for each thing, and how many have to be mended. */
export function doctorReport(
  checks: readonly Found[],
  { isUnicode }: { readonly isUnicode: boolean },
): string {
  const marks = isUnicode ? MARKS : ASCII_MARKS;
  const lines = checks.map(({ name, state, found, cure }) => {
    const mend = cure === undefined ? '' : `: ${cure}`;
    return oneLine(`${marks[state]} ${name}: ${found}${mend}.`, MAX_LENGTH);
  });
  return `${[...lines, verdict(checks)].join('\n')}\n`;
}

function verdict(checks: readonly Found[]): string {
  const [wrong = 0, warned = 0] = (['wrong', 'warning'] as const).map(
    (wanted) => checks.filter(({ state }) => state === wanted).length,
  );
  const must = wrong === 0 ? 'Nothing must be mended' : `${things(wrong)} must be mended`;
  return warned === 0 ? `${must}.` : `${must}; ${things(warned).toLowerCase()} could be better (!).`;
}

function things(count: number): string {
  return count === 1 ? 'One thing' : `${count} things`;
}
