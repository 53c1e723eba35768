import { oneLine } from './untrusted-text.ts';

const SUMMARY_LENGTH = 72;
const REASON_LENGTH = 120;

/** Arguments that say most about a call, best first. */
const TELLING = ['command', 'path', 'file_path', 'file', 'pattern', 'query', 'url', 'name'];

/** `bash npm test`: a call's name and the one argument that says most. `json` is what the model wrote, valid or not. */
export function callSummary(name: string, json: string | undefined): string {
  const told = json === undefined ? '' : telling(json);
  return told === '' ? oneLine(name, SUMMARY_LENGTH) : `${oneLine(name, SUMMARY_LENGTH)} ${told}`;
}

function telling(json: string): string {
  const args = parsed(json);
  if (args === undefined) return oneLine(json, SUMMARY_LENGTH);
  const named = TELLING.map((name) => args[name]).find((value) => typeof value === 'string' && value !== '');
  const first = Object.values(args).find((value) => typeof value === 'string' || typeof value === 'number');
  return oneLine(String(named ?? first ?? ''), SUMMARY_LENGTH);
}

function parsed(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Why a call failed, in a few words: `exit 1`, `time-out`, or the beginning of what the model was told. */
export function failureSummary(text: string): string {
  const exit = /\bexit(?:ed)?(?: with)?(?: code| status)?:? (\d+)\b/i.exec(text);
  if (exit) return `exit ${exit[1]}`;
  const [first = '', second] = text.split('\n').filter((line) => line.trim() !== '');
  // `Error: InvalidArguments: the arguments of 'grep' do not fit:`, and what does not fit.
  const kind = /^(?:Error: )?(\w+): .*:\s*$/.exec(first)?.[1];
  if (kind === undefined || second === undefined) return oneLine(first, SUMMARY_LENGTH);
  return oneLine(`${kind}: ${second.replace(/^\s*- /, '')}`, REASON_LENGTH);
}

/** A call that was interrupted: whether it had begun is said by what the model was told. */
export function interruptionSummary(text: string): string {
  return text.startsWith('Not run:') ? 'not run' : '';
}
