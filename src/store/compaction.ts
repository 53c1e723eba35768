/** The transitions of a turn that makes its session's log shorter, and of one whose request was too long (`transitions/*.sql`). */
import type { NewEntry } from '../core/entry.ts';
import type { Database } from './database.ts';
import type { RequestNote } from './rates.ts';
import type { Held, RecordedAnswer, Retry, Wake } from './turns.ts';

export interface CompactedLog {
  readonly entry: Extract<NewEntry, { kind: 'pruning' | 'compaction' }>;
  /** Tokens of a request. */
  readonly before: number;
  readonly after: number;
  /** Where a model wrote the summary. */
  readonly usage?: RecordedAnswer['usage'];
  readonly note?: RequestNote;
}

export function compactTurn(
  db: Database,
  held: Held,
  { entry, nextTurnId, ...compaction }: CompactedLog & { readonly nextTurnId: string },
): Promise<
  | ({ readonly outcome: 'compacted'; readonly taskStatus: string; readonly wake: Wake | null } & {
      readonly seq: number;
    })
  | { readonly outcome: 'repeated'; readonly taskStatus: string; readonly wake: Wake | null }
  | { readonly outcome: 'fenced' }
> {
  return db.transition('compact_turn', held.turnId, held.attemptId, { ...compaction, ...entry }, nextTurnId);
}

export function overflowTurn(
  db: Database,
  held: Held,
  {
    nextTurnId,
    ...failure
  }: Pick<Retry, 'spent'> &
    Pick<Retry['failure'], 'code' | 'message'> & { readonly nextTurnId: string; readonly note?: RequestNote },
): Promise<
  | ({ readonly outcome: 'overflowed' | 'ended'; readonly wake: Wake | null } & { readonly seq: number })
  | { readonly outcome: 'repeated'; readonly wake: Wake | null }
  | { readonly outcome: 'fenced' }
> {
  return db.transition('overflow_turn', held.turnId, held.attemptId, failure, nextTurnId);
}
