/** A command line that is not finished, as a shell tells of it. */

export type Shell = 'bash' | 'zsh' | 'fish';
export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

export interface Line {
  /** What stands before the word that is being typed, without the program. */
  readonly before: readonly string[];
  /** What there is of that word. */
  readonly current: string;
  /** How much of `current` the shell keeps by itself: it replaces what follows alone. */
  readonly kept: number;
}

/** `words`: all after the program, the one that is being typed at the end. */
export function readLine(shell: Shell, words: readonly string[]): Line {
  const whole = shell === 'bash' ? joined(words) : words;
  const current = whole.at(-1) ?? '';
  const kept = shell === 'bash' ? Math.max(current.lastIndexOf('='), current.lastIndexOf(':')) + 1 : 0;
  return { before: whole.slice(0, -1), current, kept };
}

/** Bash parts words at `=` and `:` (COMP_WORDBREAKS): `--mode=safe` comes as three. */
function joined(words: readonly string[]): string[] {
  const whole: string[] = [];
  for (const [index, word] of words.entries()) {
    const isBreak = /^[=:]+$/.test(word);
    const follows = index > 0 && /^[=:]+$/.test(words[index - 1] ?? '');
    if ((isBreak || follows) && whole.length > 0) whole.push(`${whole.pop()}${word}`);
    else whole.push(word);
  }
  return whole;
}
