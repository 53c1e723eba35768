/** A turn that has delegated, for tests of the store. */
import { newId } from '../../src/clock.ts';
import { type NewChild, type SpawnOutcome, spawnChildren } from '../../src/store/delegations.ts';
import type { NewCall } from '../../src/store/turns.ts';
import {
  type Answered,
  answered,
  callOf,
  PROFILE,
  type Store,
  type Submitted,
  submissionOf,
  type Wanted,
} from './store.ts';

export const CHILD_LIMITS = { children: 12, concurrentChildren: 3, depth: 1 };

export interface ChildChange extends Partial<Omit<NewChild, 'task'>> {
  readonly task?: Partial<NewChild['task']>;
}

export function delegateCall(ordinal = 0, more: Partial<NewCall> = {}): NewCall {
  return callOf('requested', { ordinal, name: 'delegate_task', effect: 'delegate', ...more });
}

export function childOf(store: Store, call: Pick<NewCall, 'id'>, change: ChildChange = {}): NewChild {
  const { task } = submissionOf(store);
  return {
    call: call.id,
    isolation: 'fork',
    session: { id: newId(), workspaceId: newId(), title: 'A child' },
    ...change,
    task: {
      ...{ id: newId(), turnId: newId(), messageId: newId() },
      parts: [{ type: 'text', text: 'Do a part.' }],
      ...{ profile: PROFILE, profileHash: task.profileHash },
      limits: { turns: 70 },
      reserve: { answer: null, prices: null },
      ...change.task,
    },
  };
}

export interface Delegated extends Answered {
  readonly spawned: Extract<SpawnOutcome, { outcome: 'spawned' }>;
  /** Those that began, in the order of their calls. */
  readonly children: readonly Omit<Submitted, 'outcome'>[];
}

/** A turn that runs and has delegated `count` tasks. */
export async function delegated(
  store: Store,
  {
    count = 1,
    change = {},
    ...wanted
  }: Wanted & { readonly count?: number; readonly change?: ChildChange } = {},
): Promise<Delegated> {
  const calls = Array.from({ length: count }, (_, ordinal) => delegateCall(ordinal));
  const held = await answered(store, calls, { ...wanted, limits: { ...CHILD_LIMITS, ...wanted.limits } });
  const given = calls.map((call) => childOf(store, call, change));
  const spawned = await spawnChildren(store.db, held, given);
  if (spawned.outcome !== 'spawned') throw new Error(`nothing was delegated: ${spawned.outcome}`);
  const children = spawned.calls.flatMap((each, index) =>
    'refused' in each
      ? []
      : [
          {
            sessionId: each.childSessionId,
            taskId: each.childTaskId,
            turnId: given[index]?.task.turnId ?? '',
          },
        ],
  );
  return { ...held, spawned, children };
}
