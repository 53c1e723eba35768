import { CO_AUTHOR } from '../../core/co-author.ts';
import { readRevisions } from './git.ts';
import { type Change, type Letter, type Vcs, VcsError } from './vcs.ts';

const JJ = ['jj', '--no-pager', '--color=never'] as const;
/** Of the repository's configuration: what would run a program when one merely looks. */
const LOOK = [
  ...JJ,
  '--config=signing.behavior=drop',
  '--config=fsmonitor.backend=none',
  '--config=core.fsmonitor=none',
] as const;
const FIELD = ' ++ "\\x1f" ++ ';
const TEMPLATE = [
  ...['commit_id', 'committer.timestamp().format("%Y-%m-%dT%H:%M:%S%:z")', 'author'],
  'description.first_line() ++ "\\x1e"',
].join(FIELD);

/** The working copy is a commit of its own there, `@`: what is not committed is what is in it. */
export const jujutsu: Vcs = {
  name: 'jj',
  program: 'jj',
  title: 'Jujutsu',
  env: { JJ_EDITOR: ':' },
  // It records the files whenever it is asked.
  looksAtCopy: true,

  async status({ programs }) {
    const here = ['--no-graph', '--revisions=@-', '--limit=1', '--template=commit_id'];
    const [files = '', revision = '', list = '', unresolved = ''] = await programs.look(
      [...LOOK, 'diff', '--summary', '.'],
      [...LOOK, 'log', ...here],
      [...LOOK, 'log', '--no-graph', '--revisions=@ | @-', `--template=bookmarks.join("\\n") ++ "\\n"`],
      [...LOOK, 'log', '--no-graph', '--revisions=@', '--template=if(conflict, "conflict")'],
    );
    const [branch] = list
      .split('\n')
      .filter(Boolean)
      .map((name) => name.replace(/[*?]+$/, ''));
    const notes = unresolved.trim() === '' ? [] : ['conflicts: jj resolve --list names them'];
    return { branch, revision: revision.trim() || undefined, notes, changes: readSummary(files) };
  },

  async diff({ programs }, { revision, path }) {
    const from = revision === undefined ? [] : [`--from=${revision}`];
    const [output = ''] = await programs.look([...LOOK, 'diff', '--git', ...from, fileset(path)]);
    return output;
  },

  async log({ programs }, { limit, path }) {
    const flags = ['--no-graph', '--revisions=::@-', `--limit=${limit}`, `--template=${TEMPLATE}`];
    const [output = ''] = await programs.look([
      ...LOOK,
      'log',
      ...flags,
      ...(path === '.' ? [] : [fileset(path)]),
    ]);
    return readRevisions(output).filter(({ id }) => !/^0+$/.test(id));
  },

  async branches(copy) {
    const { branch } = await jujutsu.status(copy);
    const [output = ''] = await copy.programs.look([...LOOK, 'bookmark', 'list', '--template=name ++ "\\n"']);
    const names = [...new Set(output.split('\n').filter(Boolean))];
    return names.map((name) => ({ name, isCurrent: name === branch }));
  },

  async createBranch({ programs }, name) {
    await programs.act([...JJ, 'bookmark', 'create', '--revision=@', name]);
  },

  async switchTo(copy, name) {
    const known = (await jujutsu.branches(copy)).map((branch) => branch.name);
    // Other words would be read as an expression.
    if (!known.includes(name))
      throw new VcsError(`There is no bookmark '${name}'; there are: ${known.join(', ')}.`);
    await copy.programs.act([...JJ, 'new', `bookmarks(exact:${JSON.stringify(name)})`]);
  },

  async commit({ programs }, { message, paths }) {
    const who = await missingAuthor(programs);
    await programs.act([...JJ, ...who, 'commit', `--message=${message}`, ...paths.map(fileset)]);
    const [id = ''] = await programs.look([
      ...LOOK,
      'log',
      '--no-graph',
      '--revisions=@-',
      '--template=commit_id',
    ]);
    return id.trim();
  },

  async submit({ programs }, { remote, branch }) {
    const to = remote === undefined ? [] : [`--remote=${remote}`];
    const what = branch === undefined ? [] : [`--bookmark=exact:${branch}`];
    const [output = ''] = await programs.act([...JJ, 'git', 'push', ...to, ...what]);
    return output;
  },
};

async function missingAuthor({ look }: Parameters<Vcs['status']>[0]['programs']): Promise<readonly string[]> {
  const [list = ''] = await look([...LOOK, 'config', 'list', '--template=name ++ "\\n"', 'user']).catch(
    () => [''],
  );
  const known = list.split('\n');
  const { name, email } = CO_AUTHOR;
  return [
    ...(known.includes('user.name') ? [] : [`--config=user.name=${JSON.stringify(name)}`]),
    ...(known.includes('user.email') ? [] : [`--config=user.email=${JSON.stringify(email)}`]),
  ];
}

/** A path that is no pattern, from where the program runs. */
function fileset(path: string): string {
  return `cwd:${JSON.stringify(path)}`;
}

const LETTERS: Readonly<Record<string, Letter>> = { M: 'M', A: 'A', C: 'A', D: 'D', R: 'R' };

/** Lines such as `M a.txt` and `R dir/{old => new}/x`. */
function readSummary(output: string): readonly Change[] {
  return output.split('\n').flatMap((line): Change[] => {
    const [, code = '', path = ''] = /^([MADRC]) (.*)$/.exec(line) ?? [];
    const letter = LETTERS[code];
    if (letter === undefined) return [];
    const [, before = '', old, fresh, after = ''] = /^(.*)\{(.*) => (.*)\}(.*)$/.exec(path) ?? [];
    if (old === undefined || fresh === undefined) return [{ letter, path }];
    const [from, to] = [old, fresh].map((part) => `${before}${part}${after}`.replaceAll('//', '/'));
    return letter === 'R' ? [{ letter, path: to ?? '', from: from ?? '' }] : [{ letter, path: to ?? '' }];
  });
}
