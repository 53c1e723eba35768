/** What Capybara itself is, and what it runs on. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VERSION } from '../version.ts';
import type { Check } from './check.ts';

const LEAST_NODE = 24;

export function capybara(): Check {
  const directory = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  return { name: 'Capybara', state: 'ok', found: `${VERSION}, in ${directory}` };
}

export function node(version = process.versions.node, program = process.execPath): Check {
  const found = `${version}, ${program}`;
  if (Number.parseInt(version, 10) >= LEAST_NODE) return { name: 'Node', state: 'ok', found };
  return {
    ...{ name: 'Node', state: 'wrong', found: `${found}, and ${LEAST_NODE} is needed` },
    cure: 'npm install --global capybara --include=optional brings its own, or install Node 24',
  };
}
