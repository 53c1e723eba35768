/**
 * A script for bash, taken apart into what rules speak of. Only constructs that are named here are trusted to do no more than
 * they show; with every other, `opaque` says that no rule can allow the whole.
 */
import type { Command, ParsedScript, Redirection, SyntaxNode, Word, WordPart } from 'unbash';
import { isRunner, publishes } from './runners.ts';
import { literalOf, textOf } from './words.ts';

type Unbash = typeof import('unbash');

export type ShellPart =
  /** One simple command: its words as bash will read them, quoted where they need it, with `HOLE` for what bash puts in. */
  | { readonly kind: 'command'; readonly text: string; readonly publishes: boolean }
  /** It runs or sets what its text does not show. */
  | { readonly kind: 'opaque' }
  /** The grammar does not take it. */
  | { readonly kind: 'unparsed' }
  /** A redirection to a file, as written: absolute, or from where the script begins. */
  | { readonly kind: 'write'; readonly path: string };

/** Longest script that is taken apart, in characters; a longer one is opaque. */
export const MAX_SCRIPT_LENGTH = 32_768;

export type SplitCommand = (script: string) => readonly ShellPart[];

/** Loaded when a command is first judged: it takes 12 ms. The parts come in the script's order; one at least. */
export async function loadShell(): Promise<SplitCommand> {
  const unbash = await import('unbash');
  return (script) => partsOf(unbash, script);
}

/**
 * What bash and the parser may read in two ways: a carriage return, a backslash at the end, a line that goes on within a word or a sign. To bash `$\` and
 * `(x)` on the next line are `$(x)`.
 */
const DISPUTED = /\r|(^|[^ \t])\\\n|\\$/;

function partsOf(unbash: Unbash, script: string): readonly ShellPart[] {
  // No bash is handed these.
  if (script.includes('\0') || !script.isWellFormed()) return [{ kind: 'unparsed' }];
  if (script.length > MAX_SCRIPT_LENGTH || DISPUTED.test(script)) return [{ kind: 'opaque' }];
  const reader = new Reader(unbash);
  reader.script(unbash.parse(script));
  return reader.parts.length === 0 ? [{ kind: 'opaque' }] : reader.parts;
}

class Reader {
  readonly parts: ShellPart[] = [];
  readonly #unbash: Unbash;
  /** Whether a command before may have changed the directory. */
  #moved = false;

  constructor(unbash: Unbash) {
    this.#unbash = unbash;
  }

  script(script: ParsedScript): void {
    if (script.errors !== undefined && script.errors.length > 0) this.parts.push({ kind: 'unparsed' });
    for (const statement of script.commands) this.#visit(statement);
  }

  #opaque(): void {
    this.parts.push({ kind: 'opaque' });
  }

  #visit(node: SyntaxNode): void {
    if (node.type === 'Script') this.script(node);
    else if (node.type === 'Command') this.#command(node);
    else if (isRedirection(node)) this.#redirection(node);
    else {
      if (!isTrusted(node)) this.#opaque();
      this.#children(node);
    }
  }

  #children(node: SyntaxNode): void {
    this.#unbash.forEachChild(node, (child) => this.#visit(child));
  }

  #command(node: Command): void {
    const words = [node.name, ...node.suffix].filter((each): each is Word => each?.type === 'Word');
    const [name, ...args] = words.map(literalOf);
    // An assignment, before a command or instead of one, is made opaque by itself.
    if (words.length > 0) {
      if (name === undefined || isRunner(name, args)) this.#opaque();
      const text = words.map(textOf).join(' ');
      this.parts.push({ kind: 'command', text, publishes: publishes(name, args) });
    }
    this.#children(node);
    if (name === undefined || MOVES.test(name)) this.#moved = true;
  }

  #redirection(node: Redirection): void {
    if (node.descriptor?.type === 'FileDescriptorVariable') this.#opaque();
    if (node.type === 'HereDoc') {
      if (node.closing === undefined) this.#opaque();
      // Only what stands in the body can run anything.
      for (const part of node.body.parts ?? []) this.#visit(part);
      return;
    }
    if (node.type === 'Redirect') this.#target(node.operator, node.target);
    if (node.target !== undefined) this.#visit(node.target);
  }

  #target(operator: string, target: Word | undefined): void {
    const path = target === undefined ? undefined : literalOf(target);
    const isKnown = path !== undefined && path !== '' && !NETWORK.test(path);
    const isDescriptor = isKnown && operator.endsWith('&') && /^(\d+-?|-)$/.test(path);
    const isRead = operator === '<' || operator === '<&';
    if (isKnown && (isDescriptor || isRead || DISCARDED.test(path))) return;
    if (isKnown && (path.startsWith('/') || !this.#moved)) this.parts.push({ kind: 'write', path });
    else this.#opaque();
  }
}

/** What does nothing by itself: what it holds is judged, and what it makes of a word is a hole in that word. */
const TRUSTED: ReadonlySet<SyntaxNode['type']> = new Set([
  ...(['Statement', 'AndOr', 'Pipeline', 'Time', 'Negation', 'Subshell', 'BraceGroup'] as const),
  ...(['CompoundList', 'If', 'Elif', 'While', 'Redirected', 'Word', 'Literal', 'SingleQuoted'] as const),
  ...(['DoubleQuoted', 'AnsiCQuoted', 'LocaleString', 'SimpleExpansion', 'Glob', 'ExtendedGlob'] as const),
  ...(['BraceExpansion', 'Default', 'Remove', 'Replace', 'CaseModification'] as const),
]);

const MOVES = /^(cd|pushd|popd)$/;
/** Bash opens a connection for these, whatever the file system has. */
const NETWORK = /^\/dev\/(tcp|udp)\//;
const DISCARDED = /^\/dev\/(null|stdout|stderr|fd\/\d+)$/;

function isTrusted(node: SyntaxNode): boolean {
  if (node.type === 'ParameterExpansion') return isPlainExpansion(node);
  if (node.type === 'CommandExpansion' || node.type === 'ProcessSubstitution')
    return node.script !== undefined;
  return TRUSTED.has(node.type);
}

function isRedirection(node: SyntaxNode): node is Redirection {
  return node.type === 'Redirect' || node.type === 'HereString' || node.type === 'HereDoc';
}

/** Neither sets a variable, nor reads the value of one as more than text. */
function isPlainExpansion(node: Extract<WordPart, { type: 'ParameterExpansion' }>): boolean {
  if (node.index !== undefined || node.prefix === '!') return false;
  if (node.operation === undefined) return true;
  if (node.operation.type === 'Default') return /^:?[-+]$/.test(node.operation.operator);
  return TRUSTED.has(node.operation.type);
}
