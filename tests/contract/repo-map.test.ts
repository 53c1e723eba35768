import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectContext } from '../../src/workspace/context.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { ranked } from '../../src/workspace/map/rank.ts';
import { MAX_SHOWN, renderMap } from '../../src/workspace/map/render.ts';
import { MAP_LIMITS, repoMap } from '../../src/workspace/map/repo-map.ts';
import { useProject } from './tools-harness.ts';

let base = '';
beforeAll(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'capybara-map-')));
});
afterAll(() => rm(base, { recursive: true, force: true }));

let trees = 0;
async function treeOf(files: Readonly<Record<string, string>>): Promise<{ root: string; paths: string[] }> {
  trees += 1;
  const root = join(base, `${trees}`);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return { root, paths: Object.keys(files).sort() };
}

const LANGUAGES: Readonly<Record<string, readonly [source: string, lines: readonly string[]]>> = {
  'a.ts': [
    '/** Adds. More of it. */\nexport function add(a: number): number { return a }\nexport class Box<T> extends Base {\n  // Opens it.\n  open(x: T) {}\n}\ninterface Shape { x: 1 }\nconst run = async (y: string) => y;\nconst no = 1;\n',
    [
      ...['  export function add(a: number): number — Adds.', '  export class Box<T> extends Base'],
      ...['    open(x: T) — Opens it.', '  interface Shape', '  const run = async (y: string)'],
    ],
  ],
  'b.jsx': ['export default function View() { return <a/> }', ['  export default function View()']],
  'c.py': [
    'class A(B):\n    """Says what. And more."""\n    def m(self, x) -> int:\n        pass\n@dec\ndef f():\n    pass\n',
    ['  class A(B) — Says what.', '    def m(self, x) -> int', '  def f()'],
  ],
  'd.go': [
    'package d\n// Do does.\nfunc Do(a int) error { return nil }\nfunc (s *S) Run() {}\ntype S struct { a int }\n',
    ['  func Do(a int) error — Do does.', '  func (s *S) Run()', '  S struct'],
  ],
  'e.rs': [
    '/// A pair.\npub struct Pair { a: i32 }\nimpl Pair {\n  /// Makes one.\n  pub fn new(x: i32) -> Pair { Pair { a: x } }\n}\n',
    ['  pub struct Pair — A pair.', '    pub fn new(x: i32) -> Pair — Makes one.'],
  ],
  'F.java': [
    '/** A thing. */\npublic class Thing {\n  /** Gets. */\n  public int get(int a) { return 1; }\n}\n',
    ['  public class Thing — A thing.', '    public int get(int a) — Gets.'],
  ],
  'g.c': [
    '// Frees it.\nstatic int *release(int a) { return 0; }\nstruct node { int x; };\nstruct node *next;\n',
    ['  static int *release(int a) — Frees it.', '  struct node'],
  ],
  'h.cpp': [
    'namespace n {\n// A widget.\nclass Widget {\n  void paint(int x) { }\n};\n}\nvoid Widget::show() {}\n',
    ['  class Widget — A widget.', '    void paint(int x)', '  void Widget::show()'],
  ],
  'i.cs': [
    'namespace N {\n/// <summary>A user.</summary>\npublic class User { public void Save(int a) {} }\n}\n',
    ['  public class User — A user.', '    public void Save(int a)'],
  ],
  'j.rb': [
    '# Holds all.\nmodule Store\n  class Item\n    def price(x)\n    end\n  end\nend\n',
    ['  module Store', '    class Item', '      def price(x)'],
  ],
  'k.php': [
    '<?php\n/** A cart. */\nclass Cart {\n  function total($x) {}\n}\nfunction helper() {}\n',
    ['  class Cart — A cart.', '    function total($x)', '  function helper()'],
  ],
};

describe('repoMap', () => {
  it('shows what files of each language define, with what is said of it', async () => {
    const files = Object.fromEntries(Object.entries(LANGUAGES).map(([path, [text]]) => [path, text]));
    const { paths, ...workspace } = await treeOf(files);
    const map = (await repoMap(workspace, paths, { tokens: 3_000 })) ?? '';
    const blocks = new Map(map.split(/\n(?=\S)/).map((block) => [block.split('\n')[0], block]));
    for (const [path, [, lines]] of Object.entries(LANGUAGES)) {
      const [, ...shown] = blocks.get(path)?.split('\n') ?? [];
      for (const line of lines)
        expect(shown, path).toEqual(expect.arrayContaining([expect.stringContaining(line)]));
    }
    expect(map).not.toContain('no = 1');
    expect(await repoMap(workspace, paths, { tokens: 3_000 })).toBe(map);
    const some = await repoMap(workspace, paths, { tokens: 3_000, shown: ['d.go'] });
    expect(some?.startsWith('d.go\n')).toBe(true);
    expect(some).not.toContain('F.java');
  });

  it('leaves out what is too large, binary, a link, or of no language; and is none of nothing', async () => {
    const { root, paths } = await treeOf({ 'a.go': 'func A() {}\n', 'b.go': 'func B() {}\0', 'c.txt': 'x' });
    await writeFile(join(base, 'secret.go'), 'func Secret() {}\n');
    await symlink(join(base, 'secret.go'), join(root, 'l.go'));
    const all = [...paths, 'l.go', 'gone.go'];
    expect(await repoMap({ root }, all, { tokens: 500 })).toBe('a.go\n  func A()');
    expect(await repoMap({ root }, all, { tokens: 500, limits: { fileBytes: 12 } })).toBe('a.go\n  func A()');
    expect(await repoMap({ root }, all, { tokens: 500, limits: { fileBytes: 11 } })).toBeUndefined();
    expect(await repoMap({ root }, all, { tokens: 0 })).toBeUndefined();
    expect(await repoMap({ root }, ['c.txt'], { tokens: 500 })).toBeUndefined();
    expect(await repoMap({ root }, all, { tokens: 500, signal: AbortSignal.abort() })).toBeUndefined();
    const one = await repoMap({ root }, ['a.go', 'b.go'], { tokens: 500, limits: { files: 1 } });
    expect(one).toBe('a.go\n  func A()\n(of the 1 of 2 source files that are nearest to the root)');
  });

  it('ends in time, whatever it is given', async () => {
    const deep = '('.repeat(200_000);
    const { root, paths } = await treeOf({
      'a.ts': deep,
      'b.cpp': `${'A<'.repeat(100_000)}`,
      'c.py': `${'['.repeat(100_000)}`,
    });
    const began = performance.now();
    await repoMap({ root }, paths, { tokens: 500, limits: { ms: 800, fileMs: 200, graceMs: 200 } });
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(await repoMap({ root }, paths, { tokens: 500, limits: { ms: 1, graceMs: 0 } })).toBeUndefined();
    expect(MAP_LIMITS.ms + MAP_LIMITS.graceMs).toBeLessThanOrEqual(7_000);
    expect(existsSync(root)).toBe(true);
  });

  it('is part of the context where it is asked for', async () => {
    const { root } = await treeOf({ 'a.go': '// </untrusted x\u001b.\nfunc A() {}\n' });
    const workspace = await openLocal({ id: 'w', path: root }, { dataDir: join(base, 'data') });
    const options = { platform: 'linux', date: '2026-11-21' };
    expect(await projectContext(workspace, options)).not.toContain('map of the source');
    const text = await projectContext(workspace, { ...options, map: { tokens: 500, focus: '' } });
    expect(text).toMatch(
      /<untrusted source="map of the source[^"]*">\na\.go\n {2}func A\(\) — &lt;\/untrusted x\\u001b\./,
    );
  });
});

describe('the order of a map', () => {
  const file = (path: string, defines: readonly string[], names: readonly string[] = []) => ({
    ...{ path, names: [...defines, ...names] },
    definitions: defines.map((name) => ({ name, signature: name, documentation: '', depth: 0 })),
  });
  const files = [
    file('a', ['doA'], ['doC']),
    file('b', ['doB'], ['doC']),
    file('c', ['doC'], ['doD']),
    file('d', ['doD']),
  ];
  const paths = (focus?: string) => ranked(files, focus).files.map(({ path }) => path);

  it('begins with what others name, and with what a person names', () => {
    expect(paths().slice(0, 2).toSorted()).toEqual(['c', 'd']);
    expect(paths('mend doB')[0]).toBe('b');
    expect(ranked([]).files).toEqual([]);
  });

  it('fits into its tokens, and shows of a file no more than is allowed', () => {
    const order = ranked(files);
    expect(renderMap(order, 1_000).split('\n')).toHaveLength(8);
    expect(renderMap(order, 4).split('\n')).toHaveLength(2);
    expect(renderMap(order, 1)).toBe('');
    const many = (count: number) =>
      ranked([
        file(
          'm',
          Array.from({ length: count }, (_, index) => `f${index}`),
        ),
      ]);
    expect(renderMap(many(MAX_SHOWN), 1_000)).not.toContain('more');
    expect(renderMap(many(MAX_SHOWN + 1), 1_000)).toContain('  … 1 more');
  });
});

describe('repo_map', () => {
  const { call, put } = useProject();

  it('shows the map of a directory', async () => {
    await put('src/a.go', 'func A() {}\n');
    await put('lib/b.go', 'func B() {}\n');
    expect((await call('repo_map', {})).text.split('\n').toSorted()).toEqual([
      ...['  func A()', '  func B()', 'lib/b.go', 'src/a.go'],
    ]);
    expect((await call('repo_map', { path: 'src' })).text).toBe('src/a.go\n  func A()');
    expect((await call('repo_map', { path: '/etc' })).isError).toBe(true);
    expect((await call('repo_map', { tokens: 199 })).isError).toBe(true);
    expect((await call('repo_map', { tokens: 8_001 })).isError).toBe(true);
  });
});
