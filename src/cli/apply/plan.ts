/** What applying changes to a directory comes to, before anything is written. */
import { readdir } from 'node:fs/promises';
import type { FileChange } from './changes.ts';
import { type Decision, decide, decideMove, type Here } from './decide.ts';
import { type Found, placeOf, readHere } from './here.ts';
import { mergeTexts } from './merge-texts.ts';

export type Act = Exclude<Decision, { do: 'nothing' | 'merge' | 'refuse' }>;

export interface Step {
  readonly path: string;
  readonly act: Act;
  /** What was there when it was decided: the step is taken only while that is so. */
  readonly seen: Found;
  /** Removes a file of which another step makes use elsewhere. */
  readonly isMoved?: true;
}

export interface Plan {
  readonly steps: readonly Step[];
  readonly refused: readonly { readonly path: string; readonly reason: string }[];
}

export async function planApply(changes: readonly FileChange[], directory: string): Promise<Plan> {
  const planner = new Planner(changes, directory);
  for (const change of changes) await planner.add(change);
  return { steps: planner.steps, refused: planner.refused };
}

const BLOCKED = { do: 'refuse', reason: 'a part of its path is no directory here' } as const;

class Planner {
  readonly steps: Step[] = [];
  readonly refused: { path: string; reason: string }[] = [];
  readonly #directory: string;
  /** What the session removed, or moved away: files, and directories. */
  readonly #gone: { readonly files: ReadonlySet<string>; readonly directories: ReadonlySet<string> };
  /** What it made files, and directories, that may stand where the other was. */
  readonly #files: ReadonlySet<string>;
  readonly #directories: ReadonlySet<string>;

  constructor(changes: readonly FileChange[], directory: string) {
    this.#directory = directory;
    const gone = (isDirectory: boolean) =>
      new Set(
        changes.flatMap(({ path, from, before, after }) =>
          (before?.kind === 'directory') !== isDirectory ? [] : after === undefined ? [path] : (from ?? []),
        ),
      );
    this.#gone = { files: gone(false), directories: gone(true) };
    const made = (isDirectory: boolean) =>
      new Set(
        changes.flatMap(({ path, after }) =>
          after && (after.kind === 'directory') === isDirectory ? [path] : [],
        ),
      );
    this.#files = made(false);
    this.#directories = made(true);
  }

  async add(change: FileChange): Promise<void> {
    const { path, from, before, after } = change;
    const target = await this.#found(path, after !== undefined);
    if (from === undefined || before === undefined || after === undefined) {
      const isReplaced =
        after === undefined && target.seen.kind === 'directory' && this.#directories.has(path);
      if (isReplaced && before?.kind !== 'directory') return;
      const decision = target.here === undefined ? BLOCKED : decide(change, target.here);
      return this.#take({ path, decision, seen: target.seen });
    }
    const source = await this.#found(from, false);
    if (target.here === undefined || source.here === undefined) {
      return this.#take({ path, decision: BLOCKED, seen: target.seen });
    }
    const decided = decideMove({ before, after }, { source: source.here, target: target.here });
    await this.#take({ path, decision: decided.target, seen: target.seen });
    const isInTheWay = this.#becomesFile(from) || this.#directories.has(from);
    await this.#take({
      path: from,
      decision: decided.source,
      seen: source.seen,
      ...(!isInTheWay && { isMoved: true }),
    });
  }

  /** A directory above the path gives way to a file. */
  #becomesFile(path: string): boolean {
    const names = path.split('/');
    return names.some((_, depth) => this.#files.has(names.slice(0, depth).join('/')));
  }

  /** `here`: what will be there once what the session removed is gone; undefined where the way there is blocked. */
  async #found(
    path: string,
    isWanted: boolean,
  ): Promise<{ readonly seen: Found; readonly here: Here | undefined }> {
    const seen = await readHere(this.#directory, path);
    if (seen.kind === 'blocked') {
      return { seen, here: isWanted && !this.#gone.files.has(seen.by) ? undefined : { kind: 'none' } };
    }
    const isGone = isWanted && (await this.#goes(path, seen.kind === 'directory'));
    return { seen, here: isGone ? { kind: 'none' } : seen };
  }

  /** A file whose removal is decided on by itself, or a directory with nothing in it but such files. */
  async #goes(path: string, isDirectory: boolean): Promise<boolean> {
    if (!isDirectory) return this.#gone.files.has(path);
    if (!this.#gone.directories.has(path)) return false;
    const entries = await readdir(placeOf(this.#directory, path), {
      encoding: 'buffer',
      withFileTypes: true,
    });
    for (const entry of entries) {
      const inner = `${path}/${entry.name.toString('latin1')}`;
      if (!(await this.#goes(inner, entry.isDirectory()))) return false;
    }
    return true;
  }

  async #take({ decision, ...step }: Omit<Step, 'act'> & { readonly decision: Decision }): Promise<void> {
    const settled = decision.do === 'merge' ? await merged(decision) : decision;
    if (settled.do === 'refuse') this.refused.push({ path: step.path, reason: settled.reason });
    else if (settled.do !== 'nothing') this.steps.push({ ...step, act: settled });
  }
}

async function merged({
  texts,
  isExecutable,
  expected,
}: Extract<Decision, { do: 'merge' }>): Promise<Exclude<Decision, { do: 'merge' }>> {
  const text = await mergeTexts(texts);
  switch (text.outcome) {
    case 'conflict':
      return { do: 'refuse', reason: 'it was changed here too, in the same place' };
    case 'no_text':
      return { do: 'refuse', reason: 'it was changed here too, and is no text' };
    case 'merged': {
      const { content } = text;
      if (expected !== undefined && !content.equals(expected))
        return { do: 'refuse', reason: 'something else is here under this name' };
      if (content.equals(expected ?? texts.ours)) return { do: 'nothing' };
      return { do: 'write', content, isExecutable, merged: true };
    }
  }
}
