import { below, readRevisions } from './git.ts';
import { type Change, type Copy, type Letter, type Status, type Vcs, VcsError } from './vcs.ts';

const NOTHING = '0'.repeat(40);
const TEMPLATE = '{node}\x1f{date|rfc3339date}\x1f{author}\x1f{desc|firstline}\x1e';

export const mercurial: Vcs = {
  name: 'hg',
  program: 'hg',
  title: 'Mercurial',
  env: { HGPLAIN: '1', HGENCODING: 'utf-8', HGEDITOR: ':' },
  // The repository's own configuration can name extensions and hooks.
  lookEnv: { HGRCSKIPREPO: '1' },

  async status(copy) {
    const [files = '[]', here = '', merges = '[]'] = await copy.programs.look(
      ['hg', 'status', '--template=json', '--copies', '--', everything(copy)],
      ['hg', 'identify', '--template={branch}\n{parents % "{node}\n"}'],
      ['hg', 'resolve', '--list', '--template=json', '--all'],
    );
    const [branch = '', parent = NOTHING] = here.split('\n');
    const unresolved = (JSON.parse(merges) as readonly MergeState[]).filter(
      ({ mergestatus }) => mergestatus === 'U',
    );
    const conflicts = new Set(unresolved.map(({ path }) => path));
    return {
      branch,
      revision: parent === NOTHING ? undefined : parent,
      changes: changesOf(JSON.parse(files), { prefix: copy.prefix, conflicts }),
    } satisfies Status;
  },

  async diff(copy, { revision, path }) {
    const from = revision === undefined ? [] : [`--rev=${revision}`];
    const root = copy.prefix === '' ? [] : [`--root=${copy.root}/${copy.prefix}`];
    const [output = ''] = await copy.programs.look([
      'hg',
      'diff',
      '--git',
      ...from,
      ...root,
      '--',
      named(copy, path),
    ]);
    return output;
  },

  async log(copy, { limit, path }) {
    // From here backwards, whatever else there is.
    const revisions = '--rev=reverse(::.)';
    const files = path === '.' ? [] : ['--', named(copy, path)];
    const [output = ''] = await copy.programs.look([
      'hg',
      'log',
      `--limit=${limit}`,
      `--template=${TEMPLATE}`,
      revisions,
      ...files,
    ]);
    return readRevisions(output).filter(({ id }) => id !== NOTHING);
  },

  async branches({ programs }) {
    const [list = '[]', current = ''] = await programs.look(
      ['hg', 'branches', '--template=json'],
      ['hg', 'branch'],
    );
    const names = (JSON.parse(list) as readonly { readonly branch: string }[]).map(({ branch }) => branch);
    const here = current.trim();
    const all = names.includes(here) ? names : [here, ...names];
    return all.map((name) => ({ name, isCurrent: name === here }));
  },

  async createBranch({ programs }, name) {
    await programs.act(['hg', 'branch', '--', name]);
  },

  async switchTo(copy, name) {
    const known = (await mercurial.branches(copy)).map((branch) => branch.name);
    // Other words would be read as an expression.
    if (!known.includes(name))
      throw new VcsError(`There is no branch '${name}'; there are ${known.join(', ')}.`);
    await copy.programs.act(['hg', 'update', '--', name]);
  },

  async commit(copy, { message, paths }) {
    const files = paths.length === 0 && copy.prefix === '' ? [] : paths.length === 0 ? ['.'] : paths;
    const which = files.map((path) => named(copy, path));
    await copy.programs.act(['hg', 'commit', '--addremove', `--message=${message}`, '--', ...which]);
    const [node = ''] = await copy.programs.look(['hg', 'log', '--rev=.', '--template={node}']);
    return node;
  },

  async submit({ programs }, { remote = 'default', branch }) {
    const [list = '[]'] = await programs.act(['hg', 'paths', '--template=json']);
    const known = (JSON.parse(list) as readonly { readonly name: string }[]).map(({ name }) => name);
    if (!known.includes(remote)) {
      const there = known.length === 0 ? 'it has none' : `it has ${known.join(', ')}`;
      throw new VcsError(
        `The repository has no path '${remote}': ${there}. A person can add it to .hg/hgrc, under [paths].`,
      );
    }
    const only = branch === undefined ? [] : [`--branch=${branch}`];
    const [output = ''] = await programs.act(['hg', 'push', '--new-branch', ...only, '--', remote]);
    return output;
  },
};

interface MergeState {
  readonly path: string;
  readonly mergestatus?: string;
}

/** A path that is no pattern. It begins at the working copy's root. */
function named({ prefix }: Copy, path: string): string {
  return `path:${path === '.' ? prefix.replace(/\/$/, '') : prefix + path}`;
}

function everything(copy: Copy): string {
  return named(copy, '.');
}

interface FileState {
  readonly path: string;
  readonly status: string;
  readonly source?: string;
}

const LETTERS: Readonly<Record<string, Letter>> = { M: 'M', A: 'A', R: 'D', '!': 'D', '?': '?' };

function changesOf(
  files: readonly FileState[],
  { prefix, conflicts }: { readonly prefix: string; readonly conflicts: ReadonlySet<string> },
): readonly Change[] {
  const gone = new Set(files.filter(({ status }) => /[R!]/.test(status)).map(({ path }) => path));
  // Hg tells of a renamed file twice.
  const moved = new Set(
    files.flatMap(({ source }) => (source !== undefined && gone.has(source) ? [source] : [])),
  );
  return files
    .filter(({ path, status }) => status in LETTERS && !moved.has(path))
    .map(({ path, status, source }): Change => {
      const at = below(path, prefix);
      if (conflicts.has(path)) return { letter: 'U', path: at };
      if (source !== undefined && moved.has(source))
        return { letter: 'R', path: at, from: below(source, prefix) };
      return { letter: LETTERS[status] ?? 'M', path: at };
    });
}
