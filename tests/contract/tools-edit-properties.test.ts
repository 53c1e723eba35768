import { describe, expect, it } from 'vitest';
import { EditError } from '../../src/tools/line-edit.ts';
import { judge, makeTrial, runTrial, type Trial, type Verdict } from '../support/edit-trials.ts';
import { useProject } from './tools-harness.ts';

const SEED = 20_261_126;
/** `npm run edits` tries as many as one likes. */
const TRIALS = 10_000;
const TRIALS_ON_FILES = 300;

const project = useProject();

describe('generated edits', () => {
  it(`land where they belong or nowhere: ${TRIALS} of them`, () => {
    const verdicts = new Map<Verdict, number[]>();
    for (let seed = SEED; seed < SEED + TRIALS; seed++) {
      const trial = makeTrial(seed);
      const verdict = judge(trial, runTrial(trial));
      verdicts.set(verdict, [...(verdicts.get(verdict) ?? []), seed]);
    }
    expect(verdicts.get('wrong'), 'seeds of edits in a wrong place').toBeUndefined();
    expect(verdicts.get('needlessly refused'), 'seeds of plain edits that were refused').toBeUndefined();
    // The oracle sees both: edits that land, and edits that must not.
    expect(verdicts.get('landed')?.length).toBeGreaterThan(TRIALS / 2);
    expect(verdicts.get('refused')?.length).toBeGreaterThan(TRIALS / 10);
  });

  it(`do in files what they do in texts, byte for byte: ${TRIALS_ON_FILES} of them`, async () => {
    for (let seed = SEED; seed < SEED + TRIALS_ON_FILES; seed++) {
      const trial = makeTrial(seed);
      const expected = runTrial(trial);
      await project.put('f', trial.before);
      const outcome = await project.call(trial.tool, trial.argument);
      const now = (await project.bytes('f')).toString('utf8');
      if (expected instanceof EditError) {
        expect([seed, outcome.isError, now]).toEqual([seed, true, trial.before]);
        expect(outcome.text).toBe(`Error: EditError: ${expected.message}`);
      } else expect([seed, outcome.isError, now]).toEqual([seed, undefined, expected]);
    }
  });

  it.each([
    ['in the wrong place', 'x\ny\ny\n', 'wrong'],
    ['in the right place', 'y\ny\nx\n', 'landed'],
  ] as const)('are judged: a text changed %s', (_, result, verdict) => {
    const trial: Trial = {
      tool: 'apply_patch',
      before: 'y\ny\ny\n',
      argument: {},
      intended: 'y\ny\nx\n',
      isPlain: false,
    };
    expect(judge(trial, result)).toBe(verdict);
    expect(judge({ ...trial, intended: undefined }, result)).toBe('wrong');
    expect(judge({ ...trial, isPlain: true }, new EditError('no'))).toBe('needlessly refused');
  });
});
