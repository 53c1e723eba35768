import { checkResult, correctionNotice, readResultSchema } from '../core/result-schema.ts';
import type { TurnLimits } from '../core/turn.ts';

/** See `TurnLimits.misfit`. `schema` was read when the task was delegated; null: any answer will do. */
export function misfitOf(schema: unknown): TurnLimits['misfit'] {
  const read = schema === null ? undefined : readResultSchema(schema);
  if (read === undefined || 'refused' in read) return undefined;
  return (answer) => {
    const checked = checkResult(read.checker, answer);
    return 'json' in checked ? undefined : correctionNotice(checked.problems);
  };
}
