/** What an edit changes, as the lines of a diff, by the arguments that its model wrote: nothing else tells it. */
import { diffLines } from 'diff';

export interface EditLine {
  /** `@`: says where, and belongs to no file. */
  readonly sign: '+' | '-' | ' ' | '@';
  readonly text: string;
}

/** Lines of what stays that are shown around what changes. */
const CONTEXT = 2;
/** Texts with more changes than this are shown as one that goes and one that comes. */
const MAX_CHANGES = 2_000;

/** Undefined where the call is no edit. */
export function editLines(json: string): EditLine[] | undefined {
  const given = textsOf(json);
  const { old_string, new_string, content, patch, input, blocks } = given;
  if (patch !== undefined) return patchLines(patch);
  if (input?.startsWith('*** Begin Patch')) return patchLines(input);
  if (blocks !== undefined) return blockLines(blocks);
  if (content !== undefined) return signed('+', content);
  return new_string === undefined ? undefined : changedLines(old_string ?? '', new_string);
}

function textsOf(json: string): Readonly<Record<string, string | undefined>> {
  try {
    const value: unknown = JSON.parse(json);
    const pairs = Object.entries(typeof value === 'object' && value !== null ? value : {});
    return Object.fromEntries(pairs.filter(([, each]) => typeof each === 'string'));
  } catch {
    return {};
  }
}

function signed(sign: EditLine['sign'], text: string): EditLine[] {
  if (text === '') return [];
  const whole = text.endsWith('\n') ? text.slice(0, -1) : text;
  return whole.split('\n').map((line) => ({ sign, text: line }));
}

function changedLines(old: string, fresh: string): EditLine[] {
  const ended = (text: string) => (text === '' || text.endsWith('\n') ? text : `${text}\n`);
  const changes = diffLines(ended(old), ended(fresh), { maxEditLength: MAX_CHANGES });
  if (changes === undefined) return [...signed('-', old), ...signed('+', fresh)];
  const lines = changes.flatMap(({ added, removed, value }) =>
    signed(added ? '+' : removed ? '-' : ' ', value),
  );
  return withoutFar(lines);
}

/** What stays is shown where it is close to what changes. */
function withoutFar(lines: readonly EditLine[]): EditLine[] {
  const isNear = (index: number) =>
    lines.slice(Math.max(0, index - CONTEXT), index + CONTEXT + 1).some(({ sign }) => sign !== ' ');
  const kept: EditLine[] = [];
  for (const [index, line] of lines.entries()) {
    if (isNear(index)) kept.push(line);
    else if (index > 0 && isNear(index - 1) && index < lines.length - 1) kept.push({ sign: '@', text: '⋮' });
  }
  return kept.at(-1)?.sign === '@' ? kept.slice(0, -1) : kept;
}

const PLACES =
  /^(?:\*\*\* |diff --git |index |new file|deleted file|similarity|rename|old mode|new mode|--- |\+\+\+ |@@)/;

function patchLines(patch: string): EditLine[] {
  return patch
    .trimEnd()
    .split('\n')
    .filter((line) => !/^\*\*\* (Begin|End) Patch/.test(line))
    .map((line): EditLine => {
      if (PLACES.test(line)) return { sign: '@', text: line };
      const [sign = ' '] = line;
      return sign === '+' || sign === '-'
        ? { sign, text: line.slice(1) }
        : { sign: ' ', text: line.slice(1) };
    });
}

/** Paths, and below each what is searched and what takes its place. */
function blockLines(blocks: string): EditLine[] {
  let sign: EditLine['sign'] = '@';
  const lines: EditLine[] = [];
  for (const line of blocks.trimEnd().split('\n')) {
    if (/^<{5,9} ?SEARCH/.test(line)) sign = '-';
    else if (sign === '-' && /^={5,9}\s*$/.test(line)) sign = '+';
    else if (/^>{5,9} ?REPLACE/.test(line)) sign = '@';
    else if (sign !== '@' || !/^(```.*|\s*)$/.test(line)) lines.push({ sign, text: line });
  }
  return lines;
}
