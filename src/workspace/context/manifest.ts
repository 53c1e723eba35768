/** A file that says what a project is, and what it says. Everything in it is a stranger's: readers keep texts only. */

export interface Manifest {
  /** Its own name: `package.json`. */
  readonly name: string;
  readonly text: string;
  /** Names of the files in its directory. */
  readonly beside: ReadonlySet<string>;
  /** Those, and the names of the files in each directory above it. */
  readonly around: ReadonlySet<string>;
}

export interface Command {
  /** As it is typed. */
  readonly run: string;
  /** What it stands for, where the project says so. */
  readonly does?: string;
}

export interface Found {
  /** `Node.js, TypeScript, npm`. */
  readonly kind: string;
  /** What the project calls itself. */
  readonly name?: string | undefined;
  readonly dependencies?: readonly string[];
  /** Those for development. */
  readonly development?: readonly string[];
  readonly commands?: readonly Command[];
}

/** Undefined: the file says nothing of a project. May throw where the file is malformed. */
export type Reader = (manifest: Manifest) => Found | undefined;

export function run(...commands: readonly string[]): Command[] {
  return commands.map((command) => ({ run: command }));
}

/** The keys of what should be a map. */
export function keysOf(value: unknown): string[] {
  return isRecord(value) ? Object.keys(value) : [];
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function recordOf(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

export function textIn(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** What the first group of a pattern matches, each once. */
export function allOf(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, found = '']) => found))];
}

export function without(names: readonly string[], left: readonly string[]): string[] {
  return names.filter((name) => !left.includes(name));
}
