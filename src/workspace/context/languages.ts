/** Which languages a project is written in, by the number of its files and their bytes. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

/** Files whose size is looked at; of more, the first. */
export const MAX_SIZED_FILES = 20_000;
export const MAX_LANGUAGES = 12;
/** How long sizes are looked at. */
export const SIZES_TIMEOUT_MS = 2_000;
const AT_ONCE = 16;

const EXTENSIONS: Readonly<Record<string, string>> = {
  ...byName('TypeScript', 'ts tsx mts cts'),
  ...byName('JavaScript', 'js jsx mjs cjs'),
  ...byName('Python', 'py pyi'),
  ...byName('Go', 'go'),
  ...byName('Rust', 'rs'),
  ...byName('Java', 'java'),
  ...byName('Kotlin', 'kt kts'),
  ...byName('Scala', 'scala sc'),
  ...byName('Groovy', 'groovy'),
  ...byName('Clojure', 'clj cljs cljc'),
  ...byName('C', 'c h'),
  ...byName('C++', 'cc cpp cxx hh hpp hxx'),
  ...byName('C#', 'cs'),
  ...byName('F#', 'fs fsx'),
  ...byName('Objective-C', 'm mm'),
  ...byName('Swift', 'swift'),
  ...byName('Ruby', 'rb rake'),
  ...byName('PHP', 'php'),
  ...byName('Perl', 'pl pm'),
  ...byName('Lua', 'lua'),
  ...byName('R', 'r'),
  ...byName('Julia', 'jl'),
  ...byName('Haskell', 'hs'),
  ...byName('OCaml', 'ml mli'),
  ...byName('Elixir', 'ex exs'),
  ...byName('Erlang', 'erl hrl'),
  ...byName('Dart', 'dart'),
  ...byName('Zig', 'zig'),
  ...byName('Shell', 'sh bash zsh fish'),
  ...byName('PowerShell', 'ps1 psm1'),
  ...byName('SQL', 'sql'),
  ...byName('HTML', 'html htm'),
  ...byName('CSS', 'css scss sass less'),
  ...byName('Vue', 'vue'),
  ...byName('Svelte', 'svelte'),
  ...byName('Terraform', 'tf'),
  ...byName('Protocol Buffers', 'proto'),
};

function byName(language: string, extensions: string): Record<string, string> {
  return Object.fromEntries(extensions.split(' ').map((extension) => [extension, language]));
}

/** Undefined: a file that is written in none of them. */
export function languageOf(path: string): string | undefined {
  const extension = /[^/]\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  return Object.hasOwn(EXTENSIONS, extension) ? EXTENSIONS[extension] : undefined;
}

interface Share {
  files: number;
  bytes: number;
}

/** `TypeScript: 120 files, 800 kB; Python: 3 files, 2 kB`; empty where there is none. Links count for nothing. */
export async function languages(
  root: string,
  paths: readonly string[],
  { maxFiles = MAX_SIZED_FILES, timeoutMs = SIZES_TIMEOUT_MS } = {},
): Promise<string> {
  const written = paths.filter((path) => languageOf(path) !== undefined);
  const shares = new Map<string, Share>();
  const end = performance.now() + timeoutMs;
  let sized = 0;
  for (let at = 0; at < Math.min(written.length, maxFiles) && performance.now() < end; at += AT_ONCE) {
    const some = written.slice(at, Math.min(at + AT_ONCE, maxFiles));
    const sizes = await Promise.all(some.map((path) => sizeOf(join(root, path))));
    for (const [index, path] of some.entries()) count(shares, path, sizes[index]);
    sized += some.length;
  }
  const most = [...shares].sort(([, a], [, b]) => b.bytes - a.bytes || b.files - a.files);
  const lines = most.slice(0, MAX_LANGUAGES).map(([language, share]) => `${language}: ${shown(share)}`);
  const more = sized < written.length ? [`(of the first ${sized} files)`] : [];
  return [...lines, ...more].join('; ');
}

async function sizeOf(path: string): Promise<number | undefined> {
  return lstat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
}

function count(shares: Map<string, Share>, path: string, bytes: number | undefined): void {
  const language = languageOf(path);
  if (language === undefined || bytes === undefined) return;
  const share = shares.get(language) ?? { files: 0, bytes: 0 };
  share.files += 1;
  share.bytes += bytes;
  shares.set(language, share);
}

function shown({ files, bytes }: Share): string {
  const size = bytes < 1_000 ? `${bytes} B` : `${Math.round(bytes / 1_000)} kB`;
  return `${files} ${files === 1 ? 'file' : 'files'}, ${size}`;
}
