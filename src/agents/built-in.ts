/** The agents that come with Capybara. Their prompts are the files beside this one. */
import { readFileSync } from 'node:fs';
import type { BuiltInAgent } from '../core/agent-names.ts';
import type { Mode } from '../core/profile.ts';

export interface BuiltIn {
  /** What it is for, in a few words. */
  readonly about: string;
  readonly prompt: string;
  readonly mode: Mode;
  /** Whether its tools may change anything. No setting and no request makes one write that may not. */
  readonly writes: boolean;
  /** Whether its work has steps: it keeps a list of them. */
  readonly lists: boolean;
}

export const BUILT_IN: Readonly<Record<BuiltInAgent, BuiltIn>> = {
  build: writing('build', 'does a coding task and proves it'),
  debug: writing('debug', 'finds out why something fails, and mends it'),
  refactor: writing('refactor', 'changes how code is built, and nothing of what it does'),
  plan: reading('plan', 'reads, and hands back a plan', { lists: true }),
  ask: reading('ask', 'answers a question about the project'),
  architect: reading('architect', 'designs, and weighs ways against each other', { lists: true }),
  audit: reading('audit', 'looks for what can go wrong: security, data, load', { lists: true }),
  explain: reading('explain', 'explains how something works'),
  review: reading('review', 'says what must be mended in a change', { lists: true }),
};

function writing(name: BuiltInAgent, about: string): BuiltIn {
  return { about, prompt: readPrompt(name), mode: 'safe', writes: true, lists: true };
}

function reading(name: BuiltInAgent, about: string, { lists = false } = {}): BuiltIn {
  return { about, prompt: readPrompt(name), mode: 'plan', writes: false, lists };
}

function readPrompt(name: string): string {
  return readFileSync(new URL(`./${name}.md`, import.meta.url), 'utf8').trimEnd();
}
