/** Asks a person for what the flags left open. What is given is checked like what is typed. */
import type { Readable, Writable } from 'node:stream';
import { cancel, confirm, isCancel, note, password, select, text } from '@clack/prompts';
import { UserError } from '../../core/errors.ts';
import { type Answers, CHECKS, DEFAULT_TEMPERATURE, type ProviderType, TYPE_META, TYPES } from './answers.ts';

/** As flags say it: texts that nobody has looked at. */
export interface Given {
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly model?: string | undefined;
  readonly temperature?: string | undefined;
  readonly maxTokens?: string | undefined;
}

/** Whether something that runs on this machine answers there, which wants no key. */
export type IsLocal = (endpoint: string) => boolean;

/** Where a person reads and types. */
export interface Io {
  readonly input: Readable;
  readonly output: Writable;
  /** Breaks off what is asked. */
  readonly signal?: AbortSignal;
}

/** What says that the person, or whoever runs this, wants to end. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Hands `ask` a place where Ctrl-D, the end of the input and signals break a question off as Ctrl-C does, which alone is known to what draws
 * them: else the process would end in the middle, with the cursor hidden. `source` emits the signals.
 */
export async function breakable<Result>(
  io: Io,
  ask: (io: Io) => Promise<Result>,
  source: Pick<NodeJS.EventEmitter, 'on' | 'off'> = process,
): Promise<Result> {
  const over = new AbortController();
  const end = () => over.abort();
  const press = (_: unknown, { ctrl, name }: { readonly ctrl?: boolean; readonly name?: string }) => {
    if (ctrl && name === 'd') end();
  };
  io.input.on('keypress', press).on('end', end);
  for (const signal of ENDING) source.on(signal, end);
  try {
    return await ask({ ...io, signal: over.signal });
  } finally {
    io.input.off('keypress', press).off('end', end);
    for (const signal of ENDING) source.off(signal, end);
  }
}

type Field = keyof typeof CHECKS;

/** What was asked last was answered by Ctrl-C, or the input was closed. */
export class BrokenOff extends Error {
  override readonly name = 'BrokenOff';
}

function answered<Value>(value: Value): Exclude<Value, symbol> {
  if (!isCancel(value)) return value as Exclude<Value, symbol>;
  throw new BrokenOff('the questions were broken off');
}

const FLAGS: Readonly<Record<Field, string>> = {
  name: '--name',
  endpoint: '--endpoint',
  apiKey: 'the key',
  model: '--model',
  temperature: '--temperature',
  maxTokens: '--max-tokens',
};

/** Throws `UserError` where a flag's value is wrong. A key is never quoted. */
function checked(field: Field, given: string): string {
  const wrong = CHECKS[field](given);
  if (wrong === undefined) return given;
  const found = field === 'apiKey' ? '' : ` (${JSON.stringify(given.slice(0, 80))})`;
  throw new UserError('bad_usage', `${FLAGS[field]}${found}: ${wrong}`);
}

interface Beginning {
  /** Stands there to be gone on with. */
  readonly start?: string;
  /** Holds where nothing is typed. */
  readonly usual?: string;
}

async function line(
  io: Io,
  field: Field,
  message: string,
  { start = '', usual = '' }: Beginning = {},
): Promise<string> {
  const told = (typed: string | undefined) => (typed ?? '').trim() || usual;
  const validate = (typed: string | undefined) => CHECKS[field](told(typed));
  const value = await text({ ...io, message, initialValue: start, placeholder: usual, validate });
  return told(answered(value));
}

/** What a person answers, flags first. Throws `BrokenOff`. */
export async function askAll(io: Io, given: Given, isLocal: IsLocal): Promise<Answers> {
  // What is wrong in the flags is told before anything is asked.
  for (const [field, value] of Object.entries(given))
    if (value !== undefined && field !== 'type') checked(field as Field, value);
  const type = given.type === undefined ? undefined : (given.type as ProviderType);
  const name =
    given.name ??
    (await line(io, 'name', 'Name of the provider, such as openai or work', { start: type ?? '' }));
  const chosen = type ?? answered(await select({ ...io, message: 'Type', options: options() }));
  const endpoint =
    given.endpoint ?? (await line(io, 'endpoint', 'Endpoint', { start: TYPE_META[chosen].endpoint }));
  const apiKey = given.apiKey ?? (isLocal(endpoint) ? undefined : await askedKey(io));
  const model = given.model ?? (await line(io, 'model', 'Model (optional)'));
  const temperature =
    given.temperature ??
    (await line(io, 'temperature', 'Temperature, 0.0 to 2.0', { usual: String(DEFAULT_TEMPERATURE) }));
  const maxTokens = given.maxTokens ?? (await line(io, 'maxTokens', 'Max tokens of an answer (optional)'));
  return assembled({ name, type: chosen, endpoint, apiKey, model, temperature, maxTokens });
}

function options() {
  return TYPES.map((value) => ({ value, label: TYPE_META[value].title }));
}

async function askedKey(io: Io): Promise<string> {
  const validate = (typed: string | undefined) => CHECKS.apiKey(typed ?? '');
  return answered(await password({ ...io, message: 'API key (not shown)', mask: '*', validate }));
}

/** From flags alone. Throws `UserError` that names what is missing. */
export function fromFlags(given: Given, isLocal: IsLocal): Answers {
  const { type } = given;
  if (type === undefined)
    throw new UserError('bad_usage', `Nobody can be asked here: pass --type, one of ${TYPES.join(', ')}.`);
  const known = type as ProviderType;
  const name = checked('name', given.name ?? known);
  const endpoint = given.endpoint ?? TYPE_META[known].endpoint;
  if (endpoint === '')
    throw new UserError('bad_usage', 'Nobody can be asked here: pass --endpoint, the address of the API.');
  checked('endpoint', endpoint);
  if (given.apiKey === undefined && !isLocal(endpoint))
    throw new UserError(
      'key_missing',
      'Nobody can be asked for the key here: pass --key-stdin and the key on stdin.',
    );
  for (const field of ['apiKey', 'model', 'temperature', 'maxTokens'] as const)
    if (given[field] !== undefined) checked(field, given[field]);
  return assembled({ ...given, name, type: known, endpoint });
}

function assembled(texts: Given & Pick<Answers, 'name' | 'type' | 'endpoint'>): Answers {
  const { name, type, endpoint, apiKey, model, temperature, maxTokens } = texts;
  return {
    ...{ name, type, endpoint, apiKey },
    ...(model ? { model } : {}),
    temperature: temperature === undefined ? DEFAULT_TEMPERATURE : Number(temperature),
    ...(maxTokens ? { maxTokens: Number(maxTokens) } : {}),
  };
}

/** What `act` comes to. Throws `BrokenOff` where the person does not wait for it. */
export async function unlessBroken<Result>(io: Io | undefined, act: Promise<Result>): Promise<Result> {
  const signal = io?.signal;
  const broken = Promise.withResolvers<never>();
  const leave = () => broken.reject(new BrokenOff('what was tried was broken off'));
  if (signal?.aborted) leave();
  signal?.addEventListener('abort', leave);
  try {
    return await Promise.race([act, broken.promise]);
  } finally {
    signal?.removeEventListener('abort', leave);
  }
}

/** Throws `BrokenOff`. */
export async function asksWhether(io: Io, message: string, usual: boolean): Promise<boolean> {
  return answered(await confirm({ ...io, message, initialValue: usual }));
}

export function show({ output }: Io, title: string, body: string): void {
  note(body, title, { output });
}

export function leave({ output }: Io, message: string): void {
  cancel(message, { output });
}
