/** What `mcp test` prints: that a server can be used and with what, or why not and what to do. */
import type { McpTrial } from '../api/wire-mcp.ts';
import type { Config, McpServerSettings } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { nearest } from '../core/nearest.ts';
import { neutralised, oneLine } from './untrusted-text.ts';

type TrialHere = Awaited<ReturnType<typeof import('../worker/mcp-trial.ts')['tryServer']>>;
type FailedHere = Extract<TrialHere, { ok: false }>;
export type Trial = TrialHere | McpTrial;
type Working = Extract<TrialHere, { ok: true }> & { readonly wants?: string | null };
type Failed = Extract<McpTrial, { ok: false }> & Partial<FailedHere>;

/** Of what a server said on its standard error: those at its beginning, and at its end. */
const SAID_LINES = 8;
const SAID_COLUMNS = 300;
const NAME_COLUMNS = 80;
/** Names of tools that no agent sees. */
const LEFT_OUT = 20;

/** Throws `UserError` with the nearest one where there is none of that name. */
export function configuredServer({ mcp }: Pick<Config, 'mcp'>, name: string): McpServerSettings {
  const found = new Map(Object.entries(mcp.servers)).get(name);
  if (found !== undefined) return found;
  const near = nearest(name, Object.keys(mcp.servers));
  const hint =
    near === undefined
      ? '`capybara mcp add NAME` adds one'
      : `the nearest one is ${near}, and \`capybara mcp list\` has all`;
  throw new UserError('unknown_mcp_server', `There is no MCP server ${JSON.stringify(name)}: ${hint}.`);
}

/** `settings`: undefined of a server that is configured elsewhere. */
export function trialText(server: string, trial: Trial, settings: McpServerSettings | undefined): string {
  const lines = trial.ok ? workingLines(server, trial) : failedLines(server, trial, settings);
  return `${lines.join('\n')}\n`;
}

function workingLines(
  server: string,
  { ms, name, version, tools, leftOut, refused, wants }: Working,
): string[] {
  const itself = oneLine(`${name} ${version}`, NAME_COLUMNS);
  const count = tools.length === 1 ? '1 tool' : `${tools.length || 'no'} tools`;
  const width = Math.max(0, ...tools.map((tool) => tool.name.length));
  return [
    `✓ ${server} works: it answered in ${ms} ms, calls itself ${itself}, and has ${count}.`,
    ...tools.map((tool) => `  ${tool.name.padEnd(width)}  ${tool.isAsked ? 'is asked about' : 'reads'}`),
    ...leftOutLines(leftOut, refused),
    ...(wants == null
      ? []
      : [
          `A call wanted more than was signed in for (${oneLine(wants, SAID_COLUMNS)}): \`capybara mcp login ${server}\`.`,
        ]),
  ];
}

function leftOutLines(leftOut: Working['leftOut'], refused: number): string[] {
  const ofReason = (wanted: (typeof leftOut)[number]['why'], about: string) => {
    const names = leftOut.flatMap(({ tool, why }) => (why === wanted ? [oneLine(tool, NAME_COLUMNS)] : []));
    if (names.length === 0) return [];
    const more = names.length > LEFT_OUT ? `, and ${names.length - LEFT_OUT} more` : '';
    return [`Left out, ${about}: ${names.slice(0, LEFT_OUT).join(', ')}${more}.`];
  };
  const entries = refused === 1 ? '1 entry' : `${refused} entries`;
  return [
    ...ofReason('setting', 'since its setting tools does not name them'),
    ...ofReason('schema', 'since they describe what they take at greater length than models read'),
    ...(refused === 0 ? [] : [`Left out, since they are no tools: ${entries} of its list.`]),
  ];
}

function failedLines(server: string, trial: Failed, settings: McpServerSettings | undefined): string[] {
  const said = trial.said === null ? [] : ['It said:', ...saidLines(trial.said)];
  const step = trial.isGuarded ? [] : [stepAfter(server, trial, settings)];
  return [`✗ The MCP server ${server} ${trial.why}.`, ...said, ...step];
}

function saidLines(said: string): string[] {
  const lines = neutralised(said)
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => `  ${oneLine(line, SAID_COLUMNS)}`);
  const more = lines.length - 2 * SAID_LINES;
  if (more <= 0) return lines;
  return [...lines.slice(0, SAID_LINES), `  (${more} more lines)`, ...lines.slice(-SAID_LINES)];
}

/** What to do next, a sentence. */
export function stepAfter(
  server: string,
  { absent = null, isLate = false, isGuarded }: Failed,
  settings: McpServerSettings | undefined,
): string {
  if (isGuarded) return `Sign your team in there: \`capybara mcp login ${server}\`.`;
  if (settings === undefined)
    return 'Look whether it runs there, and whether its address and headers are those: whoever added it corrects them.';
  if (!('command' in settings))
    return 'Look whether it runs there, and whether its address and headers are those: add it anew with --force where they are not.';
  if (absent?.isHere)
    return `${absent.word} is on this machine, and not to be seen where commands of agents run: put it below the project, or install it for the whole system.`;
  if (absent !== null)
    return `There is no program ${absent.word}: install it, or add the server anew with --force and the one that there is.`;
  const { env = {}, hosts = [], workspace } = settings;
  const given =
    `It is given these variables: ${listed(Object.keys(env))} (--env); hosts: ${listed(hosts.map(({ host }) => host))} (--host); ` +
    `and of the project's files: ${workspace} (--workspace). Where it needs others, add it anew with --force.`;
  if (!isLate) return given;
  const setting =
    settings.connectSeconds === undefined ? 'mcp.connectSeconds' : `mcp.servers.${server}.connectSeconds`;
  return `${given} Where it needs longer, set ${setting}.`;
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(' ');
}
