/** The source as data, for the rules that a test enforces: what each file imports, calls and says. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync, Visitor } from 'vite';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** From the project's root: `src/core/turn.ts`. */
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  /** Names of functions that are called, and of classes that are made: `f` of `f()`, `a.f()` of neither. */
  readonly calls: readonly string[];
  /** Texts of literals, templates included, without what is put into them. */
  readonly texts: readonly string[];
  /** Names, as `Date` and `Date.now` of `Date.now()`; and `await`, `async` where they occur. */
  readonly words: ReadonlySet<string>;
  /** Members of `process`: `env` of `process.env`, also where it is destructured. */
  readonly processMembers: readonly string[];
}

export interface Import {
  /** The file, from the project's root; or the package. */
  readonly to: string;
  readonly isPackage: boolean;
  /** When it runs, not when the file is loaded. */
  readonly isLazy: boolean;
  /** Gone when the program runs. */
  readonly isType: boolean;
}

/** All TypeScript files below these directories, but what is generated. */
export function readSource(...directories: string[]): SourceFile[] {
  return directories.flatMap(filesBelow).map(readSourceFile);
}

export function filesBelow(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length))
    .filter((path) => !path.includes('/generated/'))
    .toSorted();
}

function readSourceFile(path: string): SourceFile {
  const text = readFileSync(join(ROOT, path), 'utf8');
  return { path, lines: text.split('\n').length - 1, ...readText(path, text) };
}

/** What the text says, if it stood at `path`. */
export function readText(path: string, text: string): Omit<SourceFile, 'path' | 'lines'> {
  const { program, module, errors } = parseSync(path, text);
  const [error] = errors;
  if (error) throw new Error(`${path}: ${error.message}`);
  const seen = { calls: [] as string[], texts: [] as string[], words: new Set<string>() };
  const processMembers: string[] = [];
  const lazy: string[] = [];
  new Visitor({
    CallExpression: ({ callee }) => void (callee.type === 'Identifier' && seen.calls.push(callee.name)),
    NewExpression: ({ callee }) => void (callee.type === 'Identifier' && seen.calls.push(callee.name)),
    Literal: ({ value }) => void (typeof value === 'string' && seen.texts.push(value)),
    TemplateLiteral: ({ quasis }) => void seen.texts.push(quasis.map((part) => part.value.raw).join('…')),
    Identifier: ({ name }) => void seen.words.add(name),
    AwaitExpression: () => void seen.words.add('await'),
    ForOfStatement: (loop) => void (loop.await && seen.words.add('await')),
    FunctionDeclaration: (made) => void (made.async && seen.words.add('async')),
    FunctionExpression: (made) => void (made.async && seen.words.add('async')),
    ArrowFunctionExpression: (made) => void (made.async && seen.words.add('async')),
    ImportExpression: ({ source }) => {
      if (source.type === 'Literal' && typeof source.value === 'string') lazy.push(source.value);
    },
    MemberExpression: ({ object, property }) => {
      if (object.type !== 'Identifier') return;
      const name = property.type === 'Identifier' ? property.name : '?';
      seen.words.add(`${object.name}.${name}`);
      if (object.name === 'process') processMembers.push(name);
    },
    VariableDeclarator: ({ id, init }) => {
      if (init?.type === 'Identifier' && init.name === 'process')
        processMembers.push(text.slice(id.start, id.end));
    },
  }).visit(program);
  return {
    ...seen,
    processMembers,
    imports: [...staticImports(path, module), ...lazyImports(path, { lazy, texts: seen.texts, module })],
  };
}

type Module = ReturnType<typeof parseSync>['module'];

function staticImports(path: string, module: Module): Import[] {
  const imports = module.staticImports.map(({ moduleRequest, entries }) => ({
    request: moduleRequest.value,
    isType: entries.length > 0 && entries.every((entry) => entry.isType),
  }));
  const exports = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, isType }) =>
      moduleRequest ? [{ request: moduleRequest.value, isType }] : [],
    ),
  );
  return [...imports, ...exports].map(({ request, isType }) =>
    importOf(path, request, { isType, isLazy: false }),
  );
}

interface Named {
  readonly lazy: readonly string[];
  readonly texts: readonly string[];
  readonly module: Module;
}

/** A file that is named anywhere but in a static import is loaded later: by a loader, as a thread or as a process. */
function lazyImports(path: string, { lazy, texts, module }: Named): Import[] {
  const known = new Set(staticImports(path, module).map(({ to }) => to));
  const files = texts.filter((text) => /^\.\.?\/\S*\.ts$/.test(text));
  return [...new Set([...lazy, ...files])]
    .map((request) => importOf(path, request, { isType: false, isLazy: true }))
    .filter(({ to }) => !known.has(to));
}

function importOf(path: string, request: string, how: Pick<Import, 'isType' | 'isLazy'>): Import {
  const isPackage = !request.startsWith('.');
  return { to: isPackage ? request : normalize(join(dirname(path), request)), isPackage, ...how };
}
