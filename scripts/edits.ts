/**
 * Many generated edits, and what became of them: `npm run edits -- [COUNT] [FIRST_SEED]`. Exits with 1 where one landed in a wrong place, or was refused without
 * need, and says its seed.
 */
import { judge, makeTrial, runTrial, type Verdict } from '../tests/support/edit-trials.ts';

const [count = 100_000, first = 1] = process.argv.slice(2).map(Number);
const tally = new Map<string, Record<Verdict, number>>();
const began = performance.now();
let bad = 0;
for (let seed = first; seed < first + count; seed++) {
  const trial = makeTrial(seed);
  const verdict = judge(trial, runTrial(trial));
  const row = tally.get(trial.tool) ?? { landed: 0, refused: 0, wrong: 0, 'needlessly refused': 0 };
  row[verdict] += 1;
  tally.set(trial.tool, row);
  if (verdict !== 'wrong' && verdict !== 'needlessly refused') continue;
  bad += 1;
  if (bad <= 5) console.log(`seed ${seed}: ${verdict}`);
}
console.table(Object.fromEntries([...tally].sort()));
console.log(`${count} edits in ${((performance.now() - began) / 1000).toFixed(1)} s, ${bad} bad`);
process.exitCode = bad === 0 ? 0 : 1;
