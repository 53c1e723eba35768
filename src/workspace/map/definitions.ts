/** What a file defines, from its syntax tree: functions, classes and the like, each with its first line and what is said of it. */
import type { Node } from 'web-tree-sitter';
import { DEFINITIONS, type Definitions, type Grammar } from './grammars.ts';

export const DEFINITION_LIMITS = {
  /** Of one file. */
  count: 200,
  /** Levels of classes in classes. */
  depth: 8,
  signature: 140,
  documentation: 140,
} as const;

export interface Definition {
  readonly name: string;
  /** Its beginning, up to its body, on one line. */
  readonly signature: string;
  /** The first sentence that is said of it; empty where nothing is. */
  readonly documentation: string;
  /** 0: of the file itself. */
  readonly depth: number;
}

export function definitionsIn(root: Node, grammar: Grammar): readonly Definition[] {
  const found: Definition[] = [];
  walk(root, { rules: DEFINITIONS[grammar], found, depth: 0, nested: 0 });
  return found;
}

interface Walk {
  readonly rules: Definitions;
  readonly found: Definition[];
  /** Of definitions, and of nodes. */
  readonly depth: number;
  readonly nested: number;
}

function walk(node: Node, at: Walk): void {
  if (at.nested > 4 * DEFINITION_LIMITS.depth) return;
  for (const child of node.namedChildren) {
    if (child === null || at.found.length >= DEFINITION_LIMITS.count) return;
    visit(child, at);
  }
}

function visit(node: Node, at: Walk): void {
  const { rules, found, depth, nested } = at;
  const name = rules.named.includes(node.type) ? nameOf(node) : undefined;
  if (name !== undefined)
    found.push({
      name,
      signature: signatureOf(node, rules),
      documentation: documentationOf(node, rules),
      depth,
    });
  const isInside = name !== undefined || node.type === 'impl_item';
  const goesOn = rules.containers.includes(node.type) || rules.wrappers.includes(node.type);
  if (goesOn && depth < DEFINITION_LIMITS.depth)
    walk(node, { ...at, depth: isInside ? depth + 1 : depth, nested: nested + 1 });
}

const FUNCTIONS = ['arrow_function', 'function_expression', 'generator_function', 'class'];

/** Undefined: it defines nothing that others name. */
function nameOf(node: Node): string | undefined {
  // Of the variables of a script those that hold functions.
  if (node.type === 'variable_declarator' && !FUNCTIONS.includes(node.childForFieldName('value')?.type ?? ''))
    return undefined;
  // `struct S *next;` only mentions one.
  if (/_specifier$/.test(node.type) && node.childForFieldName('body') === null) return undefined;
  let name = node.childForFieldName('name') ?? node.childForFieldName('declarator');
  for (let deep = 0; name !== null && deep < DEFINITION_LIMITS.depth; deep++) {
    const inner = name.childForFieldName('declarator') ?? name.childForFieldName('name');
    if (inner === null) break;
    name = inner;
  }
  const text = name?.text ?? '';
  return /^[\w$~?!=<>[\]+*/%&|^-]{1,80}$/.test(text) ? text : undefined;
}

/** The outermost node that is nothing but this definition. */
function whole(node: Node, { wrappers }: Definitions): Node {
  let at = node;
  while (at.parent !== null && wrappers.includes(at.parent.type)) at = at.parent;
  return at;
}

function signatureOf(node: Node, rules: Definitions): string {
  const outer = whole(node, rules);
  const body = bodyOf(node);
  const from = node.type === 'type_spec' || outer.type === 'decorated_definition' ? node : outer;
  const end = body === null ? from.endIndex : body.startIndex;
  const text = from.text.slice(0, Math.max(0, end - from.startIndex));
  const line = text
    .slice(0, 1_000)
    .replace(/\s+/g, ' ')
    .replace(/\s*(=>|[{:=;])\s*$/, '')
    .trim();
  return cut(line, DEFINITION_LIMITS.signature);
}

function bodyOf(node: Node): Node | null {
  const value = node.type === 'variable_declarator' ? node.childForFieldName('value') : null;
  return (value ?? node).childForFieldName('body');
}

/** Of comments right before it, or of a string at the beginning of its body. */
function documentationOf(node: Node, rules: Definitions): string {
  const inside = bodyOf(node)?.firstNamedChild;
  const text = inside?.type === 'expression_statement' ? inside.firstNamedChild : inside;
  if (text?.type === 'string')
    return firstSentence(text.text.slice(0, 2_000).replace(/^\w*["']+|["']+$/g, ''));
  const lines: string[] = [];
  let at = whole(node, rules);
  for (
    let before = at.previousNamedSibling;
    before !== null && lines.length < 40;
    before = before.previousNamedSibling
  ) {
    const gap = at.startPosition.row - before.endPosition.row;
    if (!/comment/.test(before.type) || gap > 1) break;
    lines.unshift(before.text.slice(0, 2_000));
    at = before;
  }
  return firstSentence(lines.join('\n'));
}

function firstSentence(comment: string): string {
  const text = comment
    .split('\n')
    .map((line) =>
      line
        .trim()
        .replace(/^(\/\*+!?|\*+\/|\*+|\/\/+!?|#+)/, '')
        .replace(/\*+\/$/, ''),
    )
    .join(' ')
    .replace(/<\/?[a-z]{1,20}\/?>/gi, '')
    .replace(/\s+/g, ' ')
    .trim();
  return cut(/^.{1,400}?[.!?](?=\s|$)/.exec(text)?.[0] ?? text, DEFINITION_LIMITS.documentation);
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1).toWellFormed()}…` : text;
}
