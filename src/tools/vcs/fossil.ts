import { CO_AUTHOR } from '../../core/co-author.ts';
import { likeGit } from './index-diff.ts';
import { actOn } from './programs.ts';
import { type Change, type Copy, type Letter, type Revision, type Vcs, VcsError } from './vcs.ts';

/** `%c` has the whole message in one line. */
const FORMAT = '%H\x1f%d\x1f%a\x1f%c\x1e';

export const fossil: Vcs = {
  name: 'fossil',
  program: 'fossil',
  title: 'Fossil',
  env: { FOSSIL_EDITOR: ':', VISUAL: ':', EDITOR: ':' },
  // It keeps what it last saw of each file in its database, also when it is only asked.
  looksAtCopy: true,

  async status({ programs }) {
    const [files = '', info = '', branch = ''] = await programs.look(
      ['fossil', 'changes', ...CHANGES, '.'],
      ['fossil', 'info'],
      ['fossil', 'branch', 'current'],
    );
    const [, revision] = /^checkout:\s+(\w+)/m.exec(info) ?? [];
    return { branch: branch.trim() || undefined, revision, changes: readChanges(files) };
  },

  async diff({ programs }, { revision, path }) {
    const from = revision === undefined ? [] : ['--from', revision];
    const [, output = ''] = await programs.look(
      // It would go by the times of files, in whole seconds.
      ['fossil', 'changes', '--hash'],
      ['fossil', 'diff', '--internal', '--new-file', ...from, plain(path)],
    );
    return likeGit(output);
  },

  async log({ programs }, { limit, path }) {
    const flags = [
      '-n',
      `${limit}`,
      '-t',
      'ci',
      '-W',
      '0',
      '-F',
      FORMAT,
      ...(path === '.' ? [] : ['-p', path]),
    ];
    const [output = ''] = await programs.look(['fossil', 'timeline', 'ancestors', 'current', ...flags]);
    return readTimeline(output);
  },

  async branches({ programs }) {
    const [output = ''] = await programs.look(['fossil', 'branch', 'list']);
    return output
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => ({ name: line.replace(/^[ *#]*/, '').trim(), isCurrent: /^ *\*/.test(line) }));
  },

  async createBranch() {
    throw new VcsError(
      'In Fossil a branch begins with a commit: fossil commit --branch NAME -m MESSAGE. Do so with the first change for it.',
    );
  },

  async switchTo({ programs }, name) {
    await programs.act(['fossil', 'update', '--nosync', name]);
  },

  async commit(copy, { message, paths }) {
    const files =
      paths.length === 0 && copy.prefix === '' ? [] : (paths.length === 0 ? ['.'] : paths).map(plain);
    const { programs } = copy;
    if (files.length === 0) await programs.act(['fossil', 'addremove', '--dotfiles']);
    else await addAndRemove(copy, files);
    // Without `--nosync` it would also publish.
    const flags = ['--no-warnings', '--no-prompt', '--nosign', '--nosync', '--hash', '-m', message];
    const commit = (who: readonly string[]) => programs.act(['fossil', 'commit', ...flags, ...who, ...files]);
    const [output = ''] = await commit([]).catch((error: unknown) => {
      if (!(error instanceof VcsError) || !/cannot determine user/.test(error.message)) throw error;
      return commit(NOBODY);
    });
    const [, id] = /^New_Version: (\w+)/m.exec(output) ?? [];
    if (id === undefined) throw new VcsError(`fossil made no commit: ${output.trim()}`);
    return id;
  },

  async submit({ programs }, { remote, branch }) {
    if (branch !== undefined)
      throw new VcsError('Fossil sends all branches that are not private; leave out branch.');
    const [list = ''] = await programs.look(['fossil', 'remote', 'list']);
    const known = list.split('\n').flatMap((line) => line.trim().split(/\s+/)[0] || []);
    const name = remote ?? 'default';
    if (!known.includes(name)) {
      const there = known.length === 0 ? 'it has none' : `it has ${known.join(', ')}`;
      throw new VcsError(
        `The repository has no remote '${name}': ${there}. A person can add one: fossil remote add ${name} URL.`,
      );
    }
    const [output = ''] = await programs.act(['fossil', 'push', ...(remote === undefined ? [] : [remote])]);
    return output;
  },
};

/** What `addremove` does, which takes no paths. */
async function addAndRemove({ programs }: Copy, files: readonly string[]): Promise<void> {
  const [output = ''] = await programs.look(['fossil', 'changes', ...CHANGES, ...files]);
  const of = (state: string) =>
    wordsOf(output).flatMap(([word, path]) => (word === state ? [plain(path)] : []));
  await actOn(programs, ['fossil', 'add', '--dotfiles'], of('EXTRA'));
  await actOn(programs, ['fossil', 'rm', '--soft'], of('MISSING'));
}

const CHANGES = ['--differ', '--classify', '--rel-paths', '--dotfiles', '--hash'] as const;

/** Where it knows nobody here: a user that every repository has, and the name that the commit gets. */
const NOBODY = ['--user', 'anonymous', '--user-override', CO_AUTHOR.name];

/** A path that is no option. */
function plain(path: string): string {
  return path === '.' ? '.' : `./${path}`;
}

const LETTERS: readonly (readonly [RegExp, Letter])[] = [
  [/^(CONFLICT|.*_CONFLICT|UNRESOLVED)/, 'U'],
  [/^(ADDED|COPIED)/, 'A'],
  [/^(DELETED|MISSING|NOT_A_FILE)/, 'D'],
  [/^EXTRA/, '?'],
  [/^RENAMED/, 'R'],
  // EDITED, UPDATED_BY_MERGE, EXECUTABLE, SYMLINK and the like.
  [/^[A-Z_]+$/, 'M'],
];

/** Lines such as `EDITED     a.txt` and `RENAMED    old  ->  new`. */
function wordsOf(output: string): readonly (readonly [word: string, path: string])[] {
  return output.split('\n').flatMap((line) => {
    const [, word, path] = /^([A-Z_]+) +(.*)$/.exec(line) ?? [];
    return word === undefined || path === undefined ? [] : [[word, path] as const];
  });
}

/** Of what was merged there are lines too, which name no file. */
const NO_FILE = /^(MERGED_WITH|CHERRYPICK|BACKOUT|INTEGRATE)/;

function readChanges(output: string): readonly Change[] {
  return wordsOf(output).flatMap(([word, rest]): Change[] => {
    const [, letter] = LETTERS.find(([pattern]) => pattern.test(word)) ?? [];
    if (letter === undefined || NO_FILE.test(word)) return [];
    const [from = '', to] = rest.split('  ->  ');
    if (letter === 'R' && to !== undefined) return [{ letter, path: to, from }];
    return [{ letter, path: to ?? from }];
  });
}

function readTimeline(output: string): readonly Revision[] {
  const records = output.split('\x1e').map((record) => record.replace(/^\n/, ''));
  return records.flatMap((record): Revision[] => {
    const [id = '', date = '', author = '', comment] = record.split('\x1f');
    if (comment === undefined) return [];
    // Line breaks are spaces there: a blank line ends the subject.
    const [subject = ''] = comment.trim().split('  ');
    return [{ id, date: `${date.replace(' ', 'T')}Z`, author, subject }];
  });
}
