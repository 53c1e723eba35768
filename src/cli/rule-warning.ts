import { type Config, projectRules } from '../config.ts';
import { sayUnknownTools } from '../core/tool-names.ts';
import type { TaskRequest } from './task-input.ts';

/** A sentence about rules for a task that bind nothing: a server's own it tells itself, when it starts. */
export function ruleWarning({ url, permissions = [] }: Config, request: TaskRequest): string | undefined {
  const { workspace } = request.body;
  const local = workspace?.kind === 'local' ? workspace.path : undefined;
  const directory = request.sends?.directory ?? request.continues ?? local;
  const ofProject = directory === undefined ? [] : projectRules(directory);
  const sentence = sayUnknownTools([...(url === undefined ? permissions : []), ...ofProject]);
  return sentence && `${sentence}.`;
}
