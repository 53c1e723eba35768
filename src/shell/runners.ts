/** Programs and builtins whose words say more, or less, than what they do. */

/**
 * They run another command that they are told, or change what later words of the script mean: a rule that speaks of them by name
 * would allow anything.
 */
const RUNNERS = new Set(
  [
    'eval exec source . command builtin trap alias unalias enable hash bind complete compgen coproc fc',
    'export declare typeset readonly local unset set shopt read mapfile readarray getopts let',
    'sh bash dash zsh ksh mksh ash fish busybox toybox env sudo doas su runuser setpriv',
    'xargs parallel nohup nice ionice chrt taskset setsid timeout time stdbuf watch strace ltrace script unshare nsenter chroot',
    'flock systemd-run at batch crontab ssh entr',
  ].flatMap((line) => line.split(' ')),
);

/** Of `find`: they run, delete or write. */
const FIND_ACTS = /^-(exec|execdir|ok|okdir|delete|fls|fprint|fprint0|fprintf)$/;

/**
 * The options by which a program that is harmless otherwise runs what it is told. Bash's own `test -v` and `wait -p` take the name of a
 * variable, and run what stands in the brackets of `a[$(…)]`, quoted or not.
 */
const RUNS_BY: ReadonlyMap<string, RegExp> = new Map([
  ['find', FIND_ACTS],
  ['test', /^-[vR]$/],
  ['[', /^-[vR]$/],
  ['jobs', /^-\w*x/],
  ['wait', /^-\w*p/],
]);

/** `args`: undefined where bash puts something in. */
export function isRunner(name: string, args: readonly (string | undefined)[]): boolean {
  // A program is known by its path or its name.
  const program = name.slice(name.lastIndexOf('/') + 1);
  if (RUNNERS.has(program)) return true;
  if (program === 'printf') return args[0] === undefined || args[0].startsWith('-v');
  const acts = RUNS_BY.get(program);
  return acts !== undefined && args.some((arg) => arg === undefined || acts.test(arg));
}

/** The words by which each version control sends history elsewhere. */
const PUBLISHING: ReadonlyMap<string, RegExp> = new Map([
  ['git', /^(push|send-pack|send-email|svn|p4|cvsexportcommit|http-push)$/],
  ['hg', /^(push|email|phase)$/],
  ['svn', /^(commit|ci|import|copy|cp|move|mv|rename|delete|rm|remove|mkdir|propset|ps)$/],
  ['jj', /^(git|gerrit)$/],
  ['fossil', /^(push|sync|commit|ci|update)$/],
  ['bzr', /^(push|commit|ci)$/],
]);

/** Options that stand before such a word and take the word behind them. */
const TAKES_VALUE = /^(-C|-c|-R|--git-dir|--work-tree|--namespace|--config-env|--config|--cwd|--repository)$/;

/** Whether a command may send a repository's history elsewhere; yes, where bash puts in the word that says so. */
export function publishes(name: string | undefined, args: readonly (string | undefined)[]): boolean {
  const words = name === undefined ? undefined : PUBLISHING.get(name.slice(name.lastIndexOf('/') + 1));
  if (words === undefined) return false;
  const place = args.findIndex((arg, index) => {
    const isValue = index > 0 && TAKES_VALUE.test(args[index - 1] ?? '');
    return arg === undefined || (!arg.startsWith('-') && !isValue);
  });
  const word = args[place];
  return place >= 0 && (word === undefined || words.test(word));
}
