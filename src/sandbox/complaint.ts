import type { ChildProcess } from 'node:child_process';
import type { CommandResult } from './sandbox.ts';

/** What a program says when it fails is a line. */
const MAX_LENGTH = 2_000;

/** What comes on stderr is of the programs that confine: the command's own goes to stdout. Throws at an end that one of them speaks of. */
export function complaintOf(
  child: ChildProcess,
  programs: readonly string[],
): (end: CommandResult['end']) => void {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_LENGTH);
  });
  return (end) => {
    const program = programs.find((name) => complaint.startsWith(`${name}: `));
    if (end.type !== 'exit' || end.code === 0 || program === undefined) return;
    const name = program === 'bwrap' ? 'Bubblewrap' : program;
    throw new Error(`${name} could not start the command: ${complaint.slice(program.length + 2).trim()}`);
  };
}
