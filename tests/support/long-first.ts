import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes minutes, first: begun last, it would run on alone when all else is done. */
const LONG = [
  'chaos/crash-points',
  'chaos/pause-points',
  'chaos/verify',
  'integration/worker-background',
  'integration/worker-background-lost',
  'integration/package',
  'contract/sandbox',
  'integration/cli-lifecycle',
  'integration/worker-confined',
  'chaos/kill-up',
  'integration/cli-roots',
  'contract/sandbox-escape',
  'store/repeats',
  'store/lock-order',
  'store/races',
  'contract/snapshots-prune',
  'contract/uploads-hostile',
  'contract/vcs',
  'integration/postgres-trouble',
];

export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = LONG.findIndex((name) => moduleId.endsWith(`/tests/${name}.test.ts`));
      return found === -1 ? LONG.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}
