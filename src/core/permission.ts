import type { Effect } from './entry.ts';
import type { Mode } from './profile.ts';

export type Judgement =
  | { readonly decision: 'allow' }
  | { readonly decision: 'ask' }
  | { readonly decision: 'deny'; readonly reason: string };

/**
 * Whether a call may run. Reading is always allowed; what changes something is asked in `safe`, denied in `plan` and
 * allowed in `auto`.
 */
export function judge(effect: Effect, mode: Mode): Judgement {
  if (effect === 'read' || mode === 'auto') return { decision: 'allow' };
  if (mode === 'safe') return { decision: 'ask' };
  return {
    decision: 'deny',
    reason: 'This task runs in plan mode: nothing may be changed. Read, and describe the change.',
  };
}
