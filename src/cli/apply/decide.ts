/**
 * The three-way rule, file by file, as pure functions: what stood in the session at its beginning, what stands there now, and what
 * stands here. What a person changed here is never written over.
 */
import type { FileChange, FileVersion } from './changes.ts';

/** What stands at a path of the person's directory. */
export type Here =
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly content: Buffer; readonly isExecutable: boolean }
  | { readonly kind: 'link'; readonly content: Buffer }
  | { readonly kind: 'directory' }
  /** A pipe, a socket, a device. */
  | { readonly kind: 'other' };

export type Decision =
  | { readonly do: 'nothing' }
  | { readonly do: 'write'; readonly content: Buffer; readonly isExecutable: boolean; readonly merged?: true }
  | { readonly do: 'link'; readonly content: Buffer }
  | { readonly do: 'set_mode'; readonly isExecutable: boolean }
  | { readonly do: 'remove' }
  | { readonly do: 'make_directory' }
  /** Where nothing else is in it. */
  | { readonly do: 'remove_directory' }
  /** Line by line. `expected`: what an earlier, interrupted run must have written, where it did. */
  | {
      readonly do: 'merge';
      readonly texts: ThreeTexts;
      readonly isExecutable: boolean;
      readonly expected?: Buffer;
    }
  | { readonly do: 'refuse'; readonly reason: string };

export interface ThreeTexts {
  readonly base: Buffer;
  readonly ours: Buffer;
  readonly theirs: Buffer;
}

const NOTHING = { do: 'nothing' } as const;

export function decide({ before, after, isFound }: Omit<FileChange, 'path'>, here: Here): Decision {
  if (after?.kind === 'directory') return decideDirectory(here);
  if (before?.kind === 'directory') return here.kind === 'directory' ? { do: 'remove_directory' } : NOTHING;
  if (after === undefined) return decideRemoval(before, here);
  if (isSame(here, after)) return modeOf(before, after, here);
  if (here.kind === 'none') {
    return before === undefined || isFound
      ? written(after)
      : refuse('it was removed here, and the session changed it');
  }
  if (before === undefined) return refuse('something else is here under this name');
  return decideContent({ before, after }, here);
}

/** A file that moved: what stands at its old place, and at its new one. */
export function decideMove(
  { before, after }: { readonly before: FileVersion; readonly after: FileVersion },
  { source, target }: { readonly source: Here; readonly target: Here },
): { readonly source: Decision; readonly target: Decision } {
  const moved = (decision: Decision) => ({ source: { do: 'remove' } as const, target: decision });
  const stays = (decision: Decision) => ({ source: NOTHING, target: decision });
  if (source.kind === 'none') {
    const isGone = target.kind === 'none';
    return stays(
      isGone ? refuse('it was removed here, and the session moved it') : decide({ before, after }, target),
    );
  }
  if (target.kind === 'none') {
    const decision = isSame(source, before)
      ? written(after, executable(before, after, source))
      : decideContent({ before, after }, source);
    return decision.do === 'refuse' ? stays(decision) : moved(decision);
  }
  if (isSame(source, before) && isSame(target, after)) return moved(modeOf(before, after, target));
  const merge = isSame(source, before) ? undefined : mergeOf({ before, after }, source);
  if (merge === undefined || target.kind !== 'file')
    return stays(refuse('something else is here under this name'));
  return moved({ ...merge, expected: target.content });
}

function decideDirectory(here: Here): Decision {
  if (here.kind === 'directory') return NOTHING;
  return here.kind === 'none'
    ? { do: 'make_directory' }
    : refuse('a file is here, where the session made a directory');
}

function decideRemoval(before: FileVersion | undefined, here: Here): Decision {
  if (here.kind === 'none') return NOTHING;
  if (isSame(here, before)) return { do: 'remove' };
  return refuse('it was changed here, and the session removed it');
}

/** Both sides have something, and not the same. */
function decideContent(
  versions: { readonly before: FileVersion; readonly after: FileVersion },
  here: Here,
): Decision {
  const { before, after } = versions;
  if (isSame(here, before)) return written(after, executable(before, after, here));
  if (isSame(before, after)) return modeOf(before, after, here);
  return mergeOf(versions, here) ?? refuse('it was changed here too');
}

function mergeOf(
  { before, after }: { readonly before: FileVersion; readonly after: FileVersion },
  here: Here,
): Extract<Decision, { do: 'merge' }> | undefined {
  if (before.kind !== 'file' || after.kind !== 'file' || here.kind !== 'file') return undefined;
  const texts = { base: before.content, ours: here.content, theirs: after.content };
  return { do: 'merge', texts, isExecutable: executable(before, after, here) };
}

function written(after: FileVersion, isExecutable = after.isExecutable): Decision {
  const { content } = after;
  return after.kind === 'link' ? { do: 'link', content } : { do: 'write', content, isExecutable };
}

/** What stands here is what it should be, but perhaps for whether it is executable. */
function modeOf(before: FileVersion | undefined, after: FileVersion, here: Here): Decision {
  if (here.kind !== 'file' || after.kind !== 'file') return NOTHING;
  const isExecutable = executable(before, after, here);
  return isExecutable === here.isExecutable ? NOTHING : { do: 'set_mode', isExecutable };
}

/** Where the session did not change that, it stays as it is here. */
function executable(before: FileVersion | undefined, after: FileVersion, here: Here): boolean {
  const isChanged = before?.kind !== 'file' || before.isExecutable !== after.isExecutable;
  return isChanged || here.kind !== 'file' ? after.isExecutable : here.isExecutable;
}

function isSame(one: Here | FileVersion | undefined, other: FileVersion | undefined): boolean {
  if (one === undefined || other === undefined || one.kind !== other.kind) return false;
  return !('content' in one) || one.content.equals(other.content);
}

function refuse(reason: string): Decision {
  return { do: 'refuse', reason };
}
