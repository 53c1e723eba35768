/** A session's changes on a person's screen. */
import type { Style } from './terminal.ts';
import { neutralised } from './untrusted-text.ts';

/** For a terminal; a pipe gets the bytes as they are. */
export function patchText(patch: Buffer, style: Style): string {
  if (patch.length === 0) return 'No changes.\n';
  const lines = neutralised(patch.toString('utf8')).trimEnd().split('\n');
  return `${lines.map((line) => painted(line, style)).join('\n')}\n`;
}

function painted(line: string, style: Style): string {
  if (/^(diff --git|index|new file|deleted file|similarity|rename|old mode|new mode|--- |\+\+\+ )/.test(line))
    return style.bold(line);
  if (line.startsWith('@@')) return style.dim(line);
  if (line.startsWith('+')) return style.green(line);
  if (line.startsWith('-')) return style.red(line);
  return line;
}
