/** Ripgrep over the workspace: by this process where nothing else is at the files, else in the sandbox. */
import { randomUUID } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import {
  recordsOf,
  ripgrepCommand,
  ripgrepEnd,
  runRipgrep,
  type Search,
  type SearchEnd,
} from '../workspace/ripgrep.ts';
import { lookingPlaces } from './command-places.ts';
import type { ToolContext } from './tool.ts';
import { quoted } from './vcs/programs.ts';

const MAX_COMPLAINT_CHARS = 2_000;

/**
 * Ripgrep goes by paths. A background command could put a link into one, and have this process, which is not confined, read what
 * it leads to: while there is one, the search sees what commands see.
 */
export async function searchFiles(
  context: ToolContext,
  search: Omit<Search, 'workspace' | 'signal'>,
): Promise<SearchEnd> {
  const { workspace, sandbox, background, signal } = context;
  const whole = { ...search, workspace, signal };
  return sandbox.confined && background.isRunning ? confined(context, whole) : runRipgrep(whole);
}

async function confined({ workspace, sandbox }: ToolContext, search: Search): Promise<SearchEnd> {
  const [program = '', ...args] = await ripgrepCommand(search);
  const places = await lookingPlaces(workspace, sandbox);
  const real = await realpath(program);
  const stopped = new AbortController();
  const records = recordsOf(search, () => stopped.abort());
  const mark = randomUUID();
  const output = untilMark(mark, records.push);
  const { end } = await sandbox.run(
    {
      ...places,
      readable: [...(places.readable ?? []), real],
      script: `exec 3>&1
complaint=$(${[real, ...args].map(quoted).join(' ')} 2>&1 >&3 3>&-)
code=$?
printf '%s%s' ${mark} "$complaint"
exit $code`,
      timeoutMs: search.timeoutMs,
      keepsOutput: false,
      onOutput: output.push,
    },
    AbortSignal.any([search.signal, stopped.signal]),
  );
  if (stopped.signal.aborted) return { type: 'stopped' };
  if (end.type === 'timeout' || end.type === 'aborted') return end;
  records.end();
  return ripgrepEnd(end.type === 'exit' ? end.code : null, output.behind().slice(0, MAX_COMPLAINT_CHARS));
}

/** Hands on what comes before the mark, which may come in pieces, and keeps what comes behind it. */
function untilMark(mark: string, onText: (text: string) => void) {
  let waiting = '';
  let behind: string | undefined;
  return {
    push: (text: string): void => {
      if (behind !== undefined) {
        behind += text;
        return;
      }
      const all = waiting + text;
      const at = all.indexOf(mark);
      if (at >= 0) behind = all.slice(at + mark.length);
      // As much as may be the mark's beginning waits.
      const end = at >= 0 ? at : Math.max(0, all.length - mark.length + 1);
      waiting = all.slice(end);
      onText(all.slice(0, end));
    },
    behind: () => behind ?? '',
  };
}
