/**
 * Whether a call may run: one pure decision over the mode, the rules and what the call names. Whoever asks has parsed commands
 * and resolved paths before; nothing here looks at a file.
 */
import { agentNamed } from './agent-names.ts';
import type { Effect } from './entry.ts';
import { type Match, matchGlob } from './glob.ts';
import type { Mode, Permissions } from './profile.ts';

export type Decision = 'allow' | 'ask' | 'deny';

/** `tool(pattern)` → decision. The last rule that matches counts. */
export interface Rule {
  readonly decision: Decision;
  /** A tool's name, or a pattern for several. */
  readonly tool: string;
  /** For paths (relative to the workspace, absolute outside it) or commands; without it every call of the tool matches. */
  readonly pattern?: string;
}

/**
 * A part of a call, judged by itself: a call may run only where all its parts may.
 *
 * - `command`: one simple command. `text` has its words as bash will read them, quoted where they need it, with `HOLE` for what
 *   bash puts in; `publishes`: it sends a repository's history elsewhere.
 * - `opaque`: it runs or sets what its text does not show, so that no rule can allow it: `eval`, `PATH=…`, `$COMMAND`.
 * - `unparsed`: the shell's grammar does not take it.
 * - `file`: a file that is read or changed; `tool`: whose rules speak of it, where that is not the call's own tool (a redirection is a
 *   `write_file`); `inRoot`: its path from the root that it is in, where the workspace has several.
 * - `whole`: a call that names neither.
 */
export type CallPart =
  | { readonly kind: 'command'; readonly text: string; readonly publishes: boolean }
  | { readonly kind: 'opaque' }
  | { readonly kind: 'unparsed' }
  | { readonly kind: 'whole' }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly isInside: boolean;
      readonly tool?: string;
      readonly inRoot?: string;
    };

export interface JudgedCall {
  readonly tool: string;
  readonly effect: Effect;
  readonly parts: readonly CallPart[];
  /** Whether commands are confined here. */
  readonly confined: boolean;
  /** Whether the workspace is Capybara's own, so that every change of its files can be taken back. */
  readonly managed: boolean;
}

export type Judgement =
  | { readonly decision: 'allow' }
  | { readonly decision: 'ask' }
  | { readonly decision: 'deny'; readonly reason: string };

/** What a part leads to, and the rule that says so. */
interface Verdict {
  readonly decision: Decision;
  readonly rule?: Rule;
  readonly reason?: string;
}

const ALLOW: Verdict = { decision: 'allow' };
const STRICTNESS: Readonly<Record<Decision, number>> = { allow: 0, ask: 1, deny: 2 };

export const PLAN_REASON =
  'This task runs in plan mode: nothing may be changed. Read, and describe the change.';

/** `permissions` without rules: the mode alone decides. */
export function judge(call: JudgedCall, mode: Mode, permissions: Permissions = {}): Judgement {
  if (mode === 'plan' && call.effect !== 'read') return { decision: 'deny', reason: PLAN_REASON };
  const verdicts = call.parts.map((part) => judgePart({ call, part, mode }, permissions));
  const verdict = verdicts.reduce(strictest, ALLOW);
  switch (verdict.decision) {
    case 'allow':
      return { decision: 'allow' };
    case 'deny':
      return { decision: 'deny', reason: verdict.reason ?? `The rule ${sayRule(verdict.rule)} forbids it.` };
    case 'ask':
      return mode === 'auto' ? unasked(call, verdict) : { decision: 'ask' };
  }
}

/** In `auto` nobody is asked: what a person would be asked about runs where it can do no harm, and nowhere else. */
function unasked(call: JudgedCall, { rule }: Verdict): Judgement {
  if (rule?.decision === 'deny') return { decision: 'deny', reason: mayForbid(rule) };
  if (isHarmless(call)) return { decision: 'allow' };
  const why =
    rule === undefined
      ? 'It cannot be read as a shell command'
      : `The rule ${sayRule(rule)} wants a person asked`;
  return {
    decision: 'deny',
    reason: `${why}, and mode auto asks nobody outside a sandbox. Do it another way, or say what is needed.`,
  };
}

/** It may match, and may not: a person could tell. */
function mayForbid(rule: Rule): string {
  return `The rule ${sayRule(rule)} may forbid it: the call does not show all that it does. Write it plainly, without variables, loops and shells in it.`;
}

function isHarmless({ effect, parts, confined }: JudgedCall): boolean {
  return parts.every((part) => {
    if (part.kind === 'file') return part.isInside && (part.tool === undefined || confined);
    return part.kind === 'whole' ? effect !== 'external' : confined;
  });
}

interface Judged {
  readonly call: JudgedCall;
  readonly part: CallPart;
  readonly mode: Mode;
}

function judgePart(judged: Judged, permissions: Permissions): Verdict {
  const { call, part } = judged;
  const { rules = [], restrictions = [], allowedPaths } = permissions;
  if (part.kind === 'file' && !isAllowedPath(part.path, allowedPaths)) {
    const reason = `${part.path} is outside the paths that tools may use here: ${allowedPaths?.join(', ')}.`;
    return { decision: 'deny', reason };
  }
  const tool = (part.kind === 'file' && part.tool) || call.tool;
  const decided = ruled(rules, { tool, part }) ?? byMode(judged);
  return strictest(decided, ruled(restrictions, { tool, part }) ?? ALLOW);
}

interface Subject {
  readonly tool: string;
  readonly part: CallPart;
}

/**
 * What the rules say: the last that matches. One that may match, but need not, never allows; where it asks or forbids, a person
 * is asked, unless an earlier rule that is certain forbids. Undefined: they say nothing.
 */
function ruled(rules: readonly Rule[], subject: Subject): Verdict | undefined {
  let possible: Verdict | undefined;
  for (const rule of rules.toReversed()) {
    const match = matchRule(rule, subject);
    if (match === 'certain') return strictest({ decision: rule.decision, rule }, possible ?? ALLOW);
    if (match !== 'possible' || rule.decision === 'allow') continue;
    possible = strictest(possible ?? ALLOW, { decision: 'ask', rule });
  }
  return possible;
}

function matchRule(rule: Rule, { tool, part }: Subject): Match {
  if (matchGlob(rule.tool, tool) === 'none') return 'none';
  const { pattern = '*' } = rule;
  const isAny = isWhole(pattern);
  if (part.kind === 'opaque' || part.kind === 'unparsed') {
    return isAny && rule.decision !== 'allow' ? 'certain' : 'possible';
  }
  if (isAny) return 'certain';
  if (part.kind === 'whole') return 'possible';
  if (part.kind === 'file') return matchFile({ ...rule, pattern }, part);
  // `git push *` means `git push` too.
  const patterns = pattern.endsWith(' *') ? [pattern, pattern.slice(0, -2)] : [pattern];
  const matches = patterns.map((each) => matchGlob(each, part.text));
  return (['certain', 'possible'] as const).find((match) => matches.includes(match)) ?? 'none';
}

/** What is forbidden in a project is so in each root; what is allowed is so only where the rule names the root. */
function matchFile(
  { pattern, decision }: Rule & { readonly pattern: string },
  { path, inRoot }: Extract<CallPart, { kind: 'file' }>,
): Match {
  const match = matchGlob(pattern, path, { isPath: true });
  if (match !== 'none' || inRoot === undefined || decision === 'allow') return match;
  return matchGlob(pattern, inRoot, { isPath: true });
}

/** Where no rule says anything. */
function byMode({ call, part, mode }: Judged): Verdict {
  if (part.kind === 'unparsed') return { decision: 'ask' };
  return mode === 'safe' && isDangerous(call, part) ? { decision: 'ask' } : ALLOW;
}

function isDangerous({ effect, confined, managed }: JudgedCall, part: CallPart): boolean {
  if (part.kind === 'file' && !part.isInside) return true;
  if (effect === 'read') return false;
  if (!managed || effect === 'external') return true;
  if (part.kind === 'command') return !confined || part.publishes;
  return part.kind === 'opaque' && !confined;
}

/** Of two that are equally strict, the first. */
function strictest(one: Verdict, other: Verdict): Verdict {
  return strictnessOf(other) > strictnessOf(one) ? other : one;
}

/** A question that stands for a rule that may forbid is stricter than another. */
function strictnessOf({ decision, rule }: Verdict): number {
  return STRICTNESS[decision] + (decision === 'ask' && rule?.decision === 'deny' ? 0.5 : 0);
}

function isAllowedPath(path: string, allowed: readonly string[] | undefined): boolean {
  if (allowed === undefined) return true;
  return allowed.some((each) =>
    each === '.' ? !path.startsWith('/') : path === each || path.startsWith(`${each}/`),
  );
}

/** Whether it must be known what a call of this tool names, although it merely reads. */
export function concerns(
  { rules = [], restrictions = [], allowedPaths }: Permissions,
  tool: string,
): boolean {
  if (allowedPaths !== undefined) return true;
  return [...rules, ...restrictions].some((rule) => matchGlob(rule.tool, tool) !== 'none');
}

/** A rule as settings have it: `agent/tool(pattern)` where it is for one agent only. */
export interface ConfiguredRule extends Rule {
  readonly agent?: string;
}

/** Those of an agent, and those of all. */
export function rulesOf(agent: string, rules: readonly ConfiguredRule[]): Rule[] {
  return rules
    .filter((rule) => rule.agent === undefined || agentNamed(rule.agent) === agent)
    .map(({ agent: _, ...rule }) => rule);
}

export function parseConfiguredRule(text: string, decision: Decision): ConfiguredRule | undefined {
  const [, agent, rest = ''] = /^(?:([\w-]+)\/)?(.*)$/su.exec(text) ?? [];
  const rule = parseRule(rest, decision);
  return rule === undefined || agent === undefined ? rule : { ...rule, agent };
}

/**
 * A project's rules where the project is one root of several: its paths begin with the root's name. What a rule says of commands, or of a
 * tool whatever it names, it says of the whole workspace: such rules only narrow.
 */
export function rulesUnder(root: string, rules: readonly ConfiguredRule[]): ConfiguredRule[] {
  return rules.flatMap((rule): ConfiguredRule[] => {
    const { pattern = '*', tool } = rule;
    if (isWhole(pattern) || pattern.startsWith('/')) return [rule];
    const ofFiles = { ...rule, pattern: `${root}/${pattern}` };
    const isOfCommands = COMMAND_TOOLS.some((name) => matchGlob(tool, name) !== 'none');
    return isOfCommands ? [rule, ofFiles] : [ofFiles];
  });
}

const COMMAND_TOOLS = ['bash', 'bash_online'];

function isWhole(pattern: string): boolean {
  return pattern === '*' || pattern === '**';
}

/** Longest rule, in characters. */
export const MAX_RULE_LENGTH = 1_000;

/** Reads `bash(git push *)`; undefined where the text is no rule. */
export function parseRule(text: string, decision: Decision): Rule | undefined {
  const [, tool, pattern] = /^([\w.*?-]+)(?:\(([^\0]+)\))?$/su.exec(text) ?? [];
  if (tool === undefined || text.length > MAX_RULE_LENGTH) return undefined;
  return { decision, tool, ...(pattern === undefined ? {} : { pattern }) };
}

export function sayRule(rule: Pick<Rule, 'tool' | 'pattern'> | undefined): string {
  if (rule === undefined) return '';
  return rule.pattern === undefined ? rule.tool : `${rule.tool}(${rule.pattern})`;
}

/**
 * What a person who answers `always` allows, beside the tool: exactly this command, this path (as `CallPart` has it), or these
 * arguments (their JSON). Compared as a whole, without patterns: never wider than what was shown.
 */
export interface Always {
  readonly kind: 'command' | 'path' | 'arguments';
  readonly value: string;
}

/** Longest value that is kept, in characters: what is longer can only be allowed once. */
export const MAX_ALWAYS_LENGTH = 10_000;
