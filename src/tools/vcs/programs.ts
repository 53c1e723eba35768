import { randomUUID } from 'node:crypto';
import { CO_AUTHOR } from '../../core/co-author.ts';
import type { EgressHost } from '../../core/egress.ts';
import type { CommandResult } from '../../sandbox/sandbox.ts';
import { commandPlaces, lookingPlaces } from '../command-places.ts';
import type { ToolContext } from '../tool.ts';
import { VcsError } from './vcs.ts';

/** For all programs of one step. */
export const LOOK_SECONDS = 60;
/** A commit may run the repository's own checks. */
export const ACT_SECONDS = 600;
const MAX_ERROR_CHARS = 4_000;

export interface Programs {
  /** What each program said on stdout, in order; they can change nothing. Throws `VcsError` with the words of the first that fails. */
  look(...commands: readonly Argv[]): Promise<readonly string[]>;
  /** The same, for what may change the workspace. */
  act(...commands: readonly Argv[]): Promise<readonly string[]>;
}

/** A program and its arguments. None is read by a shell. */
export type Argv = readonly string[];

export interface ProgramsOptions {
  readonly program: string;
  /** A sentence's end: why it is needed, where it is missing. */
  readonly purpose: string;
  /** Added to the environment; `lookEnv`: of what only looks. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly lookEnv?: Readonly<Record<string, string>> | undefined;
  /** For bash, before what only looks, where nothing confines it. */
  readonly lookUnconfined?: string | undefined;
  /** A directory of which `look` gets a copy to work in, since the programs write to it. */
  readonly copied?: string | undefined;
  /** Hosts that `act` may reach. */
  readonly egress?: readonly EgressHost[];
  /** What the programs may read besides: real absolute paths. */
  readonly readable?: readonly string[];
}

/** So many paths are named to a program at once: a script is not of any length. */
const PATHS_AT_ONCE = 200;

/** `act` with some of the paths after the other; not at all where there are none. */
export async function actOn(programs: Programs, argv: Argv, paths: readonly string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += PATHS_AT_ONCE)
    await programs.act([...argv, ...paths.slice(at, at + PATHS_AT_ONCE)]);
}

/** Commits need an author: where none is configured, systems other than git take this. A user is whom git knows. */
function fallbackAuthor(settings: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { 'user.name': name, 'user.email': email } = settings;
  const who = name === undefined || email === undefined ? CO_AUTHOR : { name, email };
  return { EMAIL: `${who.name} <${who.email}>` };
}

export function sandboxedPrograms(context: ToolContext, options: ProgramsOptions): Programs {
  return {
    look: (...commands) => runAll({ context, options, commands, looks: true }),
    act: (...commands) => runAll({ context, options, commands, looks: false }),
  };
}

interface Step {
  readonly context: ToolContext;
  readonly options: ProgramsOptions;
  readonly commands: readonly Argv[];
  readonly looks: boolean;
}

async function runAll({ context, options, commands, looks }: Step): Promise<readonly string[]> {
  const { workspace, sandbox, signal } = context;
  const places = await (looks ? lookingPlaces : commandPlaces)(workspace, sandbox);
  const mark = randomUUID();
  const copied = looks ? options.copied : undefined;
  const script = [
    `command -v ${quoted(options.program)} >/dev/null 2>&1 || { echo ${mark}-missing; exit 1; }`,
    ...(copied === undefined ? [] : copyOf(copied, workspace.root)),
    ...(looks && !sandbox.confined ? [options.lookUnconfined ?? ''] : []),
    RUN.replaceAll('MARK', mark),
    ...commands.map((argv) => `run ${argv.map(quoted).join(' ')}`),
  ].join('\n');
  const author = fallbackAuthor(places.gitSettings);
  const env = { ...author, ...places.env, ...options.env, ...(looks ? options.lookEnv : {}) };
  const seconds = looks ? LOOK_SECONDS : ACT_SECONDS;
  const readable = [...(places.readable ?? []), ...(options.readable ?? [])];
  const egress = looks ? [] : (options.egress ?? []);
  const command = { ...places, readable, script, env, egress, timeoutMs: seconds * 1_000 };
  const result = await sandbox.run(command, signal);
  return outputsOf(result, { mark, options, seconds, count: commands.length });
}

/** Descriptor 3 is the output; what a program complains of is shown only where it fails. */
const RUN = `exec 3>&1
run() {
  complaint=$( { "$@" >&3 3>&-; } 2>&1 ) && { printf '\\nMARK\\n'; return; }
  code=$?
  printf '\\nMARK-failed\\n%s' "$complaint"
  exit "$code"
}`;

function copyOf(directory: string, root: string): string[] {
  const within = `"$copy"${quoted(root.slice(directory.length))}`;
  return [
    'copy=$(mktemp -d) || exit',
    `trap 'chmod -R u+w "$copy"; rm -rf "$copy"' EXIT`,
    `cp -a ${quoted(directory)}/. "$copy" && cd ${within} || exit`,
  ];
}

interface Expected {
  readonly mark: string;
  readonly options: ProgramsOptions;
  readonly seconds: number;
  readonly count: number;
}

function outputsOf({ output, droppedBytes, end }: CommandResult, expected: Expected): readonly string[] {
  const { mark, options, seconds, count } = expected;
  const { program, purpose } = options;
  if (end.type === 'timeout') throw new VcsError(`${program} took longer than ${seconds} s and was killed.`);
  if (end.type === 'limit') throw new VcsError(`${program} was killed: ${end.limit} ran out.`);
  if (end.type === 'aborted') throw new VcsError(`${program} was stopped before it ended.`);
  if (output.includes(`${mark}-missing`)) {
    throw new VcsError(
      `${program} is not installed here, and ${purpose}. Go on without it, and say so when the task is done.`,
    );
  }
  if (droppedBytes > 0)
    throw new VcsError(`${program} said more than can be kept (${droppedBytes} bytes more); name a path.`);
  const outputs = output.split(`\n${mark}\n`);
  if (outputs.length === count + 1) return outputs.slice(0, -1);
  throw new VcsError(complaintOf(outputs.at(-1) ?? '', { mark, program, end }));
}

function complaintOf(
  last: string,
  {
    mark,
    program,
    end,
  }: Pick<Expected, 'mark'> & { readonly program: string; readonly end: CommandResult['end'] },
): string {
  const [said = '', complaint = ''] = last.split(`\n${mark}-failed\n`);
  const words = `${said.trim()}\n${complaint.trim()}`.trim().slice(0, MAX_ERROR_CHARS);
  const how = end.type === 'exit' ? `exit code ${end.code}` : end.type === 'signal' ? end.signal : end.type;
  return `${program} failed (${how}): ${words === '' ? 'it said nothing' : words}`;
}

export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
