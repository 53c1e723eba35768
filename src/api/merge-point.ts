import { fromPublicId, toPublicId } from '../core/id.ts';
import { type MergePoint, readMergePoint } from '../store/revisions.ts';
import type { ApiDeps } from './deps.ts';
import { conflict, notFound } from './problem.ts';

/** What two sessions have in common. */
export type CommonPoint = Extract<MergePoint, { outcome: 'found' }>;

/** Throws `ApiProblem` where there is no such session, or the two have nothing in common. */
export async function mergePointOf(
  { db }: ApiDeps,
  { teamId, into, from }: { readonly teamId: string; readonly into: string; readonly from: string },
): Promise<CommonPoint> {
  if (into === from) throw sameSession(into);
  const point = await readMergePoint(db, { teamId, into, from });
  const [one, other] = [toPublicId('session', into), toPublicId('session', from)];
  switch (point.outcome) {
    case 'found':
      return point;
    case 'not_found':
      throw notFound(`session ${one}, or no session ${other}`);
    case 'unrelated':
      throw conflict(
        'nothing_common',
        `The sessions ${one} and ${other} have no files in common to merge from: expected a fork of one another, or of a third.`,
        'from',
      );
  }
}

function sameSession(id: string) {
  return conflict(
    'nothing_common',
    `Both are the same session, ${toPublicId('session', id)}: expected another one to merge from.`,
    'from',
  );
}

export function otherSession(text: string): string {
  const from = fromPublicId('session', text.toLowerCase());
  if (from === undefined) throw notFound(`session ${JSON.stringify(text.slice(0, 60))}`, 'from');
  return from;
}
