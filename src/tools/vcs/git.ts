import {
  type Branch,
  type Change,
  type Copy,
  type Letter,
  type Revision,
  type Status,
  type Vcs,
  VcsError,
} from './vcs.ts';

/** Paths mean themselves: a name such as `:(top)` is a name. */
const GIT = ['git', '--no-pager', '--literal-pathspecs'] as const;
/** What a repository's configuration could have run by one who merely looks. Filters are in `WITHOUT_FILTERS`. */
const LOOK = [
  ...GIT,
  ...['-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', '-c', 'log.showSignature=false'],
] as const;
const DIFF = ['--no-ext-diff', '--no-textconv', '--no-color', '--src-prefix=a/', '--dst-prefix=b/'] as const;
/** Of a remote: no `ext::` and the like, which run a command. */
const PROTOCOLS = 'file:git:http:https:ssh';

const LOOK_ENV = {
  GIT_OPTIONAL_LOCKS: '0',
  GIT_NO_LAZY_FETCH: '1',
  GIT_ALLOW_PROTOCOL: 'none',
};
/** For bash, before what looks unconfined: every configured filter, set to nothing. */
const WITHOUT_FILTERS = `while IFS= read -r -d '' key; do
  case $key in filter.*.clean | filter.*.smudge | filter.*.process) value= ;; filter.*.required) value=false ;; *) continue ;; esac
  at=\${GIT_CONFIG_COUNT:-0}
  export "GIT_CONFIG_KEY_$at=$key" "GIT_CONFIG_VALUE_$at=$value" "GIT_CONFIG_COUNT=$((at + 1))"
done < <(git config --list --name-only -z 2>/dev/null)`;
const ENV = { GIT_ALLOW_PROTOCOL: PROTOCOLS, GIT_EDITOR: ':', GIT_SEQUENCE_EDITOR: ':' };

export const git: Vcs = {
  name: 'git',
  program: 'git',
  title: 'Git',
  env: ENV,
  lookEnv: LOOK_ENV,
  lookUnconfined: WITHOUT_FILTERS,

  async status(copy) {
    const flags = ['--porcelain=v2', '--branch', '-z', '--untracked-files=normal', submodules(copy)];
    const [output = ''] = await copy.programs.look([...LOOK, 'status', ...flags, '--', '.']);
    return readStatus(output, copy.prefix);
  },

  async diff(copy, { revision, path }) {
    const base = revision ?? (await headOf(copy)) ?? (await emptyTree(copy));
    const flags = [...DIFF, '--relative', submodules(copy), '--end-of-options', base, '--', path];
    const [output = ''] = await copy.programs.look([...LOOK, 'diff', ...flags]);
    return output;
  },

  async log(copy, { limit, path }) {
    if ((await headOf(copy)) === undefined) return [];
    const flags = [`--max-count=${limit}`, '--no-color', '--no-patch', `--format=${FORMAT}`];
    const [output = ''] = await copy.programs.look([
      ...LOOK,
      'log',
      ...flags,
      ...(path === '.' ? [] : ['--', path]),
    ]);
    return readRevisions(output);
  },

  async branches(copy) {
    const format = `--format=%(HEAD)${FIELD}%(refname:short)`;
    const [refs = '', current = ''] = await copy.programs.look(
      [...LOOK, 'for-each-ref', format, 'refs/heads'],
      [...LOOK, 'branch', '--show-current'],
    );
    const found = refs.split('\n').filter(Boolean).map(readBranch);
    const unborn = current.trim();
    if (unborn === '' || found.some(({ name }) => name === unborn)) return found;
    return [{ name: unborn, isCurrent: true }, ...found];
  },

  async createBranch({ programs }, name) {
    await programs.act(
      [...GIT, 'check-ref-format', '--branch', name],
      [...GIT, 'switch', '--quiet', '--create', name],
    );
  },

  async switchTo({ programs }, name) {
    await programs.act([...GIT, 'switch', '--quiet', name]);
  },

  async commit(copy, { message, paths }) {
    const { programs, prefix } = copy;
    const named = paths.length > 0 ? paths : ['.'];
    // In a merge a commit is of everything.
    const only = paths.length > 0 || prefix !== '' ? ['--only', '--', ...named] : [];
    await programs.act(
      [...GIT, 'add', '--all', '--', ...named],
      [...GIT, 'commit', '--quiet', '--cleanup=whitespace', `--message=${message}`, ...only],
    );
    return (await headOf(copy)) ?? '';
  },

  async submit(copy, { remote, branch }) {
    const { programs } = copy;
    const [remotes = ''] = await programs.look([...LOOK, 'remote']);
    const known = remotes.split('\n').filter(Boolean);
    const current = (await git.branches(copy)).find(({ isCurrent }) => isCurrent)?.name;
    const name =
      remote ?? (await upstreamOf(copy, current)) ?? (known.length === 1 ? known[0] : 'origin') ?? '';
    if (!known.includes(name)) throw new VcsError(noRemote(name, known));
    const what = branch ?? current;
    if (what === undefined) throw new VcsError('No branch is checked out; name the branch to push.');
    const flags = ['--porcelain', '--recurse-submodules=no'];
    const ref = `refs/heads/${what}`;
    const [output = ''] = await programs.act([...GIT, 'push', ...flags, '--', name, `${ref}:${ref}`]);
    return output;
  },
};

function noRemote(name: string, known: readonly string[]): string {
  const there = known.length === 0 ? 'it has none' : `it has ${known.join(', ')}`;
  return `The repository has no remote '${name}': ${there}. A person can add one: git remote add ${name} URL.`;
}

/** Unconfined, nothing is run in a submodule, whose configuration is its own. */
function submodules({ confined }: Copy): string {
  return `--ignore-submodules=${confined ? 'none' : 'dirty'}`;
}

async function headOf({ programs }: Copy): Promise<string | undefined> {
  const [head = ''] = await programs.look([...LOOK, 'rev-parse', '--revs-only', 'HEAD']);
  return head.trim() || undefined;
}

/** The tree with nothing in it, whatever hash the repository uses. */
async function emptyTree({ programs }: Copy): Promise<string> {
  const [tree = ''] = await programs.look([...LOOK, 'hash-object', '-t', 'tree', '/dev/null']);
  return tree.trim();
}

async function upstreamOf({ programs }: Copy, branch: string | undefined): Promise<string | undefined> {
  if (branch === undefined) return undefined;
  const [remote = ''] = await programs.look([
    ...LOOK,
    'config',
    '--default',
    '',
    '--get',
    `branch.${branch}.remote`,
  ]);
  return remote.trim() || undefined;
}

const FIELD = '%1f';
const FORMAT = `%H%x1f%aI%x1f%an <%ae>%x1f%s%x1e`;

/** Of records that end in \x1e, with fields between \x1f: a hash, a date, an author and a subject. */
export function readRevisions(output: string): readonly Revision[] {
  const records = output.split('\x1e').map((record) => record.trim());
  return records.filter(Boolean).map((record) => {
    const [id = '', date = '', author = '', subject = ''] = record.split('\x1f');
    return { id, date, author, subject };
  });
}

function readBranch(line: string): Branch {
  const [head, name = ''] = line.split('\x1f');
  return { name, isCurrent: head === '*' };
}

/** `git status --porcelain=v2 --branch -z` (git-status(1)). */
export function readStatus(output: string, prefix: string): Status {
  const records = output.split('\0');
  const headers = new Map<string, string>();
  const changes: Change[] = [];
  for (let index = 0; index < records.length; index++) {
    const record = records[index] ?? '';
    const [, header, value] = /^# branch\.(\w+) (.*)$/s.exec(record) ?? [];
    if (header !== undefined) headers.set(header, value ?? '');
    else if (record.startsWith('? ')) changes.push({ letter: '?', path: below(record.slice(2), prefix) });
    else if (/^[12u] /.test(record))
      changes.push(readChange(record, { prefix, from: records[index + 1] ?? '' }));
    // A rename is followed by the path it had.
    if (record.startsWith('2 ')) index += 1;
  }
  const [head, revision] = [headers.get('head'), headers.get('oid')];
  return {
    branch: head === '(detached)' ? undefined : head,
    revision: revision === '(initial)' ? undefined : revision,
    notes: notesOf(headers),
    changes,
  };
}

/** How many fields stand before the path. */
const FIELDS = { '1': 8, '2': 9, u: 10 } as const;

function readChange(
  record: string,
  { prefix, from }: { readonly prefix: string; readonly from: string },
): Change {
  const kind = record[0] as keyof typeof FIELDS;
  const fields = record.split(' ');
  const path = below(fields.slice(FIELDS[kind]).join(' '), prefix);
  const letter = kind === 'u' ? 'U' : letterOf(fields[1] ?? '', fields[8] ?? '');
  return letter === 'R' ? { letter, path, from: below(from, prefix) } : { letter, path };
}

/** In the index and in the files, together: what a commit of all would do. */
function letterOf(states: string, score: string): Letter {
  if (states.endsWith('D')) return 'D';
  if (/^[RC]|[RC]$/.test(states)) return score.startsWith('C') ? 'A' : 'R';
  if (states.startsWith('D')) return 'D';
  return states.includes('A') ? 'A' : 'M';
}

function notesOf(headers: ReadonlyMap<string, string>): string[] {
  const [upstream, counts] = [headers.get('upstream'), headers.get('ab')];
  const [, ahead, behind] = /^\+(\d+) -(\d+)$/.exec(counts ?? '') ?? [];
  if (upstream === undefined) return [];
  return [`upstream: ${upstream}${ahead === undefined ? '' : `, ahead ${ahead}, behind ${behind}`}`];
}

/** A path as the working copy has it, from the workspace's root. */
export function below(path: string, prefix: string): string {
  return path.startsWith(prefix) ? path.slice(prefix.length) : `../${path}`;
}
