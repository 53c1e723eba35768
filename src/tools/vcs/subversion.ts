import { likeGit } from './index-diff.ts';
import { actOn } from './programs.ts';
import { type Change, type Letter, type Revision, type Vcs, VcsError } from './vcs.ts';
import { attributesOf, elementsOf, textIn } from './xml.ts';

/** Nobody is there to answer, and no setting of the user's may choose another program to compare with. */
const SVN = ['svn', '--non-interactive'] as const;

export const subversion: Vcs = {
  name: 'svn',
  program: 'svn',
  title: 'Subversion',
  env: { SVN_EDITOR: ':' },

  async status(copy) {
    const [xml = '', url = '', revision = ''] = await copy.programs.look(
      [...SVN, 'status', '--xml', '.'],
      [...SVN, 'info', '--show-item=relative-url', '--no-newline', '.'],
      [...SVN, 'info', '--show-item=revision', '--no-newline', '.'],
    );
    return { branch: branchOf(url), revision: revision.trim(), changes: readStatus(xml) };
  },

  async diff({ programs }, { revision, path }) {
    const from = revision === undefined ? [] : [`--revision=${revision}`];
    const [output = ''] = await programs.look([
      ...SVN,
      'diff',
      '--internal-diff',
      '--show-copies-as-adds',
      ...from,
      pegged(path),
    ]);
    return likeGit(output);
  },

  async log({ programs }, { limit, path }) {
    // A working copy's own revision is that of its last update, not of its last commit.
    const flags = ['--xml', '--revision=HEAD:1', `--limit=${limit}`];
    const [xml = ''] = await programs.look([...SVN, 'log', ...flags, pegged(path)]);
    return elementsOf(xml, 'logentry').map(readRevision);
  },

  async branches({ programs }) {
    const [url = ''] = await programs.look([...SVN, 'info', '--show-item=relative-url', '--no-newline', '.']);
    const [list = ''] = await programs.look([...SVN, 'list', '^/branches']).catch(() => ['']);
    const current = branchOf(url);
    const names = list
      .split('\n')
      .filter((line) => line.endsWith('/'))
      .map((line) => line.slice(0, -1));
    const all = [...new Set([...(current === undefined ? [] : [current]), 'trunk', ...names])];
    return all.map((name) => ({ name, isCurrent: name === current }));
  },

  async createBranch(_, name) {
    throw new VcsError(
      `In Subversion a branch is made on the server, as a commit that others see: svn copy ^/trunk '^/branches/${name}' -m MESSAGE.`,
    );
  },

  async switchTo({ programs }, name) {
    await programs.act([...SVN, 'switch', `^/${name === 'trunk' ? 'trunk' : `branches/${name}`}`]);
  },

  async commit() {
    throw new VcsError(
      'Subversion has no commits of your own: a commit is published at once. Use vcs_submit, with a message, ' +
        'when the work is to be published.',
    );
  },

  async submit(copy, { message, paths, remote, branch }) {
    if (message === undefined) throw new VcsError('A commit to Subversion needs a message; give one.');
    if (remote !== undefined || branch !== undefined)
      throw new VcsError(
        'Subversion commits to where the working copy is from; leave out remote and branch.',
      );
    const which = (paths.length === 0 ? ['.'] : paths).map(pegged);
    const [xml = ''] = await copy.programs.look([...SVN, 'status', '--xml', ...which]);
    const { fresh, missing } = unrecorded(xml);
    await actOn(copy.programs, [...SVN, 'add', '--parents'], fresh.map(pegged));
    await actOn(copy.programs, [...SVN, 'delete'], missing.map(pegged));
    const flags = ['--encoding=UTF-8', `--message=${message}`];
    const [output = ''] = await copy.programs.act([...SVN, 'commit', ...flags, ...which]);
    return output.trim() === '' ? 'nothing to commit' : output;
  },
};

/** An `@` in a path would be read as the beginning of a revision. */
function pegged(path: string): string {
  return `${path.startsWith('-') ? './' : ''}${path}${path.includes('@') ? '@' : ''}`;
}

/** `^/trunk` and what is below it, or `^/branches/NAME`, as nearly every repository has it. */
function branchOf(url: string): string | undefined {
  const [, trunk, branch] = /^\^\/(?:(trunk)(?:\/|$)|branches\/([^/]+))/.exec(url.trim()) ?? [];
  return trunk ?? (branch === undefined ? undefined : decodeURIComponent(branch));
}

const LETTERS: Readonly<Record<string, Letter>> = {
  ...{ modified: 'M', replaced: 'M', obstructed: 'M', incomplete: 'M', merged: 'M' },
  ...{ added: 'A', deleted: 'D', missing: 'D', unversioned: '?', conflicted: 'U' },
};

/** `svn status --xml`: an entry for each path, with its state in the attributes of `wc-status`. */
function readStatus(xml: string): readonly Change[] {
  const entries = elementsOf(xml, 'entry').map(({ attributes, content }) => ({
    path: attributes.path ?? '',
    state: attributesOf(content, 'wc-status'),
  }));
  const moved = new Set(
    entries.flatMap(({ path, state }) => (state['moved-to'] === undefined ? [] : [path])),
  );
  return entries
    .filter(({ path }) => !moved.has(path))
    .flatMap(({ path, state }): Change[] => {
      if (state['tree-conflicted'] === 'true' || state.props === 'conflicted') return [{ letter: 'U', path }];
      const from = state['moved-from'];
      if (from !== undefined) return [{ letter: 'R', path, from }];
      const letter = LETTERS[state.item ?? ''] ?? (state.props === 'modified' ? 'M' : undefined);
      return letter === undefined ? [] : [{ letter, path }];
    });
}

function unrecorded(xml: string): { readonly fresh: readonly string[]; readonly missing: readonly string[] } {
  const states = elementsOf(xml, 'entry').map(({ attributes, content }) => ({
    path: attributes.path ?? '',
    item: attributesOf(content, 'wc-status').item,
  }));
  const of = (item: string) => states.filter((each) => each.item === item).map(({ path }) => path);
  return { fresh: of('unversioned'), missing: of('missing') };
}

function readRevision({ attributes, content }: ReturnType<typeof elementsOf>[number]): Revision {
  const [subject = ''] = textIn(content, 'msg').split('\n');
  const date = textIn(content, 'date').replace(/\.\d+Z$/, 'Z');
  return { id: attributes.revision ?? '', date, author: textIn(content, 'author'), subject };
}
