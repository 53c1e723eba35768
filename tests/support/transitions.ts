/** The transitions as data: what their headers say, and which of them and what other steps a worker takes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './source-code.ts';

/** The text of all files below `directory` (from the root) whose names end so, without what is generated. */
export function textBelow(directory: string, ending: string): string {
  return filesBelow(directory, ending).join('\n');
}

function filesBelow(directory: string, ending: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.includes('generated'))
    .map((name) => readFileSync(join(ROOT, directory, name), 'utf8'));
}

/**
 * From → to of each function, by its header: `-- claim_turn: turn `queued` → `running`, under a new attempt; …` up to the
 * first full stop or colon that ends a clause.
 */
export function transitionHeaders(): Map<string, string> {
  const found = new Map<string, string>();
  const headers = /^-- (\w+): ((?:.*\n-- ?)*.*)\nCREATE FUNCTION \1\(/gm;
  for (const [, name = '', text = ''] of textBelow('src/store/transitions', '.sql').matchAll(headers)) {
    const sentence = text.replaceAll(/\n-- ?/g, ' ').split(/[.:](?:\s|$)/)[0] ?? '';
    found.set(name, sentence.trim());
  }
  return found;
}

export interface DurableStep {
  /** A transition's name; a function's, where it writes without one. */
  readonly name: string;
  /** It looks for work, and mostly finds none. */
  readonly isSweep: boolean;
}

/** What the code under `src/worker` makes durable, over whatever connection. */
export function durableSteps(): DurableStep[] {
  const worker = textBelow('src/worker', '.ts');
  const imports = worker.matchAll(/^import \{([^}]*)\} from '\.\.\/store\/[^']*'/gm);
  const used = new Set([...imports].flatMap(([, names = '']) => names.match(/\w+/g) ?? []));
  const headers = transitionHeaders();
  const called = filesBelow('src/store', '.ts')
    .flatMap(exportedFunctions)
    .filter(({ name }) => used.has(name))
    .flatMap(stepsOf);
  const named = [...worker.matchAll(/\$\{schema\}\.(\w+)\(/g)].map(([, name = '']) => ({
    name,
    isSweep: false,
  }));
  const isStep = ({ name }: DurableStep) => !headers.has(name) || headers.get(name)?.includes('→');
  return [...new Map([...called, ...named].filter(isStep).map((step) => [step.name, step])).values()];
}

interface ExportedFunction {
  readonly name: string;
  readonly body: string;
}

function exportedFunctions(text: string): ExportedFunction[] {
  const found = text.matchAll(/^export (?:async )?function (\w+)([\s\S]*?)^\}$/gm);
  return [...found].map(([, name = '', body = '']) => ({ name, body }));
}

function stepsOf({ name, body }: ExportedFunction): DurableStep[] {
  const calls = [...body.matchAll(/\.(transition|rows)(?:<[^(]*>)?\(\s*'(\w+)'/g)];
  const steps = calls.map(([, how, transition = '']) => ({ name: transition, isSweep: how === 'rows' }));
  return /\b(INSERT INTO|UPDATE|DELETE FROM)\b/.test(body) ? [...steps, { name, isSweep: false }] : steps;
}
