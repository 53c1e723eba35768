import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Part } from '../../src/core/entry.ts';
import { recordingOf } from '../../src/core/recording.ts';
import type { Model } from '../../src/model/model.ts';
import { createReplayModel } from '../../src/model/replay.ts';
import { call, error, say, think } from '../support/scripted-model/scripted-model.ts';
import { closers, kitOf, requestOf, serve } from './model-harness.ts';
import type { Kind } from './model-kind.ts';
import { kinds } from './model-kinds.ts';

/** Whatever answers, also without a wire: every kind of provider, and what was recorded. */
export interface Source {
  readonly name: string;
  /** A model that answers `requestOf()` so. */
  readonly answering: (parts: readonly Part[]) => Promise<Model>;
  /** One that cannot answer. */
  readonly failing: () => Promise<Model>;
}

function atServer(kind: Kind): Source {
  const { modelAt } = kitOf(kind);
  return {
    name: kind.provider,
    answering: async (parts) => modelAt(await serve(() => parts.map(actionOf))),
    failing: async () => modelAt(await serve(() => error(500))),
  };
}

function actionOf(part: Part) {
  if (part.type === 'reasoning') return think(part.text, 'proof');
  return part.type === 'text' ? say(part.text) : call(part.name, part.arguments, part.callId);
}

const recording: Source = {
  name: 'a recording',
  answering: (parts) => {
    const said = requestOf().messages.flatMap((each) => (each.role === 'user' ? [each.text] : []));
    const log = [
      { kind: 'user', position: 1, parts: said.map((text) => ({ type: 'text' as const, text })) },
      { kind: 'assistant', position: 2, stopReason: 'tool_calls', parts },
    ] as const;
    const hash = (text: string) => createHash('sha256').update(text).digest('hex');
    return playing(JSON.stringify(recordingOf(log, hash)));
  },
  failing: () => playing('no recording'),
};

async function playing(text: string): Promise<Model> {
  const directory = await mkdtemp(join(tmpdir(), 'capybara-replay-'));
  closers.push(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'session.json');
  await writeFile(file, text);
  return createReplayModel({ provider: 'again', model: 'recording', replay: { file, strict: true } });
}

export const sources: readonly Source[] = [...kinds.map(atServer), recording];
