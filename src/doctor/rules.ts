import { type Config, PROJECT_CONFIG, projectTerms } from '../config.ts';
import { sayRuleOfUnknownAgent } from '../core/agent-names.ts';
import type { ConfiguredRule } from '../core/permission.ts';
import { sayUnknownTools } from '../core/tool-names.ts';
import type { Check } from './check.ts';

/** Whether what agents may do is said of tools that there are: by the settings, and by the project in `directory`. */
export function permissionRules({ permissions = [], agents }: Config, directory: string): Check[] {
  const names = Object.keys(agents);
  const { rules } = projectTerms(directory);
  return [
    ...agentsOf('agents of permissions', permissions, names),
    ...agentsOf('agents of the project', rules, names),
    ...toolsOf(
      'permissions',
      permissions,
      'mend their names where `capybara config show` says they are from',
    ),
    ...toolsOf('permissions of the project', rules, `mend their names in its ${PROJECT_CONFIG}`),
  ];
}

function agentsOf(name: string, rules: readonly ConfiguredRule[], names: readonly string[]): Check[] {
  const found = sayRuleOfUnknownAgent(rules, names);
  return found === undefined ? [] : [{ name, state: 'wrong', found }];
}

function toolsOf(name: string, rules: readonly ConfiguredRule[], cure: string): Check[] {
  if (rules.length === 0) return [];
  const found = sayUnknownTools(rules);
  if (found !== undefined) return [{ name, state: 'wrong', found, cure }];
  return [{ name, state: 'ok', found: 'there is a tool for each rule' }];
}
