/**
 * Reads a profile of sandbox-exec(1) as macOS does, as far as it is about paths and ports: of the rules of an operation the last one
 * that fits counts. What it cannot judge fits nothing.
 */
type Form = string | readonly Form[];

export interface Asked {
  /** Such as `file-read-data`. */
  readonly operation: string;
  readonly path?: string;
  readonly isDirectory?: boolean;
}

/** Whether the profile allows it. */
export function allows(profile: string, asked: Asked): boolean {
  let isAllowed = false;
  for (const [verb, ...rest] of parse(profile)) {
    if (verb !== 'allow' && verb !== 'deny') continue;
    const names = rest.filter((each) => typeof each === 'string');
    const filters = rest.filter((each) => typeof each !== 'string' && each[0] !== 'with') as Form[][];
    const isMeant = names.some((name) => covers(name, asked.operation));
    if (isMeant && (filters.length === 0 || filters.some((filter) => fits(filter, asked))))
      isAllowed = verb === 'allow';
  }
  return isAllowed;
}

/** The rules of an operation, each as text. */
export function rulesOf(profile: string, operation: string): string[] {
  return parse(profile)
    .filter(([, ...rest]) => rest.some((name) => typeof name === 'string' && covers(name, operation)))
    .map((rule) => say(rule));
}

function covers(name: string, operation: string): boolean {
  return (
    name === 'default' ||
    name === operation ||
    (name.endsWith('*') && operation.startsWith(name.slice(0, -1)))
  );
}

function fits([name, ...rest]: readonly Form[], asked: Asked): boolean {
  const { path = '', isDirectory = false } = asked;
  const [first = ''] = rest;
  const text = typeof first === 'string' ? first : '';
  switch (name) {
    case 'subpath':
      return path === text || path.startsWith(`${text.replace(/\/$/, '')}/`);
    case 'literal':
      return path === text;
    case 'regex':
      return new RegExp(text).test(path);
    case 'vnode-type':
      return text === 'DIRECTORY' && isDirectory;
    case 'require-all':
      return rest.every((each) => typeof each !== 'string' && fits(each, asked));
    case 'require-any':
      return rest.some((each) => typeof each !== 'string' && fits(each, asked));
    case 'require-not':
      return typeof first !== 'string' && !fits(first, asked);
    default:
      return false;
  }
}

function parse(profile: string): (readonly Form[])[] {
  const tokens = profile.match(/;[^\n]*|#?"(?:[^"\\]|\\.)*"|[()]|[^\s()"]+/g) ?? [];
  const stack: Form[][] = [[]];
  for (const token of tokens.filter((each) => !each.startsWith(';'))) {
    if (token === '(') stack.push([]);
    else if (token === ')') {
      const done = stack.pop() ?? [];
      stack.at(-1)?.push(done);
    } else stack.at(-1)?.push(textOf(token));
  }
  return (stack[0] ?? []).filter((each) => typeof each !== 'string');
}

/** A string of the profile's, or of its regular expressions, which escapes nothing. */
function textOf(token: string): string {
  if (token.startsWith('#"')) return token.slice(2, -1);
  return token.startsWith('"') ? (JSON.parse(token) as string) : token;
}

function say(form: Form): string {
  return typeof form === 'string' ? form : `(${form.map(say).join(' ')})`;
}
