/** What calls return: the same lines whichever version control answered. */
import { visible } from '../../workspace/file-tree.ts';
import type { Branch, Revision, Status, Vcs } from './vcs.ts';

/** Files of a status; more are counted. */
export const MAX_CHANGES = 1_000;
/** Branches of a list; more are counted. */
export const MAX_BRANCHES = 500;
const MAX_SUBJECT_CHARS = 500;

export function describeStatus({ name }: Vcs, { branch, revision, notes = [], changes }: Status): string {
  const head = [
    `system: ${name}`,
    `branch: ${branch === undefined ? '(none)' : visible(branch)}`,
    `revision: ${revision ?? '(no commit yet)'}`,
    ...notes.map(visible),
  ];
  if (changes.length === 0) return [...head, '(no changes)'].join('\n');
  const sorted = changes.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const lines = sorted.slice(0, MAX_CHANGES).map(({ letter, path, from }) => {
    return `${letter} ${from === undefined ? '' : `${visible(from)} -> `}${visible(path)}`;
  });
  const rest = changes.length - lines.length;
  return [...head, ...lines, ...(rest > 0 ? [`(${rest} more changed files)`] : [])].join('\n');
}

export function describeRevisions(revisions: readonly Revision[]): string {
  if (revisions.length === 0) return '(no commits)';
  return revisions
    .map(({ id, date, author, subject }) => {
      const short =
        subject.length > MAX_SUBJECT_CHARS ? `${subject.slice(0, MAX_SUBJECT_CHARS)}...` : subject;
      return `${id} ${date} ${visible(author)}: ${visible(short)}`;
    })
    .join('\n');
}

export function describeBranches(branches: readonly Branch[]): string {
  if (branches.length === 0) return '(no branches)';
  const sorted = branches.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const lines = sorted
    .slice(0, MAX_BRANCHES)
    .map(({ name, isCurrent }) => `${isCurrent ? '*' : ' '} ${visible(name)}`);
  const rest = branches.length - lines.length;
  return [...lines, ...(rest > 0 ? [`(${rest} more branches)`] : [])].join('\n');
}
