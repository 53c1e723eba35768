import { type Config, projectRules } from '../config.ts';
import { sayUnknownTools } from '../core/tool-names.ts';
import type { TaskRequest } from './task-input.ts';

/** A sentence about rules for a task that bind nothing: a server's own it tells itself, when it starts. */
export function ruleWarning({ url, permissions = [] }: Config, request: TaskRequest): string | undefined {
  const ofProjects = directoriesOf(request).flatMap(projectRules);
  const sentence = sayUnknownTools([...(url === undefined ? permissions : []), ...ofProjects]);
  return sentence && `${sentence}.`;
}

/** Those whose projects may say what their tasks must ask. */
function directoriesOf({ body: { workspace }, sends, continues, roots = [] }: TaskRequest): string[] {
  const local = workspace?.kind === 'local' ? workspace.path : undefined;
  const one = sends?.directory ?? continues ?? local;
  const sent = roots.flatMap(({ source }) => ('dataDir' in source ? [source.directory] : []));
  return [...(one === undefined ? [] : [one]), ...sent];
}
