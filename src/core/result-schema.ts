/**
 * What a delegated task is to answer, where whoever delegates it says so by a JSON Schema. The schema is written by one model and the
 * answer by another: neither is trusted to end.
 */
import { canonicalText } from './canonical-json.ts';
import { cut, isDeeper, type JsonSchema, readSchema } from './json-schema.ts';
import { problemsOf, say, under } from './json-schema-check.ts';

/** Of an answer: its UTF-8 bytes as JSON, and how deep it goes. */
export const RESULT_LIMITS = { bytes: 256 * 1024, depth: 100 } as const;
/** Of what does not fit, as much is told. */
export const TOLD_PROBLEMS = 5;

/** A schema that answers can be checked by. */
export type ResultChecker = JsonSchema;

/** `refused`: a sentence for the model that gave it. */
export function readResultSchema(
  schema: unknown,
): { readonly checker: ResultChecker } | { readonly refused: string } {
  const checker = readSchema(schema);
  return typeof checker === 'string' ? { refused: `resultSchema cannot be used: ${checker}.` } : { checker };
}

/** `json`: the answer as one of all that mean the same. `problems`: sentences for the model that gave it. */
export function checkResult(
  checker: ResultChecker,
  answer: string,
): { readonly json: string } | { readonly problems: readonly string[] } {
  const found = valueIn(answer);
  if ('problem' in found) return { problems: [found.problem] };
  const { value } = found;
  const problems = unkept(value, '') ?? problemsOf(checker, value);
  if (problems === undefined)
    return {
      problems: ['It takes too long to check so large an answer by this schema: give a smaller one.'],
    };
  if (problems.length === 0) return { json: canonicalText(value) };
  const more = problems.length > TOLD_PROBLEMS ? ['There is more that does not fit.'] : [];
  return { problems: [...problems.slice(0, TOLD_PROBLEMS).map((problem) => `${problem}.`), ...more] };
}

type Found = { readonly value: unknown } | { readonly problem: string };

function valueIn(answer: string): Found {
  const text = answer.trim();
  if (text === '') return { problem: 'The answer is empty, expected one JSON value.' };
  const bytes = Buffer.byteLength(text);
  if (bytes > RESULT_LIMITS.bytes)
    return { problem: `The answer has ${bytes} bytes, and it may have ${RESULT_LIMITS.bytes} at most.` };
  const whole = parsed(text);
  if ('value' in whole) return whole;
  const blocks = blocksIn(text);
  if (blocks === undefined) return { problem: 'The answer has a code block that does not end.' };
  const [block, other] = blocks;
  if (block === undefined) return whole;
  if (other !== undefined)
    return {
      problem: `The answer has ${blocks.length} code blocks, expected one JSON value and nothing else.`,
    };
  return parsed(block);
}

function parsed(text: string): Found {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: `The answer is no JSON value: ${cut((error as Error).message, 200)}.` };
  }
  if (!isDeeper(value, RESULT_LIMITS.depth)) return { value };
  return { problem: `The answer goes deeper than ${RESULT_LIMITS.depth} levels.` };
}

/** What stands in the code blocks of a text; undefined where the last one does not end. */
function blocksIn(text: string): readonly string[] | undefined {
  const blocks: string[] = [];
  let open: { readonly fence: string; readonly lines: string[] } | undefined;
  for (const line of text.split('\n')) {
    const [, fence, name = ''] = /^ {0,3}(`{3,})([^`]*)$/.exec(line) ?? [];
    if (open === undefined) {
      if (fence !== undefined) open = { fence, lines: [] };
    } else if (fence !== undefined && fence.length >= open.fence.length && name.trim() === '') {
      blocks.push(open.lines.join('\n'));
      open = undefined;
    } else open.lines.push(line);
  }
  return open === undefined ? blocks : undefined;
}

/** A number that would not be kept as it was written. */
function unkept(value: unknown, at: string): readonly string[] | undefined {
  if (typeof value === 'number') {
    const isKept = Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
    return isKept ? undefined : [say(at, 'the number is too large, write it as a text')];
  }
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, each] of Object.entries(value)) {
    const found = unkept(each, Array.isArray(value) ? `${at}[${key}]` : under(at, key));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What a child is told at the end of its task. */
export function resultInstruction(schema: Readonly<Record<string, unknown>>): string {
  return (
    'When the task is done, answer without calling a tool, with one JSON value that fits the JSON Schema below, and with nothing else: no ' +
    `words before or behind it. A program reads that answer.\n\n${JSON.stringify(schema)}`
  );
}

/** What a child is told whose answer did not fit. It has this one chance. */
export function correctionNotice(problems: readonly string[]): string {
  const lines = problems.map((problem) => `- ${problem}`);
  return (
    `Your answer does not fit the JSON Schema that was asked for:\n${lines.join('\n')}\n\n` +
    'Answer again, with the whole JSON value, corrected, and with nothing else. There is no further chance: if it does not fit, the task has failed.'
  );
}
