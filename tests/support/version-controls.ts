import { execFileSync } from 'node:child_process';

/** A version control on this machine, and how its tests begin, in a shell: the same files, committed, and where to publish in `far`. */
export interface System {
  readonly name: 'git' | 'hg' | 'svn' | 'fossil' | 'jj';
  readonly program: string;
  readonly branch: string;
  readonly begin: string;
  /** Prints the whole message of the newest commit. */
  readonly message: string;
}

const FILES = `mkdir -p far dir; echo one > a.txt; echo two > gone.txt; printf 'three\\nfour\\nfive\\nsix\\n' > dir/old.txt; echo > 'ü b@c.txt'`;

const ALL: readonly System[] = [
  {
    name: 'git',
    program: 'git',
    branch: 'main',
    begin: `git init -qb main; git config user.name Person; git config user.email p@example.org; echo far > .git/info/exclude
${FILES}; git init -q --bare far; git remote add origin far; git add .; git commit -qm first`,
    message: 'git log -1 --format=%B',
  },
  {
    name: 'hg',
    program: 'hg',
    branch: 'default',
    // Each hg takes a fifth of a second: what is empty is copied.
    begin: `hg init; mkdir far; cp -r .hg far; printf '[ui]\\nusername = Person <p@example.org>\\n[paths]\\ndefault = far\\n' > .hg/hgrc
${FILES}; echo '^far' > .hgignore; hg commit -qAm first`,
    message: "hg log -r . -T '{desc}'",
  },
  {
    name: 'svn',
    program: 'svn',
    branch: 'trunk',
    begin: `mkdir far; svnadmin create far/r; url=file://$(pwd | sed 's/ /%20/g')/far/r; svn mkdir -qm begin $url/trunk $url/branches; svn copy -qm x $url/trunk $url/branches/x; svn checkout -q $url/trunk .
${FILES}; svn propset -q svn:ignore far .; svn add -q a.txt gone.txt dir 'ü b@c.txt@'; svn commit -qm first; svn update -q`,
    message: 'svn log -r HEAD',
  },
  {
    name: 'fossil',
    program: 'fossil',
    branch: 'trunk',
    begin: `mkdir far; fossil new far/r.fossil > /dev/null; fossil open --force far/r.fossil > /dev/null
${FILES}; mkdir .fossil-settings; echo 'far,far/*' > .fossil-settings/ignore-glob; fossil addremove --dotfiles > /dev/null; fossil commit --no-warnings --nosync -m first > /dev/null`,
    message: "fossil timeline -n 1 -W 0 -F '%c'",
  },
  {
    name: 'jj',
    program: 'jj',
    branch: 'main',
    begin: `jj git init -q; git init -q --bare far; jj git remote add origin far; echo far > .gitignore
${FILES}; jj -q commit -m first; jj -q bookmark create main -r @-`,
    message: 'jj log --no-graph -r @- -T description',
  },
];

/** Those that are installed; what is missing is said once for each file that asks. */
export const systems: readonly System[] = ALL.filter(({ program }) => isInstalled(program));

const missing = ALL.filter((system) => !systems.includes(system)).map(({ program }) => program);
if (missing.length > 0)
  console.log(`SKIPPED: tests of version control need ${missing.join(', ')} on the PATH`);

/** All of them, so that those that are not here are counted as skipped. */
export const everySystem = ALL;

export function isInstalled(program: string): boolean {
  try {
    execFileSync(program, program === 'fossil' ? ['version'] : ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
