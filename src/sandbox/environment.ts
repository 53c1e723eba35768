/**
 * What a command may know of the environment its worker was started in: where programs are and how to write a date. An
 * allow-list, because nobody can name every variable that holds a secret.
 */
const INHERITED = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LANGUAGE',
  'LC_ALL',
  'LC_CTYPE',
  'TZ',
  'TMPDIR',
  'CARGO_HOME',
  'GOPATH',
  'GOROOT',
  'JAVA_HOME',
  'NVM_DIR',
  'PYENV_ROOT',
  'RUSTUP_HOME',
  'SDKROOT',
  'VIRTUAL_ENV',
];

const DEFAULTS = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LANG: 'C.UTF-8' };

/** A terminal would make programs page, colour and ask. */
const FIXED = { TERM: 'dumb', PAGER: 'cat', GIT_PAGER: 'cat', GIT_TERMINAL_PROMPT: '0' };

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of a command, from that of the worker. Only names on the list pass. */
export function clearedEnvironment(worker: Environment): Record<string, string> {
  const passed = INHERITED.flatMap((name) => {
    const value = worker[name];
    return value === undefined || value === '' ? [] : [[name, value]];
  });
  return { ...DEFAULTS, ...Object.fromEntries(passed), ...FIXED };
}

/** Of a server's own environment: its toolchains and homes are not there in a sandbox that does not show them. */
export function languageOf({ LANG, LC_ALL, LC_CTYPE, LANGUAGE, TZ }: Environment): Environment {
  return { LANG, LC_ALL, LC_CTYPE, LANGUAGE, TZ };
}
