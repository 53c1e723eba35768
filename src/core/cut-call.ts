/** The last call of an answer that was broken off: what there is of it may look whole, and is not what the model meant. */
import type { Part, StopReason } from './entry.ts';

const CUT: Readonly<Partial<Record<StopReason, string>>> = {
  length:
    'the answer reached its output limit before this call was complete, and it was not run. Ask for less at once: write a long file ' +
    'in several calls.',
  refusal: 'the answer was broken off before this call was complete, and it was not run.',
};

/** Why a call of an answer may not run though nobody forbids it; undefined: it may. */
export function cutReason(
  { parts, stopReason }: { readonly parts: readonly Part[]; readonly stopReason: StopReason },
  call: Part,
): string | undefined {
  const reason = CUT[stopReason];
  if (reason === undefined || call.type !== 'tool' || parts.at(-1) !== call) return undefined;
  return hasArguments(call.arguments) ? undefined : reason;
}

/** Whether there are any, to their end. Where none had come, or they were cut, an answer may have `{}` in their place. */
function hasArguments(text: string): boolean {
  try {
    return Object.keys(JSON.parse(text) as object).length > 0;
  } catch {
    return false;
  }
}
