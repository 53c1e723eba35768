/** The names of tools, for whoever knows no tools: settings, and the command line. */
import { nearest } from './nearest.ts';
import type { Rule } from './permission.ts';

export const DELEGATE_TASK = 'delegate_task';
export const TODO = 'todo';
export const MERGE_CHILD = 'merge_child';

/** Those that come with Capybara, also where a setting switches them off. */
export const TOOL_NAMES: readonly string[] = [
  ...['read_file', 'write_file', 'edit_file', 'search_replace', 'apply_patch', 'list_dir', 'glob', 'grep'],
  ...['bash', 'bash_poll', 'bash_input', 'bash_kill', 'bash_online', 'read_output', 'repo_map', TODO],
  ...['vcs_status', 'vcs_diff', 'vcs_log', 'vcs_branch', 'vcs_commit', 'vcs_apply', 'vcs_submit'],
  ...['web_fetch', 'web_search', DELEGATE_TASK, MERGE_CHILD],
];

/** A pattern for several, or a tool of a server that is asked for its tools: `server__tool`. */
const UNLISTED = /[*?]|__/;
/** Names that are told; of more, how many. */
const TOLD = 5;

/**
 * A sentence without its stop about the tools of rules that there are none of, so that the rules count for nothing; undefined where each
 * may be one. `more`: names beside those that come with Capybara.
 */
export function sayUnknownTools(
  rules: readonly Pick<Rule, 'tool'>[],
  more: readonly string[] = [],
): string | undefined {
  const names = [...TOOL_NAMES, ...more];
  const unknown = [...new Set(rules.map(({ tool }) => tool))].filter(
    (tool) => !UNLISTED.test(tool) && !names.includes(tool),
  );
  if (unknown.length === 0) return undefined;
  const told = unknown
    .slice(0, TOLD)
    .map((tool) => `"${tool}" (the nearest one is "${nearest(tool, names)}")`);
  const rest = unknown.length > TOLD ? [`${unknown.length - TOLD} more`] : [];
  return `Rules for tools that do not exist count for nothing: ${[...told, ...rest].join(', ')}`;
}
