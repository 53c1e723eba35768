import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HOLE, matchGlob } from '../../src/core/glob.ts';
import {
  type CallPart,
  concerns,
  type JudgedCall,
  judge,
  MAX_RULE_LENGTH,
  parseRule,
  type Rule,
  rulesUnder,
  sayRule,
} from '../../src/core/permission.ts';
import type { Mode, Permissions } from '../../src/core/profile.ts';

/** `allow bash(git *)` */
function rule(text: string): Rule {
  const [, decision = '', what = ''] = /^(\w+) (.*)$/s.exec(text) ?? [];
  const found = parseRule(what, decision as Rule['decision']);
  if (found === undefined) throw new Error(`no rule: ${text}`);
  return found;
}

const command = (text: string, publishes = false): CallPart => ({ kind: 'command', text, publishes });
const inside = (path: string): CallPart => ({ kind: 'file', path, isInside: true });
const outside = (path: string): CallPart => ({ kind: 'file', path, isInside: false });
const redirect = (path: string): CallPart => ({ kind: 'file', path, isInside: true, tool: 'write_file' });
const OPAQUE: CallPart = { kind: 'opaque' };
const UNPARSED: CallPart = { kind: 'unparsed' };
const WHOLE: CallPart = { kind: 'whole' };

/** Where a call runs: confined in a managed workspace, confined in a local one, ... */
const PLACES = {
  'managed, confined': { managed: true, confined: true },
  'managed, unconfined': { managed: true, confined: false },
  'local, confined': { managed: false, confined: true },
  'local, unconfined': { managed: false, confined: false },
} as const;
type Place = keyof typeof PLACES;

/** In a place where commands are confined and their files are versioned, they are `workspace` calls; else `external`. */
function bash(place: Place, ...parts: CallPart[]): JudgedCall {
  const effect = place === 'managed, confined' ? 'workspace' : 'external';
  return { tool: 'bash', effect, parts, ...PLACES[place] };
}

function call(tool: string, effect: JudgedCall['effect'], part: CallPart, place: Place): JudgedCall {
  return { tool, effect, parts: [part], ...PLACES[place] };
}

const ACTS: Readonly<Record<string, (place: Place) => JudgedCall>> = {
  'a file is read': (place) => call('read_file', 'read', inside('src/a.ts'), place),
  'a file is edited': (place) => call('edit_file', 'workspace', inside('src/a.ts'), place),
  'a file outside is edited': (place) => call('edit_file', 'workspace', outside('/etc/hosts'), place),
  'a command runs': (place) => bash(place, command('npm test')),
  'a command writes a file': (place) => bash(place, command('echo a'), redirect('out.txt')),
  'history is published': (place) => bash(place, command('git push origin main', true)),
  'an opaque command runs': (place) => bash(place, OPAQUE, command('eval x')),
  'no command can be read': (place) => bash(place, UNPARSED),
  'the network is asked': (place) => call('web_fetch', 'external', WHOLE, place),
};

/** Without rules. Per place, in the order of PLACES: safe, plan, auto. A: allow, Q: ask, D: deny. */
const WITHOUT_RULES: Readonly<Record<keyof typeof ACTS, string>> = {
  'a file is read': 'AAA AAA AAA AAA',
  'a file is edited': 'ADA ADA QDA QDA',
  'a file outside is edited': 'QDA QDA QDA QDA',
  'a command runs': 'ADA QDA QDA QDA',
  'a command writes a file': 'ADA QDA QDA QDA',
  'history is published': 'QDA QDA QDA QDA',
  'an opaque command runs': 'ADA QDA QDA QDA',
  'no command can be read': 'QDA QDD QDA QDD',
  'the network is asked': 'QDA QDA QDA QDA',
};

const LETTERS = { allow: 'A', ask: 'Q', deny: 'D' } as const;
const MODES: readonly Mode[] = ['safe', 'plan', 'auto'];

const cells = Object.entries(WITHOUT_RULES).flatMap(([act, table]) =>
  Object.keys(PLACES).flatMap((place, column) =>
    MODES.map((mode, row) => ({ act, place, mode, expected: table.split(' ')[column]?.[row] })),
  ),
);

test.each(cells)('without rules, $mode, $place: $act is $expected', ({ act, place, mode, expected }) => {
  const judged = ACTS[act]?.(place as Place);
  if (judged === undefined) throw new Error(`no act: ${act}`);
  expect(LETTERS[judge(judged, mode).decision]).toBe(expected);
});

interface Row {
  readonly rules: readonly string[];
  readonly parts: readonly CallPart[];
  readonly expected: string;
  readonly tool?: string;
}

/** Of commands in a local workspace without a sandbox: safe, plan, auto. */
const COMMANDS: readonly Row[] = [
  { rules: ['allow bash'], parts: [command('npm test')], expected: 'ADA' },
  { rules: ['allow bash(*)'], parts: [command('npm test')], expected: 'ADA' },
  { rules: ['ask bash(*)'], parts: [command('npm test')], expected: 'QDD' },
  { rules: ['deny bash(*)'], parts: [command('npm test')], expected: 'DDD' },
  { rules: ['allow bash(npm test)'], parts: [command('npm test')], expected: 'ADA' },
  { rules: ['allow bash(npm test)'], parts: [command('npm test x')], expected: 'QDA' },
  { rules: ['allow bash(npm test*)'], parts: [command('npm testx')], expected: 'ADA' },
  { rules: ['allow bash(npm test *)'], parts: [command('npm testx')], expected: 'QDA' },
  { rules: ['allow bash(npm test *)'], parts: [command('npm test')], expected: 'ADA' },
  { rules: ['allow bash(npm test *)'], parts: [command('npm test x y')], expected: 'ADA' },
  {
    rules: ['allow bash(git status*)'],
    parts: [command('git status'), command('rm -rf x')],
    expected: 'QDA',
  },
  { rules: ['allow bash(git status*)'], parts: [command('git status'), OPAQUE], expected: 'QDA' },
  { rules: ['allow bash(git status*)'], parts: [command('git status'), UNPARSED], expected: 'QDD' },
  { rules: ['allow bash(*)'], parts: [OPAQUE], expected: 'QDA' },
  { rules: ['allow bash'], parts: [UNPARSED], expected: 'QDD' },
  { rules: ['ask bash(git push *)'], parts: [command('git push', true)], expected: 'QDD' },
  { rules: ['ask bash(git push *)'], parts: [command('git pushy')], expected: 'QDA' },
  { rules: ['allow bash(*)', 'ask bash(git push *)'], parts: [command('git push x', true)], expected: 'QDD' },
  {
    rules: ['allow bash(*)', 'deny bash(git push *)'],
    parts: [command('git push x', true)],
    expected: 'DDD',
  },
  {
    rules: ['deny bash(git push *)', 'allow bash(*)'],
    parts: [command('git push x', true)],
    expected: 'ADA',
  },
  { rules: ['deny bash(*)', 'allow bash(ls *)'], parts: [command('ls')], expected: 'ADA' },
  { rules: ['deny bash(*)', 'allow bash(ls *)'], parts: [command('ls'), command('rm x')], expected: 'DDD' },
  { rules: ['deny bash(*)', 'allow bash(ls *)'], parts: [OPAQUE], expected: 'DDD' },
  { rules: ['deny bash(git push *)'], parts: [OPAQUE], expected: 'QDD' },
  { rules: ['ask bash(git push *)'], parts: [OPAQUE], expected: 'QDD' },
  // What bash puts in.
  { rules: ['allow bash(git log *)'], parts: [command(`git log ${HOLE}`)], expected: 'ADA' },
  { rules: ['allow bash(git log)'], parts: [command(`git log ${HOLE}`)], expected: 'QDA' },
  { rules: ['allow bash(git log ?)'], parts: [command(`git log ${HOLE}`)], expected: 'QDA' },
  { rules: ['deny bash(rm *)'], parts: [command(`rm ${HOLE}`)], expected: 'DDD' },
  { rules: ['deny bash(git push *)'], parts: [command(`git ${HOLE}`)], expected: 'QDD' },
  { rules: ['deny bash(git push *)'], parts: [command(`git p${HOLE} x`)], expected: 'QDD' },
  { rules: ['deny bash(git push *)'], parts: [command(`git c${HOLE} x`)], expected: 'QDA' },
  { rules: ['deny bash(git push *)'], parts: [command(`git ${HOLE} push`)], expected: 'QDD' },
  { rules: ['deny bash(git push *)'], parts: [command(`git ${HOLE} push x`)], expected: 'QDD' },
  { rules: ['allow bash(git push)'], parts: [command(`git ${HOLE} push`)], expected: 'QDA' },
  { rules: ['deny bash(*)', 'ask bash(git push *)'], parts: [command(`git ${HOLE}`)], expected: 'DDD' },
  { rules: ['allow bash(*)', 'ask bash(git push *)'], parts: [command(`git ${HOLE}`)], expected: 'QDD' },
  { rules: ['allow bash(*)', 'allow bash(git push *)'], parts: [command(`git ${HOLE}`)], expected: 'ADA' },
  // A redirection is a write_file.
  { rules: ['allow bash(echo *)'], parts: [command('echo a'), redirect('x')], expected: 'QDA' },
  {
    rules: ['allow bash(echo *)', 'allow write_file(x)'],
    parts: [command('echo a'), redirect('x')],
    expected: 'ADA',
  },
  { rules: ['allow bash(*)', 'deny write_file(src/**)'], parts: [redirect('src/a/b')], expected: 'DDD' },
  { rules: ['allow *'], parts: [command('echo a'), redirect('x')], expected: 'ADA' },
];

/** Of files in a managed workspace: safe, plan, auto. */
const FILES: readonly Row[] = [
  { rules: ['ask edit_file(src/**)'], parts: [inside('src/a/b.ts')], expected: 'QDA' },
  { rules: ['ask edit_file(src/*)'], parts: [inside('src/a/b.ts')], expected: 'ADA' },
  { rules: ['ask edit_file(src/*)'], parts: [inside('src/b.ts')], expected: 'QDA' },
  { rules: ['deny edit_file(**/*.lock)'], parts: [inside('a/b/c.lock')], expected: 'DDD' },
  { rules: ['deny edit_file(*.lock)'], parts: [inside('a/c.lock')], expected: 'ADA' },
  { rules: ['deny edit_file(**.lock)'], parts: [inside('a/c.lock')], expected: 'DDD' },
  { rules: ['deny write_file(src/**)'], parts: [inside('src/a')], expected: 'ADA' },
  { rules: ['deny *_file(src/**)'], parts: [inside('src/a')], expected: 'DDD' },
  { rules: ['deny edit_file(**)', 'allow edit_file(src/**)'], parts: [inside('src/a')], expected: 'ADA' },
  { rules: ['deny edit_file(**)', 'allow edit_file(src/**)'], parts: [inside('srcs/a')], expected: 'DDD' },
  { rules: ['allow edit_file(/etc/**)'], parts: [outside('/etc/hosts')], expected: 'ADA' },
  { rules: ['allow edit_file(src/**)'], parts: [inside('src/a'), inside('b')], expected: 'ADA' },
  { rules: ['ask edit_file(b)'], parts: [inside('src/a'), inside('b')], expected: 'QDA' },
  { rules: ['deny edit_file(a?c)'], parts: [inside('abc')], expected: 'DDD' },
  { rules: ['deny edit_file(a?c)'], parts: [inside('a/c')], expected: 'ADA' },
  { rules: ['deny edit_file(a\\*)'], parts: [inside('a*')], expected: 'DDD' },
  { rules: ['deny edit_file(a\\*)'], parts: [inside('ab')], expected: 'ADA' },
  { rules: ['ask edit_file(src/**)'], parts: [WHOLE], expected: 'QDA' },
  { rules: ['deny edit_file'], parts: [WHOLE], expected: 'DDD' },
];

const ruled = [
  ...COMMANDS.map((row) => ({ ...row, place: 'local, unconfined' as Place, tool: 'bash' })),
  ...FILES.map((row) => ({ ...row, place: 'managed, confined' as Place, tool: 'edit_file' })),
].flatMap((row) =>
  MODES.map((mode, index) => ({ ...row, mode, expected: row.expected[index], said: row.rules.join('; ') })),
);

test.each(ruled)('$said, $mode: $parts is $expected', ({ place, tool, parts, mode, rules, expected }) => {
  const effect = tool === 'bash' ? 'external' : 'workspace';
  const judged = { tool, effect, parts, ...PLACES[place] } as const;
  expect(LETTERS[judge(judged, mode, { rules: rules.map(rule) }).decision]).toBe(expected);
});

test('the tables have 150 rows and more', () => {
  expect(cells.length + ruled.length).toBeGreaterThan(150);
});

describe('judge', () => {
  const push = bash('managed, confined', command('git push', true));

  test('lets a rule that asks run in auto where commands are confined, and nowhere else', () => {
    const rules = { rules: [rule('ask bash(git push *)')] };
    expect(judge(push, 'auto', rules)).toEqual({ decision: 'allow' });
    expect(judge(bash('local, confined', command('git push')), 'auto', rules).decision).toBe('allow');
    expect(judge(bash('managed, unconfined', command('git push')), 'auto', rules)).toEqual({
      decision: 'deny',
      reason:
        'The rule bash(git push *) wants a person asked, and mode auto asks nobody outside a sandbox. ' +
        'Do it another way, or say what is needed.',
    });
    const fetch = call('web_fetch', 'external', WHOLE, 'managed, confined');
    expect(judge(fetch, 'auto', { rules: [rule('ask web_fetch')] }).decision).toBe('deny');
  });

  test('forbids in auto what a rule may forbid, also where commands are confined', () => {
    const rules = { rules: [rule('deny bash(git push *)')] };
    for (const part of [OPAQUE, UNPARSED, command(`git ${HOLE}`)]) {
      expect(judge(bash('managed, confined', part), 'auto', rules)).toEqual({
        decision: 'deny',
        reason:
          'The rule bash(git push *) may forbid it: the call does not show all that it does. ' +
          'Write it plainly, without variables, loops and shells in it.',
      });
    }
    expect(judge(bash('managed, confined', command('git log')), 'auto', rules).decision).toBe('allow');
    const asking = { rules: [rule('ask bash(git push *)')] };
    expect(judge(bash('managed, confined', OPAQUE), 'auto', asking).decision).toBe('allow');
  });

  test('says which rule forbids', () => {
    expect(judge(push, 'safe', { rules: [rule('deny bash(git *)')] })).toEqual({
      decision: 'deny',
      reason: 'The rule bash(git *) forbids it.',
    });
  });

  test('reads in plan what no rule forbids, and nothing else', () => {
    const read = call('read_file', 'read', inside('.env'), 'local, confined');
    const edit = call('edit_file', 'workspace', inside('a'), 'managed, confined');
    expect(judge(read, 'plan', { rules: [rule('deny read_file(.env)')] }).decision).toBe('deny');
    expect(judge(read, 'plan', { rules: [rule('ask read_file(.env)')] }).decision).toBe('ask');
    expect(judge(edit, 'plan', { rules: [rule('allow edit_file')] })).toMatchObject({ decision: 'deny' });
  });

  test('lets a project narrow what is allowed, and never widen it', () => {
    const wide = { rules: [rule('allow bash(*)')], restrictions: [rule('ask bash(git push *)')] };
    expect(judge(push, 'safe', wide).decision).toBe('ask');
    const strict = { rules: [rule('deny bash(*)')], restrictions: [rule('ask bash(git push *)')] };
    expect(judge(push, 'safe', strict).decision).toBe('deny');
    const loose = { rules: [rule('ask bash(*)')], restrictions: [rule('allow bash(*)')] };
    expect(judge(push, 'safe', loose).decision).toBe('ask');
  });

  test('denies a file outside the allowed paths, also where it is only read', () => {
    const permissions: Permissions = { allowedPaths: ['src', 'docs/a'] };
    const decide = (path: string) =>
      judge(call('read_file', 'read', inside(path), 'local, confined'), 'auto', permissions).decision;
    expect(['src', 'src/a', 'docs/a/b', 'docs/b', 'srcs', '.', 'a'].map(decide)).toEqual([
      'allow',
      'allow',
      'allow',
      'deny',
      'deny',
      'deny',
      'deny',
    ]);
    const all = { allowedPaths: ['.'] };
    expect(judge(call('read_file', 'read', inside('a'), 'local, confined'), 'auto', all).decision).toBe(
      'allow',
    );
    expect(judge(call('read_file', 'read', outside('/a'), 'local, confined'), 'auto', all).decision).toBe(
      'deny',
    );
  });

  test('never decides milder for one more part, or one more restriction', () => {
    const strictness = { allow: 0, ask: 1, deny: 2 };
    const part = fc.constantFrom(command('a b'), command(`a ${HOLE}`), OPAQUE, UNPARSED, redirect('x'));
    const rules = fc.array(
      fc.constantFrom('allow bash(a *)', 'ask bash(a b)', 'deny bash(* b)', 'allow *', 'deny write_file(x)'),
    );
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1 }),
        part,
        rules,
        rules,
        fc.constantFrom(...MODES),
        fc.constantFrom(...(Object.keys(PLACES) as Place[])),
        (parts, more, given, narrowing, mode, place) => {
          const permissions = { rules: given.map(rule) };
          const level = (judged: JudgedCall, by: Permissions) => strictness[judge(judged, mode, by).decision];
          const one = level(bash(place, ...parts), permissions);
          expect(level(bash(place, ...parts, more), permissions)).toBeGreaterThanOrEqual(one);
          const narrowed = { ...permissions, restrictions: narrowing.map(rule) };
          expect(level(bash(place, ...parts), narrowed)).toBeGreaterThanOrEqual(one);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('matchGlob', () => {
  test.each([
    ['', '', 'certain'],
    ['*', '', 'certain'],
    ['a*c', 'abbc', 'certain'],
    ['a*c', 'abb', 'none'],
    ['a**c', 'a c', 'certain'],
    ['*a*b*', 'xaybz', 'certain'],
    ['a\\?', 'a?', 'certain'],
    ['a\\', 'a\\', 'certain'],
    ['a?', 'a\n', 'certain'],
    ['😀?', '😀😀', 'certain'],
    ['a.c', 'abc', 'none'],
    ['git push *', `git ${HOLE}`, 'possible'],
    ['git push', `git pushx ${HOLE}`, 'none'],
    ['git *', `git ${HOLE} x`, 'certain'],
    ['?', HOLE, 'possible'],
    ['', HOLE, 'possible'],
  ])('%j takes %j: %s', (pattern, text, match) => {
    expect(matchGlob(pattern, text)).toBe(match);
  });

  test('holds for whatever a hole turns out to be', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '*', '?'), maxLength: 8 });
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', HOLE), maxLength: 6 });
    const filling = fc.string({ unit: fc.constantFrom('a', 'b', ' '), maxLength: 3 });
    fc.assert(
      fc.property(pattern, text, filling, (glob, holed, put) => {
        const match = matchGlob(glob, holed);
        const filled = matchGlob(
          glob,
          holed.replaceAll(HOLE, () => put),
        );
        if (match === 'certain') expect(filled).toBe('certain');
        if (match === 'none') expect(filled).toBe('none');
      }),
      { numRuns: 2_000 },
    );
  });

  test('takes a pattern of stars and a long text in no time', () => {
    const began = performance.now();
    expect(matchGlob(`${'*a'.repeat(200)}b`, 'a'.repeat(10_000))).toBe('none');
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

describe('rules', () => {
  test.each(['bash', 'bash(git push *)', 'edit_file(src/**)', '*_file(a b)', 'bash(a(b)c)', '*', 'x(a\nb)'])(
    '%j is read and said again',
    (text) => {
      expect(sayRule(parseRule(text, 'ask'))).toBe(text);
    },
  );

  test.each([
    '',
    'bash()',
    'bash(',
    'bash)',
    'ba sh(x)',
    '(x)',
    'bash(x) y',
    'bash(\0)',
    'x'.repeat(MAX_RULE_LENGTH + 1),
  ])('%j is none', (text) => {
    expect(parseRule(text, 'ask')).toBeUndefined();
  });

  test('that ask or forbid hold in each of several roots; those that allow only where they name it', () => {
    const part: CallPart = { ...inside('app/src/a'), inRoot: 'src/a' } as CallPart;
    const judged = (text: string, mode: Mode = 'safe') =>
      judge({ tool: 'edit_file', effect: 'external', parts: [part], confined: true, managed: true }, mode, {
        rules: [rule(text)],
      }).decision;
    expect(judged('deny edit_file(src/**)')).toBe('deny');
    expect(judged('deny edit_file(app/src/**)')).toBe('deny');
    expect(judged('deny edit_file(lib/src/**)', 'auto')).toBe('allow');
    expect(judged('allow edit_file(src/**)')).toBe('ask');
    expect(judged('allow edit_file(app/src/**)')).toBe('allow');
  });

  test('of one root of several are about its paths, and as wide as before about all else', () => {
    const under = (text: string) => rulesUnder('app', [rule(text)]).map(sayRule);
    expect(under('deny write_file(src/**)')).toEqual(['write_file(app/src/**)']);
    expect(under('deny *(.env)')).toEqual(['*(.env)', '*(app/.env)']);
    expect(under('ask bash(git push *)')).toEqual(['bash(git push *)', 'bash(app/git push *)']);
    for (const wide of [
      'deny bash',
      'deny write_file',
      'deny *(**)',
      'deny write_file(*)',
      'deny read_file(/etc/**)',
    ])
      expect(under(wide)).toEqual([wide.replace('deny ', '')]);
    expect(rulesUnder('app', [{ ...rule('deny write_file(a)'), agent: 'build' }])).toEqual([
      { decision: 'deny', tool: 'write_file', pattern: 'app/a', agent: 'build' },
    ]);
  });

  test('concern a tool by its name or a pattern of it, and every tool where paths are limited', () => {
    expect(concerns({}, 'read_file')).toBe(false);
    expect(concerns({ rules: [rule('deny bash')] }, 'read_file')).toBe(false);
    expect(concerns({ rules: [rule('deny read_*(x)')] }, 'read_file')).toBe(true);
    expect(concerns({ restrictions: [rule('deny read_file(x)')] }, 'read_file')).toBe(true);
    expect(concerns({ allowedPaths: ['src'] }, 'read_file')).toBe(true);
  });
});
