import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HOLE } from '../../src/core/glob.ts';
import { type CallPart, judge, parseRule, type Rule } from '../../src/core/permission.ts';
import { loadShell, MAX_SCRIPT_LENGTH, type ShellPart } from '../../src/shell/command-parts.ts';

const split = await loadShell();

function rules(...texts: string[]): Rule[] {
  return texts.map((text) => {
    const found = parseRule(text, 'allow');
    if (found === undefined) throw new Error(`no rule: ${text}`);
    return found;
  });
}

/** What a local workspace without a sandbox does with a script: only rules allow anything there. */
function decide(script: string, given: readonly Rule[]): string {
  const parts = split(script).map((part): CallPart => {
    if (part.kind !== 'write') return part;
    return { kind: 'file', path: part.path, isInside: true, tool: 'write_file' };
  });
  const call = { tool: 'bash', effect: 'external', parts, confined: false, managed: false } as const;
  return judge(call, 'safe', { rules: given }).decision;
}

const STATUS = rules('bash(git status *)');

/** All of these are `git status` with arguments, and nothing more. */
const ALLOWED = [
  'git status',
  'git status -s',
  '  git   status  ',
  'git\tstatus',
  'git status # a comment; rm -rf x',
  '# a comment\ngit status',
  'git status;',
  'git status &',
  'git status\n',
  '\n\ngit status\n\n',
  'git status; git status -s',
  'git status && git status || git status',
  'git status | git status',
  'git status |& git status',
  '! git status',
  'time git status',
  '(git status)',
  '{ git status; }',
  'if git status; then git status; else git status; fi',
  'while git status; do git status; done',
  'until git status; do git status; done',
  'g"i"t sta\'tus\'',
  '"git" "status"',
  "'git' 'status'",
  'git sta\\tus',
  'g\\it status',
  'git \\\n  status',
  'git status "a b" \'c;d\'',
  'git status $X',
  'git status "$X"',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  'git status ${X}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  'git status ${X:-a}',
  'git status *.c',
  'git status {a,b}',
  'git status ~/x',
  "git status $'a\\tb'",
  'git status $(git status)',
  'git status `git status`',
  'git status <(git status)',
  'git status "$(git status -s)"',
  'git status < file',
  'git status > /dev/null',
  'git status 2>/dev/null',
  'git status 2>&1',
  'git status >&2',
  'git status 2>&-',
  'git status <<EOF\n$(git status)\nEOF',
  "git status <<'EOF'\n$(rm x)\nEOF",
  'git status <<EOF\n\\$(rm x)\nEOF',
  'git status <<< "$(git status)"',
  'git status "\\$(rm x)"',
  "git status '$(rm x)'",
  'git status \\; rm x',
  'git status "; rm x"',
];

/** None of these may a rule for `git status` allow. */
const ASKED = [
  '',
  '   ',
  '# only a comment',
  'git stat',
  'git statusx',
  'git',
  'rm x',
  'git sta\\\ntus',
  'git status $\\\n(rm x)',
  'git status; rm x',
  'git status && rm x',
  'git status || rm x',
  'git status | rm x',
  'git status & rm x',
  'git status\nrm x',
  'git status # a\nrm x',
  '(git status; rm x)',
  '{ git status; rm x; }',
  'if rm x; then git status; fi',
  'if git status; then rm x; fi',
  'if git status; then git status; elif rm x; then git status; fi',
  'while git status; do rm x; done',
  'for x in a; do git status; done',
  'for PATH in /tmp; do git status; done',
  'select x in a; do git status; done',
  'case a in a) git status;; esac',
  'case $(rm x) in a) git status;; esac',
  'for ((i = 0; i < 1; i++)); do git status; done',
  'coproc git status',
  'f() { git status; }; f',
  'git() { rm x; }; git status',
  'function git { rm x; }; git status',
  'alias git=rm; git status',
  'PATH=/tmp git status',
  'PATH=/tmp; git status',
  'LD_PRELOAD=/tmp/x.so git status',
  'GIT_PAGER="rm x" git status',
  'export PATH=/tmp; git status',
  'declare PATH=/tmp; git status',
  'read PATH; git status',
  'printf -v PATH /tmp; git status',
  'printf "$F" x; git status',
  'set -- a; git status',
  'shopt -s expand_aliases; git status',
  'hash -p /tmp/x git; git status',
  'enable -f x git; git status',
  'trap "rm x" EXIT; git status',
  '(( PATH = 1 )); git status',
  '[[ -v a[$(rm x)] ]]; git status',
  'let PATH=1; git status',
  '$G status',
  '"$G" status',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  '${G} status',
  '$(echo git) status',
  '`echo git` status',
  'git $S',
  'git $S status',
  'g$X status',
  '{git,rm} status',
  'g?t status',
  'gi[t] status',
  '~/git status',
  './git status',
  '/tmp/git status',
  "$'g\\x69t' status",
  "$'git' status",
  '$"git" status',
  'GIT status',
  'eval git status',
  'eval "rm x"',
  "sh -c 'git status'",
  "bash -c 'git status; rm x'",
  'bash script.sh',
  'source git status',
  '. git status',
  'exec git status',
  'command git status',
  'builtin git status',
  'env git status',
  'env -S "git status"',
  'sudo git status',
  'nohup git status',
  'nice git status',
  'timeout 5 git status',
  'xargs git status',
  'echo status | xargs git',
  'find . -exec git status {} ;',
  'find . -delete',
  'git -C /x status',
  'git -c alias.status=!rm status',
  'git --git-dir=/x status',
  'git status $(rm x)',
  'git status `rm x`',
  'git status "$(rm x)"',
  'git status "`rm x`"',
  'git status <(rm x)',
  'git status >(rm x)',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  'git status ${X:-$(rm x)}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  'git status ${X:=y}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  'git status ${!X}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  'git status ${X@P}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
  'git status ${X[$(rm x)]}',
  'git status $((X[$(rm x)]))',
  'git status $((1 + 1))',
  'git status {a,$(rm x)}',
  'git status @(a|$(rm x))',
  'git status > file',
  'git status >> file',
  'git status >| file',
  'git status &> file',
  'git status >& file',
  'git status <> file',
  'git status 3> file',
  'git status > "$F"',
  'git status > ~/file',
  'git status > /dev/tcp/127.0.0.1/80',
  'git status < /dev/tcp/127.0.0.1/80',
  'git status {fd}> /dev/null',
  'git status {PATH}<<< x',
  '{ git status; } > file',
  'git status <<EOF\n$(rm x)\nEOF',
  'git status <<EOF\n`rm x`\nEOF\n',
  'git status <<EOF\nEOF\nrm x',
  'git status <<EOF\nnever closed',
  'git status <<< $(rm x)',
  'cd /tmp && git status',
  'git status )',
  'git status "',
  "git status '",
  'git status $(',
  'git status `',
  'git status &&',
  'if git status; then',
  '| git status',
  'git status ;; rm x',
  'git status\r\nrm x',
  'git status\r',
  'git status \\',
  'git status \0 rm x',
  'git\u00a0status',
  'git\u2003status',
  'git status\ud800',
  'gіt status',
];

test('there are a hundred commands and more', () => {
  expect(ALLOWED.length + ASKED.length).toBeGreaterThan(150);
});

test.each(ALLOWED)('a rule for `git status` allows %j', (script) => {
  expect(decide(script, STATUS)).toBe('allow');
});

test.each(ASKED)('a rule for `git status` does not allow %j', (script) => {
  expect(decide(script, STATUS)).toBe('ask');
});

test.each(ASKED.filter((script) => split(script).some(({ kind }) => kind === 'opaque')))(
  'not even a rule for every command allows %j',
  (script) => {
    expect(decide(script, rules('bash(*)', '*'))).toBe('ask');
  },
);

describe('a script', () => {
  const texts = (script: string) =>
    split(script).map((part) => ('text' in part ? part.text : 'path' in part ? `> ${part.path}` : part.kind));

  test.each([
    ["echo 'it'\\''s' \"a b\"", ["echo 'it'\\''s' 'a b'"]],
    ['echo \'\' ""', ["echo '' ''"]],
    ['echo a$X"b c"', [`echo a${HOLE}'b c'`]],
    ['echo ~/a "~/a"', ["echo ~/a '~/a'"]],
    ['a > x; cd y; b > z; c > /z', ['a', '> x', 'cd y', 'b', 'opaque', 'c', '> /z']],
    ['a $(b > c) | d', [`a ${HOLE}`, 'b', '> c', 'd']],
    ['git push', ['git push']],
    ['a b$X{c,d}e ~{c,d}', [`a ${HOLE} ${HOLE}`]],
  ])('%j has the parts %j', (script, parts) => {
    expect(texts(script)).toEqual(parts);
  });

  test.each([
    ['git push', true],
    ['git -C x push --force', true],
    ['git -c a=b --no-pager push', true],
    ['/usr/bin/git push', true],
    ['git $X', true],
    ['git stash push', false],
    ['git add *.c', false],
    ['git commit -m "$M"', false],
    ['git', false],
    ['hg push', true],
    ['hg -R x push', true],
    ['hg commit', false],
    ['svn commit', true],
    ['svn status', false],
    ['jj git push', true],
    ['fossil commit', true],
    ['echo git push', false],
  ])('%j publishes history: %s', (script, published) => {
    expect(split(script).some((part) => part.kind === 'command' && part.publishes)).toBe(published);
  });

  test('is taken apart up to its limit, and is opaque beyond', () => {
    const long = `git status ${'a'.repeat(MAX_SCRIPT_LENGTH - 11)}`;
    expect(split(long)).toMatchObject([{ kind: 'command' }]);
    expect(split(`${long}a`)).toEqual([{ kind: 'opaque' }]);
  });

  test('that is nested without end is not allowed', () => {
    for (const [open, close] of [
      ['(', ')'],
      ['$(', ')'],
      ['"$(', ')"'],
      ['{ ', '; }'],
    ] as const) {
      const script = `git status ${open.startsWith('{') ? '; ' : ''}${open.repeat(2_000)}git status${close.repeat(2_000)}`;
      expect(decide(script, STATUS)).toBe('ask');
    }
  });
});

/**
 * Against bash itself. Commands of these scripts do not exist, so bash hands each to `command_not_found_handle`, which writes
 * down its words: whatever it would have run must be among the parts, unless they say that they do not know.
 */
describe('bash', () => {
  const PIECES = [
    ...[
      'c1',
      'c2',
      'c3 a',
      '-x',
      'a b',
      ' ',
      ' ',
      ' ',
      ';',
      '&&',
      '||',
      '|',
      '&',
      '\n',
      '(',
      ')',
      '{',
      '}',
      '!',
      '#',
    ],
    ...[
      '"',
      "'",
      '\\',
      '\\\n',
      '$',
      '`',
      '$(',
      '<<E\n',
      '\nE\n',
      "$'",
      '\\x63',
      '1',
      '*',
      '?',
      '[',
      ']',
      '~',
      '=',
      ',',
    ],
    ...[
      'if ',
      '; then ',
      '; fi',
      'while ',
      '; do ',
      '; done',
      'c4;',
      '<<<',
      '2>&1',
      '>&2',
      '\t',
      '$X',
      '"$X"',
      '{a,b}',
      '\\;',
    ],
  ];

  test('runs no command that the parts do not show', () => {
    const place = mkdtempSync(join(tmpdir(), 'capybara-shell-'));
    try {
      const scripts = sampleScripts(500);
      const wrong = whatRan(place, scripts).flatMap((commands, index) => {
        const script = scripts[index] ?? '';
        const shown = split(script).map((part) => pattern(part));
        const unseen = commands.filter((ran) => !shown.some((each) => each.test(ran)));
        return unseen.map((ran) => `${JSON.stringify(script)} runs ${JSON.stringify(ran)}`);
      });
      expect(wrong).toEqual([]);
    } finally {
      rmSync(place, { recursive: true });
    }
  }, 60_000);

  /** Scripts of which the parts say that they know everything. */
  function sampleScripts(count: number): string[] {
    const script = fc.array(fc.constantFrom(...PIECES), { minLength: 2, maxLength: 9 });
    return fc
      .sample(script, { numRuns: count * 4, seed: 7 })
      .map((pieces) => `c1 ${pieces.join('')}`)
      .filter((text) => split(text).every(({ kind }) => kind === 'command'))
      .slice(0, count);
  }

  /** What each script ran: the words of its commands, joined by U+0001. */
  function whatRan(place: string, scripts: readonly string[]): string[][] {
    for (const [index, script] of scripts.entries()) writeFileSync(join(place, `${index}.sh`), script);
    // A file for each process: those of a pipeline write at the same time.
    const runner = `
      command_not_found_handle() { printf '%s\\0' "$@" $'\\2' >> "$log.$BASHPID"; }
      for file in *.sh; do
        ( log=$PWD/\${file%.sh}; trap wait EXIT; IFS= read -r -d '' script < "$file"; eval "X= file=; $script" )
      done`;
    // `~` is then itself.
    const env = { PATH: process.env.PATH ?? '', HOME: '~' };
    execFileSync('bash', ['-c', `${runner}\ntrue`], { stdio: 'ignore', cwd: place, env, timeout: 50_000 });
    const files = readdirSync(place).filter((name) => !name.endsWith('.sh'));
    return scripts.map((_, index) =>
      files
        .filter((name) => name.startsWith(`${index}.`))
        .map((name) => readFileSync(join(place, name), 'utf8'))
        .join('')
        .split('\u0002\0')
        .filter((words) => words !== '')
        .map((words) => words.split('\0').slice(0, -1).join('\u0001')),
    );
  }

  /** A part as a pattern for words: a hole may be several, or none. */
  function pattern(part: ShellPart): RegExp {
    if (part.kind !== 'command') throw new Error(`a ${part.kind} shows nothing`);
    const words = wordsOf(part.text).join('\u0001');
    const literal = words.split(HOLE).map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    return new RegExp(`^${literal.join('[^]*').replaceAll('\u0001[^]*', '(\u0001[^]*)?')}$`, 'su');
  }

  /** Undoes the quoting of a part's text. */
  function wordsOf(text: string): string[] {
    const words: string[] = [];
    const piece = /'((?:[^'])*)'|\\'|( )|([^' \\]+)|\\/gsu;
    let word = '';
    for (const [all, inQuotes, space, plain] of text.matchAll(piece)) {
      if (space !== undefined) {
        words.push(word);
        word = '';
      } else word += inQuotes ?? plain ?? (all === "\\'" ? "'" : all);
    }
    return [...words, word];
  }
});

const BUILTINS = rules('bash(test *)', "bash('[' *)", 'bash(jobs *)', 'bash(wait *)');

test.each([
  "test -v 'a[$(rm x)]'",
  "test ! -v 'a[$(rm x)]'",
  "[ -v 'a[$(rm x)]' ]",
  "[ x -a -v 'a[$(rm x)]' ]",
  "[ -R 'a[$(rm x)]' ]",
  '[ $(cat x) ]',
  'jobs -x rm x',
  'jobs -lx rm x',
  "wait -p 'a[$(rm x)]'",
  "wait -np 'a[$(rm x)]'",
])('a builtin that runs what a name holds in brackets is more than its rule: %s', (script) => {
  expect(decide(script, BUILTINS)).toBe('ask');
});

test.each(['test -f x', '[ -n x ]', 'jobs -l', 'wait 1', '[ x = -x ]'])(
  'and no more without: %s',
  (script) => {
    expect(decide(script, BUILTINS)).toBe('allow');
  },
);
