import type { Config } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { webSearchTool } from '../tools/web-search.ts';
import type { Check } from './check.ts';

/** What would keep a task, or a server, from starting. */
export function webSearch({ webSearch: settings }: Config): Check[] {
  if (settings.provider === undefined) return [];
  const name = 'web search';
  try {
    webSearchTool(settings);
    return [{ name, state: 'ok', found: `${settings.provider} has what it needs` }];
  } catch (error) {
    return [{ name, state: 'wrong', found: messageOf(error).replace(/\.$/, '') }];
  }
}
