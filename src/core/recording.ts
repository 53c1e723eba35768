/** What a session's model answered, so that it can be answered the same again without one. */
import { SUMMARY_REQUEST } from './compaction.ts';
import { type ContextMessage, messagesOf } from './context.ts';
import { type Entry, type Part, type StopReason, standing } from './entry.ts';

export const RECORDING_VERSION = 1;

export interface Recording {
  readonly format: 'capybara-recording';
  readonly version: typeof RECORDING_VERSION;
  readonly turns: readonly RecordedTurn[];
}

export interface RecordedTurn {
  /** Answers that the conversation held before it. */
  readonly answers: number;
  /** What the model was told since the last of them, without its text, which may hold anything. */
  readonly heard: readonly Heard[];
  /** It was asked for a summary of the conversation, beside that. */
  readonly asks?: 'summary' | undefined;
  readonly answer: RecordedAnswer;
}

export interface RecordedAnswer {
  readonly parts: readonly Part[];
  readonly stopReason: StopReason;
}

export interface Heard {
  readonly role: 'user' | 'tool';
  readonly callId?: string | undefined;
  readonly chars: number;
  /** SHA-256 of the text, hexadecimal. */
  readonly hash: string;
}

export type Hash = (text: string) => string;

/** The recording of a session's log, but for what was taken back. The log holds no key, and neither does this. */
export function recordingOf(log: readonly Entry[], hash: Hash): Recording {
  const entries = standing(log);
  const turns = entries.flatMap((entry, index): RecordedTurn[] => {
    if (entry.kind !== 'assistant' && entry.kind !== 'compaction') return [];
    const place = placeOf(messagesOf(entries.slice(0, index)), hash);
    const { parts } = entry;
    if (entry.kind === 'compaction')
      return [{ ...place, asks: 'summary', answer: { parts, stopReason: 'stop' } }];
    return [{ ...place, answer: { parts, stopReason: entry.stopReason } }];
  });
  return { format: 'capybara-recording', version: RECORDING_VERSION, turns };
}

export type RecordedPlace = Pick<RecordedTurn, 'answers' | 'heard' | 'asks'>;

/** Where a conversation stands. */
export function placeOf(request: readonly ContextMessage[], hash: Hash): RecordedPlace {
  const asked = request.at(-1);
  const isForSummary = asked?.role === 'user' && asked.text === SUMMARY_REQUEST;
  const messages = isForSummary ? request.slice(0, -1) : request;
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  const heard = messages.slice(last + 1).flatMap((message): Heard[] => {
    if (message.role === 'assistant') return [];
    const { role, text } = message;
    const call = message.role === 'tool' ? { callId: message.callId } : {};
    return [{ role, ...call, chars: text.length, hash: hash(text) }];
  });
  const answers = messages.filter(({ role }) => role === 'assistant').length;
  return { answers, heard, ...(isForSummary ? { asks: 'summary' } : {}) };
}

/** What is played for a request, and how the request differs from the recorded one. */
export type Played =
  | { readonly kind: 'same'; readonly answer: RecordedAnswer }
  | {
      readonly kind: 'other';
      readonly answer: RecordedAnswer;
      readonly turn: number;
      readonly difference: string;
    }
  | { readonly kind: 'none'; readonly reason: string };

/**
 * The answer at the same place: to the results of the same calls, whose ids are played as well; else after as many answers. An
 * answer of nothing leaves no message: what was said behind it tells the two apart. A summary is asked for when a log has become
 * too long, which may be sooner or later than it was: then the nearest is played.
 */
export function playedAt({ turns: all }: Recording, place: RecordedPlace): Played {
  const turns = all.filter(({ asks }) => asks === place.asks);
  const calls = callsIn(place.heard);
  const toCalls = calls === '' ? [] : turns.filter(({ heard }) => callsIn(heard) === calls);
  const here = toCalls.length > 0 ? toCalls : turns.filter(({ answers }) => answers === place.answers);
  const same = here.find(({ heard }) => differenceIn(heard, place.heard) === undefined);
  if (same !== undefined) return { kind: 'same', answer: same.answer };
  const next =
    here.find(({ heard }) => heard.length >= place.heard.length) ??
    here.at(-1) ??
    nearestSummary(turns, place);
  if (next === undefined) {
    const what = place.asks === 'summary' ? 'summaries' : 'answers';
    const reason = `holds ${turns.length} ${what}, and none to a conversation that holds ${place.answers} already`;
    return { kind: 'none', reason };
  }
  const difference = differenceIn(next.heard, place.heard) ?? '';
  return { kind: 'other', answer: next.answer, turn: all.indexOf(next) + 1, difference };
}

function nearestSummary(turns: readonly RecordedTurn[], place: RecordedPlace): RecordedTurn | undefined {
  if (place.asks !== 'summary') return undefined;
  const distance = ({ answers }: RecordedTurn) => Math.abs(answers - place.answers);
  return turns.toSorted((one, other) => distance(one) - distance(other))[0];
}

function callsIn(heard: readonly Heard[]): string {
  return heard.flatMap(({ callId }) => callId ?? []).join(' ');
}

function differenceIn(recorded: readonly Heard[], now: readonly Heard[]): string | undefined {
  if (recorded.length !== now.length)
    return `${recorded.length} messages were recorded since the last answer, and ${now.length} came`;
  const at = recorded.findIndex(
    (heard, index) => heard.hash !== now[index]?.hash || heard.role !== now[index]?.role,
  );
  const [was, is] = [recorded[at], now[at]];
  if (was === undefined || is === undefined) return undefined;
  if (was.role !== is.role) return `${nameOf(is, at)} came instead of ${nameOf(was, at)}`;
  return `${nameOf(is, at)} is another text (${was.chars} characters recorded, ${is.chars} now)`;
}

function nameOf({ role, callId }: Heard, at: number): string {
  return role === 'tool' ? `the result of call ${callId}` : `message ${at + 1}`;
}
