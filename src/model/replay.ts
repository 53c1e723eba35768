/** Plays a recorded session's answers: the same session again, without a model, a network or a bill. */
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { type Played, placeOf, playedAt, type Recording } from '../core/recording.ts';
import { DEFAULT_ANSWER_BYTES, DEFAULT_TIMEOUTS, type ModelOptions, originOf } from './connection.ts';
import type { Model, ModelAnswer, ModelEvent, ModelRequest } from './model.ts';
import { readRecording } from './recording-file.ts';
import { KnownFailure } from './report.ts';
import { type Collector, streamAnswer } from './stream.ts';
import { NO_USAGE } from './usage.ts';

/** Characters that come at once, as from a model. */
const PIECE = 40;

export function createReplayModel(options: ModelOptions): Model {
  const { file = '', strict = false } = options.replay ?? {};
  const path = file.replace(/^~(?=\/|$)/, homedir());
  let recording: Promise<Recording> | undefined;
  const read = async () => {
    if (path === '')
      throw failed('bad_recording', `Provider ${options.provider} names no recording: set its file.`);
    recording ??= readRecording(path);
    try {
      return await recording;
    } catch (error) {
      recording = undefined;
      throw error;
    }
  };
  return {
    name: `${options.provider}/${options.model}`,
    takesImages: options.images ?? options.settings?.images ?? true,
    info: options.settings ?? {},
    stream: (request, signal) =>
      streamAnswer<ModelEvent>(
        {
          origin: originOf(options, path),
          timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
          answerBytes: options.answerBytes ?? DEFAULT_ANSWER_BYTES,
          collector: new Playing(),
          open: async () => eventsOf(playedFor(await read(), request), { options, path, strict }),
        },
        signal,
      ),
  };
}

function playedFor(recording: Recording, { messages }: ModelRequest): Played {
  return playedAt(
    recording,
    placeOf(messages, (text) => createHash('sha256').update(text).digest('hex')),
  );
}

interface Player {
  readonly options: ModelOptions;
  readonly path: string;
  readonly strict: boolean;
}

/** Throws `KnownFailure`, before anything has come. */
function eventsOf(played: Played, player: Player): AsyncGenerator<ModelEvent> {
  const { options, path, strict } = player;
  if (played.kind === 'none')
    throw failed('replay_ended', `The recording ${path} ${played.reason}: record it anew.`);
  if (played.kind === 'same') return streamed(played, undefined, options.model);
  const what = `turn ${played.turn} of the recording: ${played.difference}`;
  const remedy = `set strict of provider ${options.provider} to false to go on`;
  if (strict) throw failed('replay_differs', `The request differs from ${what}; ${remedy}.`);
  return streamed(played, `(Replayed, though the request differs from ${what}.)\n`, options.model);
}

/** `note`: shown before the answer, and no part of it. */
async function* streamed(
  { answer: { parts, stopReason } }: Exclude<Played, { kind: 'none' }>,
  note: string | undefined,
  model: string,
): AsyncGenerator<ModelEvent> {
  if (note !== undefined) yield { type: 'reasoning', delta: note };
  for (const part of parts) {
    if (part.type === 'tool') yield { type: 'tool', name: part.name };
    else for (const delta of piecesOf(part.text)) yield { type: part.type, delta };
  }
  yield { type: 'finished', answer: { parts, stopReason, usage: NO_USAGE, model } };
}

/** Never within a character. */
function piecesOf(text: string): string[] {
  const characters = [...text];
  const count = Math.ceil(characters.length / PIECE);
  return Array.from({ length: count }, (_, index) =>
    characters.slice(index * PIECE, (index + 1) * PIECE).join(''),
  );
}

class Playing implements Collector<ModelEvent> {
  readonly size = 0;
  #answer: ModelAnswer | undefined;

  take(event: ModelEvent): ModelEvent[] {
    if (event.type !== 'finished') return [event];
    this.#answer = event.answer;
    return [];
  }

  answer(): ModelAnswer | undefined {
    return this.#answer;
  }
}

function failed(code: string, message: string): KnownFailure {
  return new KnownFailure({ kind: 'terminal', code, message });
}
