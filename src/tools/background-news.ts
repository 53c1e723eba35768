/** What the model is told of a command that runs in the background. */
import type { BackgroundProcess, ProcessEnd, StopReason } from '../sandbox/background-process.ts';
import type { ToolOutcome } from './tool.ts';

/** What a command is given to say something, before the call that began it answers. */
export const MOMENT_MS = 1_000;

/** Its output since the last time, then whether it still runs. Of one that has ended this is its last news. */
export function describeNews(process: BackgroundProcess): ToolOutcome {
  const { text: output, droppedBytes } = process.take();
  const { end, name } = process;
  const dropped = droppedBytes > 0 ? `(${droppedBytes} bytes of older output were dropped)` : '';
  const parts = [dropped, output, `(${name} ${end === undefined ? RUNS : sayEnd(end)})`];
  const text = parts
    .filter((part) => part !== '')
    .reduce((before, part) => (before.endsWith('\n') ? before + part : `${before}\n${part}`));
  if (end === undefined || process.isTold) return { text };
  process.isTold = true;
  return { text, processes: { ended: [process.ended()] } };
}

/** For commands that Capybara ended, and the model does not know it yet. */
export function describeCutOff(processes: readonly BackgroundProcess[]): string {
  const lines = processes.map((process) => {
    const { name, end, known } = process;
    const said = process.tail(SHOWN_OUTPUT).trim();
    const last = said === '' ? '' : `\n  It said last:\n${said}`;
    return `- ${name} (${firstLine(known.command)}) ${end === undefined ? RUNS : sayEnd(end)}${last}`;
  });
  return (
    'These background commands were cut off, and bash_poll knows them no more. Start again what you still need; look at files that ' +
    `they were writing before you rely on them.\n${lines.join('\n')}`
  );
}

/** Characters of a command, and of its last output, in a notice. */
const SHOWN_COMMAND = 200;
const SHOWN_OUTPUT = 1_000;

function firstLine(command: string): string {
  const [line = ''] = command.split('\n');
  const isWhole = line.length === command.length && line.length <= SHOWN_COMMAND;
  return isWhole ? line : `${line.slice(0, SHOWN_COMMAND)}…`;
}

const RUNS = 'is still running';

/** Completes the sentence that begins with its name. */
export function sayEnd(end: ProcessEnd): string {
  switch (end.type) {
    case 'exit':
      return `has ended: exit code ${end.code}`;
    case 'signal':
      return `has ended: it was killed by signal ${end.signal}`;
    case 'timeout':
      return 'has ended: it was killed, since it had run for as long as a background command may';
    case 'aborted':
      return 'has ended: it was killed with its sandbox';
    case 'limit':
      if (end.limit === 'memory') return 'has ended: it was killed, since its memory ran out';
      return 'has ended: it was killed, since the disk was about to be full and it wrote most; what was written since the last call may be gone';
    case 'stopped':
      return `has ended: ${WHY[end.why]}`;
  }
}

const WHY: Readonly<Record<StopReason, string>> = {
  kill: 'it was killed',
  idle: 'it was killed, since nobody had worked on the session for long',
  undo: 'it was killed, so that the files could be put back',
  moved: 'it was killed, since the session went on elsewhere',
  task: 'it was killed, since the task was about to end',
  drain: 'it was killed, since its worker was stopped',
  lost: 'its worker was lost, and it with it',
};
