import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CO_AUTHOR, withCoAuthor } from '../../core/co-author.ts';
import { EMPTY_TREE } from './diff.ts';
import type { Directory } from './file-node.ts';
import { headOf } from './git-refs.ts';
import type { ShadowGit } from './shadow-git.ts';
import { SnapshotError } from './snapshot-error.ts';
import type { BundleRequest } from './snapshots.ts';

const COMMITTER = `${CO_AUTHOR.name} <${CO_AUTHOR.email}>`;
const BEGUN = 'The files that the session began with';

export interface BundleTrees {
  /** The trees of the project's files. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** What the root held at the beginning, version control's own included. */
  readonly begun: Directory | undefined;
}

/**
 * A git bundle (gitformat-bundle(5)) with a commit of what was done between two snapshots. Where the root was a git repository, on the commit that
 * was checked out: with its tree as the index had it, but for the files that were changed, and without what it holds
 * already. Else on a commit of the files that it began with. `unchanged`: there is nothing to commit. Undefined: longer than `maxBytes`.
 */
export function bundleOf(
  git: ShadowGit,
  trees: BundleTrees,
  request: Omit<BundleRequest, 'from' | 'to' | 'root'> & { readonly maxBytes: number },
): Buffer | 'unchanged' | undefined {
  const place = mkdtempSync(join(git.directory, 'bundle-'));
  try {
    mkdirSync(join(place, 'objects'));
    const work = new BundleWork(git, place);
    const changes = work.changes(trees.from, trees.to);
    if (changes.length === 0) return 'unchanged';
    const made = commitOn(work, trees, changes, request) ?? commitAnew(work, trees, changes, request);
    const pack = work.pack(made.objects, request.maxBytes);
    if (pack === undefined) return undefined;
    const { parent, commit } = made;
    const lines = [
      '# v2 git bundle',
      ...(parent === undefined ? [] : [`-${parent} `]),
      ...[`${commit} refs/heads/${request.branch}`, `${commit} HEAD`, '', ''],
    ];
    return Buffer.concat([Buffer.from(lines.join('\n')), pack]);
  } finally {
    rmSync(place, { recursive: true });
  }
}

interface Made {
  readonly commit: string;
  /** What whoever fetches it has to have. */
  readonly parent?: string;
  readonly objects: readonly string[];
}

type Request = Omit<BundleRequest, 'from' | 'to' | 'root'>;

/** Undefined where no commit was checked out, or its index is none that can be gone on with (split, unmerged, another hash). */
function commitOn(
  work: BundleWork,
  { begun }: BundleTrees,
  changes: readonly Changed[],
  request: Request,
): Made | undefined {
  const repository = begun?.children.get('.git');
  const index = repository?.type === 'directory' ? repository.children.get('index') : undefined;
  if (repository?.type !== 'directory' || index?.type !== 'file') return undefined;
  const parent = headOf(repository, { read: (hash) => work.git.blob(hash) });
  if (parent === undefined || parent.length !== EMPTY_TREE.length) return undefined;
  try {
    work.useIndex(work.git.blob(index.hash));
    work.change(changes);
    const tree = work.writeTree();
    const commit = work.commit(tree, [parent], request);
    const changed = new Set(changes.map(({ hash }) => hash));
    const objects = work.objectsOf(tree).filter(({ type, hash }) => type === 'tree' || changed.has(hash));
    return { commit, parent, objects: [commit, tree, ...objects.map(({ hash }) => hash)] };
  } catch (error) {
    if (error instanceof SnapshotError) return undefined;
    throw error;
  }
}

function commitAnew(
  work: BundleWork,
  { from }: BundleTrees,
  changes: readonly Changed[],
  request: Request,
): Made {
  work.useIndex(undefined);
  const begun = work.changes(undefined, from);
  work.change(begun);
  const first = begun.length === 0 ? undefined : work.writeTree();
  const base = first && work.commit(first, [], { ...request, message: BEGUN });
  work.change(changes);
  const tree = work.writeTree();
  const commit = work.commit(tree, base === undefined ? [] : [base], request);
  const trees = first === undefined ? [tree] : [first, tree];
  const objects = trees.flatMap((each) => [each, ...work.objectsOf(each).map(({ hash }) => hash)]);
  return { commit, objects: [...new Set([commit, ...(base === undefined ? [] : [base]), ...objects])] };
}

interface Changed {
  /** `0`: it is gone. */
  readonly mode: string;
  readonly hash: string;
  /** Bytes in latin1. */
  readonly path: string;
}

/** An index and objects of its own, beside those of the snapshots: nothing is left of them. */
class BundleWork {
  readonly git: ShadowGit;
  readonly #index: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(git: ShadowGit, place: string) {
    this.git = git;
    this.#index = join(place, 'index');
    this.#env = {
      GIT_INDEX_FILE: this.#index,
      GIT_OBJECT_DIRECTORY: join(place, 'objects'),
      GIT_ALTERNATE_OBJECT_DIRECTORIES: join(git.directory, 'objects'),
    };
  }

  /** What is gone first, so that it stands in nothing's way. */
  changes(from: string | undefined, to: string | undefined): Changed[] {
    const trees = [from ?? EMPTY_TREE, to ?? EMPTY_TREE];
    if (trees[0] === trees[1]) return [];
    const raw = this.#run(['diff-tree', '-r', '--no-renames', '--raw', '--no-abbrev', '-z', ...trees]);
    const parts = raw.toString('latin1').split('\0').slice(0, -1);
    const found = parts.flatMap((part, at): Changed[] => {
      if (at % 2 === 1) return [];
      const [, mode = '', , hash = ''] = part.split(' ');
      return [{ mode: mode === '000000' ? '0' : mode, hash, path: parts[at + 1] ?? '' }];
    });
    return found.sort((a, b) => Number(a.mode !== '0') - Number(b.mode !== '0'));
  }

  /** It was written before an agent could, and names blobs that need not be here. */
  useIndex(content: Buffer | undefined): void {
    rmSync(this.#index, { force: true });
    if (content !== undefined) writeFileSync(this.#index, content, { mode: 0o600 });
  }

  change(changes: readonly Changed[]): void {
    const lines = changes.map(({ mode, hash, path }) => `${mode} ${hash}\t${path}\0`);
    this.#run(
      ['update-index', '--add', '--replace', '-z', '--index-info'],
      Buffer.from(lines.join(''), 'latin1'),
    );
  }

  writeTree(): string {
    return this.#run(['write-tree', '--missing-ok']).toString().trim();
  }

  /** Written by hand: the parent is in another repository. */
  commit(tree: string, parents: readonly string[], { author, at, message }: Request): string {
    const seconds = Math.floor(at / 1_000);
    const lines = [
      `tree ${tree}`,
      ...parents.map((parent) => `parent ${parent}`),
      `author ${nameOf(author)} <> ${seconds} +0000`,
      `committer ${COMMITTER} ${seconds} +0000`,
      '',
      withCoAuthor(message.replaceAll('\0', '')),
    ];
    const input = Buffer.from(lines.join('\n'));
    return this.#run(['hash-object', '-t', 'commit', '-w', '--stdin'], input).toString().trim();
  }

  /** All below a tree but other repositories' commits. */
  objectsOf(tree: string): { readonly type: string; readonly hash: string }[] {
    const listing = this.#run(['ls-tree', '-r', '-t', '-z', '--full-tree', tree]).toString('latin1');
    const entries = listing.split('\0').slice(0, -1);
    const found = entries.map((entry) => entry.split('\t')[0]?.split(' ') ?? []);
    return found.flatMap(([, type = '', hash = '']) => (type === 'commit' ? [] : [{ type, hash }]));
  }

  pack(objects: readonly string[], maxBytes: number): Buffer | undefined {
    const input = Buffer.from(`${objects.join('\n')}\n`);
    return this.git.run(['pack-objects', '--stdout', '-q'], { input, maxBytes, env: this.#env });
  }

  #run(args: readonly string[], input?: Buffer): Buffer {
    return this.git.run(args, { env: this.#env, ...(input && { input }) }) as Buffer;
  }
}

/** What git takes for a name. */
function nameOf(author: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them can be in a name
  const name = author.replace(/[<>\s\u0000-\u001f]+/g, ' ').replace(/^[\s.,:;"']+|[\s.,:;"']+$/g, '');
  return name === '' ? 'Somebody' : name;
}
