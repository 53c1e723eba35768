/** What `mcp add` was told, as it will stand in the settings. */
import { commandEnvironment, type LoadedConfig, loadConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { addServer, saysOff } from './mcp-servers.ts';
import { settingsPlace } from './provider-settings.ts';
import { askKey, readKey, readText } from './secret-input.ts';

export interface Typed {
  readonly profile?: string | undefined;
  readonly url?: string | undefined;
  readonly transport?: string | undefined;
  readonly header?: readonly string[] | undefined;
  readonly 'client-id'?: string | undefined;
  readonly 'client-secret'?: boolean | undefined;
  readonly scope?: string | undefined;
  readonly 'sign-in-as'?: string | undefined;
  readonly env?: readonly string[] | undefined;
  readonly host?: readonly string[] | undefined;
  readonly workspace?: string | undefined;
  readonly share?: string | undefined;
  readonly tool?: readonly string[] | undefined;
  readonly untrusted: boolean;
  readonly enable: boolean;
  readonly force: boolean;
}

export interface Added {
  /** `file`: the settings that it was written to. `enabled`: whether MCP is on. */
  readonly answer: Readonly<Record<string, unknown>>;
  /** A sentence or two. */
  readonly done: string;
  /** What keeps agents from seeing it, a sentence each. */
  readonly remarks: readonly string[];
}

/** `words`: the command. Undefined where the person left: nothing was written. Throws `UserError` for what is wrong. */
export async function addTypedServer(
  name: string,
  words: readonly string[],
  flags: Typed,
): Promise<Added | undefined> {
  const settings = await typedServer(name, words, flags);
  if (settings === undefined) return undefined;
  const place = settingsPlace(flags.profile);
  const load = (userText?: string) => loadConfig({ profile: flags.profile, userText });
  const { enable, force } = flags;
  addServer(place, name, { settings, enable, force, load });
  const loaded = load();
  const kind = 'url' in settings ? 'url' : 'command';
  return {
    answer: { server: name, kind, file: place.file, enabled: loaded.config.mcp.enabled },
    done: `${name} added to ${place.file}. A Capybara that runs takes it with its next start.`,
    remarks: remarksOn(name, loaded, flags.profile),
  };
}

function remarksOn(name: string, loaded: LoadedConfig, profile: string | undefined): string[] {
  const { kind, name: variable } = loaded.origins['mcp.servers']?.[name] ?? {};
  const hidden =
    kind === 'environment' ? `${variable} (environment) has ${name} too, and is heard first.` : undefined;
  return [hidden, saysOff(loaded, profile)].filter((remark) => remark !== undefined);
}

/** Undefined where the person left when a header was asked for. Throws `UserError` where it says too little, or too much. */
export async function typedServer(
  name: string,
  words: readonly string[],
  flags: Typed,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const [command, ...args] = words;
  if (command === undefined && flags.url === undefined)
    throw new UserError(
      'mcp_server_incomplete',
      `Nothing says what ${JSON.stringify(name)} is: pass --url URL, or behind -- the command that starts it.`,
    );
  if (command !== undefined && flags.url !== undefined)
    throw new UserError('bad_usage', 'Expected --url or a command; found both.');
  const headers = await headersOf(flags.header ?? []);
  const oauth = headers === undefined ? undefined : await oauthOf(flags);
  if (headers === undefined || oauth === undefined) return undefined;
  const { url, transport, host: hosts, workspace, share, tool: tools } = flags;
  const settings = {
    ...{ command, args: args.length === 0 ? undefined : args, env: variablesOf(flags.env ?? []) },
    ...{
      hosts,
      workspace,
      share,
      url,
      headers: unlessEmpty(headers),
      transport,
      oauth: unlessEmpty(oauth),
      tools,
    },
    trusted: flags.untrusted ? false : undefined,
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Undefined where the person left when the secret was asked for. */
async function oauthOf(flags: Typed): Promise<Readonly<Record<string, string>> | undefined> {
  const { stdin: input, stderr: output } = process;
  const isUnsaid = flags['client-secret'] === true;
  if (isUnsaid && !input.isTTY && (flags.header ?? []).some((text) => !text.includes(':')))
    throw new UserError('bad_usage', 'Expected a header or --client-secret from stdin; found both.');
  const asked = () =>
    input.isTTY ? askKey({ input, output }, 'Client secret (not shown): ') : readKey(input);
  const clientSecret = isUnsaid ? await asked() : undefined;
  if (isUnsaid && clientSecret === undefined) return undefined;
  const { 'client-id': clientId, scope, 'sign-in-as': as } = flags;
  const said = { clientId, clientSecret, scope, as };
  return Object.fromEntries(
    Object.entries(said).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

function unlessEmpty(record: Readonly<Record<string, string>>) {
  return Object.keys(record).length === 0 ? undefined : record;
}

/** `NAME=value`; of a `NAME` alone the value is taken from the environment, and stands in no argument. */
function variablesOf(texts: readonly string[]) {
  const environment = commandEnvironment();
  const entries = texts.map((text): [string, string] => {
    const { name, value = environment[name] } = halves(text, '=');
    if (value !== undefined) return [name, value];
    const message = `--env ${JSON.stringify(name)} names no variable that is set here: set it, or say ${JSON.stringify(`${name}=value`)}.`;
    throw new UserError('variable_missing', message);
  });
  return unlessEmpty(Object.fromEntries(entries));
}

/** `Name: value`; of a `Name` alone the value is typed unseen, or is what stdin has. */
async function headersOf(texts: readonly string[]): Promise<Readonly<Record<string, string>> | undefined> {
  const headers: Record<string, string> = {};
  const { stdin: input, stderr: output } = process;
  const unsaid = texts.filter((text) => !text.includes(':'));
  if (unsaid.length > 1 && !input.isTTY)
    throw new UserError('bad_usage', 'One header may have its value on stdin; found several without one.');
  for (const text of texts) {
    const { name, value } = halves(text, ':');
    const question = `${name} (not shown): `;
    const asked = () => (input.isTTY ? askKey({ input, output }, question, checkValue) : readValue(input));
    const given = value?.trim() ?? (await asked());
    if (given === undefined) return undefined;
    headers[name] = given;
  }
  return headers;
}

async function readValue(input: AsyncIterable<Buffer | string>): Promise<string> {
  return checkValue(await readText(input), 'from stdin');
}

function checkValue(text: string, from: string): string {
  const value = text.trim();
  if (value !== '') return value;
  throw new UserError('key_invalid', `The header ${from} has no value: expected "Name: value".`);
}

function halves(text: string, mark: string): { readonly name: string; readonly value: string | undefined } {
  const at = text.indexOf(mark);
  return at < 0
    ? { name: text.trim(), value: undefined }
    : { name: text.slice(0, at).trim(), value: text.slice(at + 1) };
}
