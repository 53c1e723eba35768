/** What settings say about what agents may do and must ask. */
import { z } from 'zod';
import { MAX_RULE_LENGTH, parseConfiguredRule } from '../core/permission.ts';
import { parseJson } from './json.ts';

/** Rules that may be set. */
export const MAX_RULES = 500;
/** Of a rule, or of what it says, as far as it is shown. */
const SHOWN_LENGTH = 80;

export const RULES = {
  env: 'CAPYBARA_PERMISSIONS',
  expected: `a map of at most ${MAX_RULES} rules, {"tool(pattern)": "allow", "ask" or "deny"}`,
};

const decision = z.enum(['allow', 'ask', 'deny']);

const list = z.record(z.string(), decision).transform((given, context) =>
  Object.entries(given).flatMap(([text, decided]) => {
    const rule = parseConfiguredRule(text, decided);
    if (rule === undefined) context.addIssue({ code: 'custom', message: 'no rule' });
    return rule ?? [];
  }),
);

/** `{"bash(git push *)": "ask"}`, as a map or as its JSON, in its order: the last that matches counts. */
export const rules = z.preprocess(
  parseJson,
  list.refine((found) => found.length <= MAX_RULES),
);

/** Which rule of a map is none, what was expected and what was found; undefined where it is no map, or each is one. */
export function wrongRule(raw: unknown): string | undefined {
  const map = parseJson(raw);
  if (typeof map !== 'object' || map === null || Array.isArray(map)) return undefined;
  return Object.entries(map)
    .map(([text, value]) => faultOf(text, value))
    .find((fault) => fault !== undefined);
}

function faultOf(text: string, value: unknown): string | undefined {
  const rule = `the rule ${shown(text)}`;
  if (parseConfiguredRule(text, 'ask') === undefined)
    return `${rule} must be tool, tool(pattern) or agent/tool(pattern), of at most ${MAX_RULE_LENGTH} characters`;
  if (decision.safeParse(value).success) return undefined;
  return `${rule} must say "allow", "ask" or "deny"; found ${shown(value)}`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}
