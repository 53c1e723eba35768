import { type Config, projectTerms } from '../config.ts';
import { sayRuleOfUnknownAgent } from '../core/agent-names.ts';
import { sayUnknownTools } from '../core/tool-names.ts';
import type { TaskRequest } from './task-input.ts';

/** A sentence about rules for a task that bind nothing: a server's own it tells itself, when it starts. */
export function ruleWarning(
  { url, agents, permissions = [] }: Config,
  request: TaskRequest,
): string | undefined {
  const ofProjects = directoriesOf(request).flatMap((directory) => projectTerms(directory).rules);
  const all = [...(url === undefined ? permissions : []), ...ofProjects];
  const names = url === undefined ? Object.keys(agents) : undefined;
  const sentences = [
    sayUnknownTools(all),
    // Which agents a server has, it knows.
    names === undefined ? undefined : sayRuleOfUnknownAgent(ofProjects, names),
  ].filter((sentence) => sentence !== undefined);
  return sentences.length === 0 ? undefined : `${sentences.join('. ')}.`;
}

/** Those whose projects may say what their tasks must ask. */
function directoriesOf({ body: { workspace }, sends, continues, roots = [] }: TaskRequest): string[] {
  const local = workspace?.kind === 'local' ? workspace.path : undefined;
  const one = sends?.directory ?? continues ?? local;
  const sent = roots.flatMap(({ source }) => ('dataDir' in source ? [source.directory] : []));
  return [...(one === undefined ? [] : [one]), ...sent];
}
